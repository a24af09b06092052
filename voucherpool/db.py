"""The database: one declarative base, one session a request, one way to open a transaction."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, ClassVar

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import BigInteger, DateTime, MetaData, Numeric, Table, Text
from sqlalchemy.orm import DeclarativeBase, registry


class Base(DeclarativeBase):
    """Base of all models; gives every constraint a name that migrations and errors can use."""

    __table__: ClassVar[Table]

    metadata = MetaData(
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
            "ck": "%(table_name)s_%(constraint_name)s_check",
            "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        }
    )
    registry = registry(
        metadata=metadata,
        type_annotation_map={
            datetime: DateTime(timezone=True),
            Decimal: Numeric(),
            int: BigInteger(),
            str: Text(),
        },
    )


db = SQLAlchemy(model_class=Base, disable_autonaming=True)

if TYPE_CHECKING:
    Model = Base
else:
    Model = db.Model


class TwinCommitted(Exception):
    """A concurrent request took a unique key first; in a new transaction its row can be seen."""


@contextmanager
def transaction() -> Iterator[None]:
    """Commit all that the block writes, or roll all of it back when it raises.

    Opened at the edge only, by a route or a command: services never commit. Outside of it every
    statement commits by itself, so it also serves as the decorator of each route that writes.
    """
    with db.session.begin():
        db.session.connection(execution_options={"isolation_level": "READ COMMITTED"})
        yield

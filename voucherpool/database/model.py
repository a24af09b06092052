"""The base of all models, and the session through which they are read and written."""

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import BigInteger, DateTime, MetaData, Numeric, Row, Select, Table, Text
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

AnyRow = Row[*tuple[Any, ...]]
AnySelect = Select[*tuple[Any, ...]]

if TYPE_CHECKING:
    Model = Base
else:
    Model = db.Model

"""The database: one declarative base, one session a request, one way to open a transaction."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, TypeVar

from flask_sqlalchemy import SQLAlchemy
from psycopg2.errors import DeadlockDetected, ReadOnlySqlTransaction, SerializationFailure
from sqlalchemy import (
    BigInteger,
    Connection,
    DateTime,
    Engine,
    MetaData,
    Numeric,
    Table,
    Text,
    event,
    text,
)
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.orm import DeclarativeBase, registry
from sqlalchemy.pool import ConnectionPoolEntry, Pool

from voucherpool.errors import OutcomeUnknown

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

longest_pause_seconds = 0.1


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


unusable = (OperationalError, InterfaceError)
"""What SQLAlchemy raises when the database is lost or at its limits: trying again may help."""


class TwinCommitted(Exception):
    """A concurrent request took a unique key first; in a new transaction its row can be seen."""


@contextmanager
def transaction() -> Iterator[None]:
    """Commit all that the block writes, or roll all of it back when it raises.

    Opened at the edge only, by a route or a command: services never commit. Outside of it every
    statement commits by itself. Raises OutcomeUnknown when the connection is lost at the commit.
    """
    with db.session.begin() as begun:
        _leave_autocommit(db.session.connection())
        waiting: list[Callable[[], None]] = []
        db.session.info["after_commit"] = waiting
        yield
        try:
            begun.commit()
        except DBAPIError as error:
            if error.connection_invalidated:
                raise OutcomeUnknown from error
            raise
    for call in waiting:
        call()


def _leave_autocommit(connection: Connection) -> None:
    # Not by SQLAlchemy's isolation_level, for which psycopg2 sends a SET each time: a round trip
    # more, nothing for pgbouncer to keep, and no error of SQLAlchemy's when the connection is gone.
    connection.info["in_transaction"] = True
    connection.connection.driver_connection.autocommit = False  # type: ignore[union-attr]


@event.listens_for(Pool, "checkin")
def _return_to_autocommit(connection: Any, record: ConnectionPoolEntry) -> None:
    if record.info.pop("in_transaction", False) and connection and not connection.closed:
        connection.autocommit = True


@contextmanager
def long_transaction() -> Iterator[None]:
    """Open a transaction() whose statements may take their time; for commands, not requests."""
    with transaction():
        lift_timeout()
        yield


def lift_timeout() -> None:
    """Let the further statements of the present transaction take their time."""
    db.session.execute(text("SET LOCAL statement_timeout = 0"))


def after_commit(call: Callable[[], None]) -> None:
    """Call it once the present transaction has committed, and never if it does not."""
    db.session.info.setdefault("after_commit", []).append(call)


def run_again_if_undone(call: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Call a second time when the database undid the first: all of it, and only then.

    It is undone by a connection that is lost before the commit, by a deadlock and by a
    serialization failure
    (https://www.postgresql.org/docs/current/mvcc-serialization-failure-handling.html).
    """

    @wraps(call)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        try:
            return call(*args, **kwargs)
        except DBAPIError as error:
            if not is_undone(error):
                raise
        db.session.remove()
        pause()
        return call(*args, **kwargs)

    return run


def is_undone(error: DBAPIError) -> bool:
    """Tell whether nothing of the transaction stays, for a reason that may have passed."""
    undone = isinstance(error.orig, SerializationFailure | DeadlockDetected)
    return undone or error.connection_invalidated


def pause() -> None:
    """Wait a moment, not all requests the same one, before something is tried again."""
    time.sleep(random.uniform(0, longest_pause_seconds))  # noqa: S311


@event.listens_for(Engine, "handle_error")
def _leave_the_standby(context: ExceptionContext) -> None:
    # A primary that became a standby keeps its connections; the pool must find the new primary.
    if isinstance(context.original_exception, ReadOnlySqlTransaction):
        context.is_disconnect = True

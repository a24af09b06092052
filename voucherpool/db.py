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
from psycopg2 import Error
from psycopg2.errors import DeadlockDetected, ReadOnlySqlTransaction, SerializationFailure
from psycopg2.extensions import TRANSACTION_STATUS_INERROR
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
from sqlalchemy.pool import Pool

from voucherpool import connections
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
    """A concurrent request was first, with a unique key or the last use that a limit allows.

    What it wrote can be seen in a new transaction.
    """


@contextmanager
def transaction() -> Iterator[None]:
    """Commit all that the block writes, or roll all of it back when it raises.

    Opened at the edge only, by a route or a command: services never commit. Outside of it every
    statement commits by itself. Raises OutcomeUnknown when the connection is lost at the commit.
    """
    with _after_commit(), db.session.begin():
        connection = db.session.connection()
        connection.info["begin"] = True
        db.session.info["last_words"] = None
        yield
        if not connection.info.pop("begin", False):
            with only_statement():
                _commit(connection, db.session.info["last_words"])


@contextmanager
def long_transaction() -> Iterator[None]:
    """Open a transaction() whose statements may take their time and stream their rows.

    For commands and files, not for the requests of a checkout.
    """
    with _after_commit(), db.session.begin() as begun:
        # psycopg2 allows a cursor at the server only in a transaction that it opened itself.
        connection = db.session.connection().connection.driver_connection
        connection.autocommit = False  # type: ignore[union-attr]
        lift_timeout()
        yield
        with only_statement():
            begun.commit()


@contextmanager
def _after_commit() -> Iterator[None]:
    waiting: list[Callable[[], None]] = []
    db.session.info["after_commit"] = waiting
    try:
        yield
    finally:
        del db.session.info["after_commit"]
    for call in waiting:
        call()


@contextmanager
def only_statement() -> Iterator[None]:
    """Run the one statement of a write, which commits by itself, or the commit of several.

    Raises OutcomeUnknown when the connection is lost meanwhile.
    """
    try:
        yield
    except DBAPIError as error:
        if error.connection_invalidated and not isinstance(error.orig, ReadOnlySqlTransaction):
            raise OutcomeUnknown from error
        raise


def _commit(connection: Connection, last_words: tuple[str, dict[str, Any]] | None) -> None:
    driver: Any = connection.connection.driver_connection
    if driver.info.transaction_status == TRANSACTION_STATUS_INERROR:
        # PostgreSQL answers such a COMMIT as if all were well, and rolls back.
        raise RuntimeError("an error of the database was passed over within the transaction")
    statement, values = last_words or ("", {})
    connection.exec_driver_sql(f"{statement};COMMIT".lstrip(";"), values)


@event.listens_for(Engine, "before_cursor_execute", retval=True)
def _begin(
    connection: Connection, cursor: Any, statement: str, values: Any, _: Any, many: bool
) -> tuple[str, Any]:
    # With the first statement, for a round trip of its own would only delay it.
    if connection.info.pop("begin", False):
        if many:
            cursor.execute("BEGIN")
        else:
            statement = f"BEGIN;{statement}"
    return statement, values


event.listen(Pool, "reset", connections.end_transaction)
event.listen(Pool, "checkout", connections.replace_if_closed)


def lift_timeout() -> None:
    """Let the further statements of the present transaction take their time."""
    db.session.execute(text("SET LOCAL statement_timeout = 0"))


def after_commit(call: Callable[[], None]) -> None:
    """Call it once the present transaction has committed, and never if it does not.

    Outside of any the statement before has committed.
    """
    waiting = db.session.info.get("after_commit") if db.session.registry.has() else None
    if waiting is None:
        call()
    else:
        waiting.append(call)


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


def is_lost(error: Error, connection: Any) -> bool:
    """Tell whether the connection is of no more use, as that to a primary that became a standby."""
    dialect: Any = db.engine.dialect
    gone = bool(dialect.is_disconnect(error, connection, None))
    return gone or isinstance(error, ReadOnlySqlTransaction)


@event.listens_for(Engine, "handle_error")
def _give_up_if_lost(context: ExceptionContext) -> None:
    if isinstance(context.original_exception, ReadOnlySqlTransaction):
        context.is_disconnect = True

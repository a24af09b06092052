"""Transactions: opened by the HTTP edge or a command; services never commit."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg2.errors import ReadOnlySqlTransaction
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, TRANSACTION_STATUS_INERROR
from sqlalchemy import DateTime, func, literal, select, text
from sqlalchemy.exc import DBAPIError

from voucherpool.config.settings import plans_of_many_rows
from voucherpool.database.errors import OutcomeUnknown
from voucherpool.database.model import db
from voucherpool.input.errors import InvalidInput


@dataclass
class Transaction:
    """An open transaction: the calls to make after its commit."""

    after_commit: list[Callable[[], None]] = field(default_factory=list)


_of_thread: ContextVar[Transaction | None] = ContextVar("transaction", default=None)

current_transaction = _of_thread.get
"""Returns this thread's open transaction, if any. No request may be answered inside of it."""


@contextmanager
def transaction(*, begin: bool = True) -> Iterator[None]:
    """Commit all that the block writes, or roll it back if the block raises.

    Without `begin` the block's first statement sends BEGIN, and its last one may send COMMIT, which
    saves two round trips. Outside of a transaction each statement commits by itself.

    Raises OutcomeUnknown when the connection is lost at the commit.
    """
    with _opened(), db.session.begin():
        connection = db.session.connection()
        if begin:
            connection.exec_driver_sql("BEGIN")
        yield
        db.session.flush()
        driver: Any = connection.connection.driver_connection
        status = driver.info.transaction_status
        if status == TRANSACTION_STATUS_INERROR:
            # PostgreSQL would answer COMMIT without an error and roll back.
            raise RuntimeError("the transaction swallowed a database error")
        if status != TRANSACTION_STATUS_IDLE:
            with committing():
                connection.exec_driver_sql("COMMIT")


@contextmanager
def long_transaction() -> Iterator[None]:
    """Open a transaction() that expects many rows, for commands and files; it may stream them."""
    with _opened(), db.session.begin() as begun:
        # psycopg2 allows a server-side cursor only in a transaction that it opened itself.
        driver: Any = db.session.connection().connection.driver_connection
        driver.autocommit = False
        expect_many_rows()
        yield
        with committing():
            begun.commit()


@contextmanager
def committing() -> Iterator[None]:
    """Run a statement that commits; raises OutcomeUnknown if the connection is lost meanwhile."""
    try:
        yield
    except DBAPIError as error:
        if error.connection_invalidated and not isinstance(error.orig, ReadOnlySqlTransaction):
            raise OutcomeUnknown from error
        raise


def after_commit(call: Callable[[], None]) -> None:
    """Make the call once the open transaction has committed; at once if none is open."""
    current = current_transaction()
    if current is None:
        call()
    else:
        current.after_commit.append(call)


def expect_many_rows() -> None:
    """Lift the timeout for the open transaction's next statements, and let them join many rows."""
    connection = db.session.connection()
    connection.connection.driver_connection.may_take_long = True  # type: ignore[union-attr]
    settings = ("statement_timeout = 0", *(f"{plan} = on" for plan in plans_of_many_rows))
    db.session.execute(text(";".join(f"SET LOCAL {setting}" for setting in settings)))


def require_future(expires_at: datetime | None) -> None:
    """Raise InvalidInput unless the moment is in the future by PostgreSQL's clock, or never."""
    if expires_at is None:
        return
    moment = literal(expires_at, DateTime(timezone=True))
    if not db.session.scalar(select(moment > func.now())):
        raise InvalidInput({"expiry": ["Must be in the future."]})


@contextmanager
def _opened() -> Iterator[None]:
    current = Transaction()
    token = _of_thread.set(current)
    try:
        yield
    finally:
        _of_thread.reset(token)
    for call in current.after_commit:
        call()

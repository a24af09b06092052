"""Transactions: opened by the HTTP edge or a command; services never commit."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg2.errors import ReadOnlySqlTransaction
from psycopg2.extensions import TRANSACTION_STATUS_INERROR
from sqlalchemy import Connection, DateTime, func, literal, select, text
from sqlalchemy.exc import DBAPIError

from voucherpool.config import plans_of_many_rows
from voucherpool.database.connections import NotConnected, state_of
from voucherpool.database.model import db
from voucherpool.errors import InvalidInput, OutcomeUnknown


@dataclass
class Transaction:
    """An open transaction: final statements to send with COMMIT, and calls to make after it."""

    final_statements: list[str] = field(default_factory=list)
    after_commit: list[Callable[[], None]] = field(default_factory=list)


_of_thread: ContextVar[Transaction | None] = ContextVar("transaction", default=None)

present_transaction = _of_thread.get
"""Returns this thread's open transaction, if any. No request may be answered inside of it."""


@contextmanager
def transaction() -> Iterator[None]:
    """Commit all that the block writes, or roll it back if the block raises.

    Outside of a transaction each statement commits by itself. Raises OutcomeUnknown when the
    connection is lost at the commit.
    """
    with _present() as present, db.session.begin():
        connection = db.session.connection()
        state = state_of(connection)
        state.begins = True
        yield
        if not state.begins:
            with only_statement():
                _commit(connection, present)


@contextmanager
def long_transaction() -> Iterator[None]:
    """Open a transaction() that expects many rows, for commands and files; it may stream them."""
    with _present() as present, db.session.begin() as begun:
        # psycopg2 allows a server-side cursor only in a transaction that it opened itself.
        connection = db.session.connection().connection.driver_connection
        connection.autocommit = False  # type: ignore[union-attr]
        expect_many_rows()
        yield
        if present.final_statements:
            _send(db.session.connection(), present.final_statements)
        with only_statement():
            begun.commit()


class only_statement:  # noqa: N801 (a context, as transaction() is)
    """Runs a statement that commits; raises OutcomeUnknown if the connection is lost meanwhile."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if not isinstance(error, DBAPIError) or isinstance(error, NotConnected):
            return
        if error.connection_invalidated and not isinstance(error.orig, ReadOnlySqlTransaction):
            raise OutcomeUnknown from error


def after_commit(call: Callable[[], None]) -> None:
    """Make the call once the open transaction has committed; at once if none is open."""
    present = present_transaction()
    if present is None:
        call()
    else:
        present.after_commit.append(call)


def expect_many_rows() -> None:
    """Lift the timeout for the open transaction's next statements, and let them join many rows."""
    state_of(db.session.connection()).has_many_rows = True
    settings = ("statement_timeout = 0", *(f"{plan} = on" for plan in plans_of_many_rows))
    db.session.execute(text(";".join(f"SET LOCAL {setting}" for setting in settings)))


def require_future(expires_at: datetime) -> None:
    """Raise InvalidInput unless the moment is in the future by PostgreSQL's clock."""
    moment = literal(expires_at, DateTime(timezone=True))
    if not db.session.scalar(select(moment > func.now())):
        raise InvalidInput({"expiry": ["Must be in the future."]})


@contextmanager
def _present() -> Iterator[Transaction]:
    present = Transaction()
    token = _of_thread.set(present)
    try:
        yield present
    finally:
        _of_thread.reset(token)
    for call in present.after_commit:
        call()


def _commit(connection: Connection, present: Transaction) -> None:
    driver: Any = connection.connection.driver_connection
    if driver.info.transaction_status == TRANSACTION_STATUS_INERROR:
        # PostgreSQL would answer COMMIT without an error and roll back.
        raise RuntimeError("the transaction swallowed a database error")
    _send(connection, [*present.final_statements, "COMMIT"])


def _send(connection: Connection, statements: Sequence[str]) -> None:
    """Run the statements in one message; they have their values already."""
    connection.exec_driver_sql(";".join(statements), execution_options={"no_parameters": True})

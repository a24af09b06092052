"""One way to open a transaction: at the edge, by a route or a command; services never commit."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg2.errors import ReadOnlySqlTransaction
from psycopg2.extensions import TRANSACTION_STATUS_INERROR
from sqlalchemy import Connection, DateTime, func, literal, select, text
from sqlalchemy.exc import DBAPIError

from voucherpool.database.connections import state_of
from voucherpool.database.model import db
from voucherpool.errors import InvalidInput, OutcomeUnknown


@dataclass
class Transaction:
    """The present transaction: its final statement, sent with the commit, and what follows it."""

    final_statement: str = ""
    final_values: dict[str, object] = field(default_factory=dict)
    after_commit: list[Callable[[], None]] = field(default_factory=list)


@contextmanager
def transaction() -> Iterator[None]:
    """Commit all that the block writes, or roll all of it back when it raises.

    Outside of it every statement commits by itself. Raises OutcomeUnknown when the connection is
    lost at the commit.
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
    """Open a transaction() whose statements may take their time, stream their rows and scan tables.

    For commands and files, not for the requests of a checkout.
    """
    with _present(), db.session.begin() as begun:
        # psycopg2 allows a cursor at the server only in a transaction that it opened itself.
        connection = db.session.connection().connection.driver_connection
        connection.autocommit = False  # type: ignore[union-attr]
        lift_timeout()
        db.session.execute(text("SET LOCAL enable_seqscan = on"))
        yield
        with only_statement():
            begun.commit()


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


def present_transaction() -> Transaction | None:
    """Return the transaction that is open in this thread, if there is one."""
    return db.session.info.get(Transaction) if db.session.registry.has() else None


def after_commit(call: Callable[[], None]) -> None:
    """Call it once the present transaction has committed, and never if it does not.

    Outside of any the statement before has committed.
    """
    present = present_transaction()
    if present is None:
        call()
    else:
        present.after_commit.append(call)


def lift_timeout() -> None:
    """Let the further statements of the present transaction take their time."""
    db.session.execute(text("SET LOCAL statement_timeout = 0"))


def require_future(expires_at: datetime) -> None:
    """Raise InvalidInput if the moment is not in the future by PostgreSQL's clock."""
    moment = literal(expires_at, DateTime(timezone=True))
    if not db.session.scalar(select(moment > func.now())):
        raise InvalidInput({"expiry": ["Must be in the future."]})


@contextmanager
def _present() -> Iterator[Transaction]:
    present = db.session.info[Transaction] = Transaction()
    try:
        yield present
    finally:
        del db.session.info[Transaction]
    for call in present.after_commit:
        call()


def _commit(connection: Connection, present: Transaction) -> None:
    driver: Any = connection.connection.driver_connection
    if driver.info.transaction_status == TRANSACTION_STATUS_INERROR:
        # PostgreSQL answers such a COMMIT as if all were well, and rolls back.
        raise RuntimeError("an error of the database was passed over within the transaction")
    final = f"{present.final_statement};" if present.final_statement else ""
    connection.exec_driver_sql(f"{final}COMMIT", present.final_values)

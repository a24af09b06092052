"""Connections: their state, the one that each thread keeps, and when one is given up."""

import logging
import threading
import time
from dataclasses import dataclass, field
from functools import cached_property
from select import POLLIN, poll
from typing import Any
from weakref import WeakKeyDictionary

from psycopg2 import STRING, Error, extensions
from psycopg2.errors import ConnectionFailure, ReadOnlySqlTransaction
from sqlalchemy import Engine, PoolProxiedConnection, event
from sqlalchemy.engine import Connection, ExceptionContext
from sqlalchemy.exc import InvalidatePoolError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry, Pool

from voucherpool.database.model import db

log = logging.getLogger(__name__)
uuid_as_text = extensions.new_type((2950,), "UUID", STRING)
"""Answers write ids as texts, so making UUID objects of them would only cost time."""
plans_kept_seconds = 10
"""PostgreSQL would keep a plan of empty tables until it analyzes them again."""


@dataclass
class State:
    """The state of a connection to PostgreSQL.

    `begins`: the next statement opens a transaction, and BEGIN is sent with it to save a round
    trip. `has_many_rows`: the open transaction reads many rows, and keeps no plans.
    `prepared` names the statements that the connection has prepared; their plans are renewed
    once time.monotonic() is past `planned_until`. voucherpool.database.cluster sets `is_cluster`.
    """

    begins: bool = False
    has_many_rows: bool = False
    is_cluster: bool = False
    prepared: set[str] = field(default_factory=set)
    planned_until: float = 0

    def opening(self) -> str:
        """Return the BEGIN to send with the next statement, once."""
        opening, self.begins = ("BEGIN;" if self.begins else ""), False
        return opening

    def before(self) -> str:
        """Return the BEGIN and DISCARD PLANS to send before the next prepared statement, if due."""
        now, opening = time.monotonic(), self.opening() if self.begins else ""
        if now < self.planned_until:
            return opening
        self.planned_until = now + plans_kept_seconds
        return f"{opening}DISCARD PLANS;"


def state_of(connection: Connection | PoolProxiedConnection | ConnectionPoolEntry) -> State:
    """Return the state of a connection; each new connection to the server has a new one."""
    state: State = connection.info.setdefault(State, State())
    return state


class DirectConnection:
    """A connection as prepared statements use it, without SQLAlchemy.

    It keeps what SQLAlchemy would look up for each statement: the driver's connection, a cursor,
    its state, and whether it prepares statements.
    """

    def __init__(self, engine: Engine, connection: PoolProxiedConnection) -> None:
        self.connection = connection
        self.driver: Any = connection.dbapi_connection
        self.cursor: Any = connection.cursor()
        extensions.register_type(uuid_as_text, self.cursor)  # type: ignore[arg-type]
        self.state = state_of(connection)
        self.prepares: bool = engine.get_execution_options()["prepare"]

    @cached_property
    def _idle(self) -> poll:
        return _watched(self.driver)

    def is_closed(self) -> bool:
        """Tell whether this side or the server has closed the idle connection."""
        return bool(self.driver.closed or self._idle.poll(0))


class NotConnected(OperationalError):
    """There is no connection, so nothing was sent."""

    def __init__(self, cause: Error) -> None:
        super().__init__(None, None, cause, hide_parameters=True, connection_invalidated=True)


class Leases(threading.local):
    """The connection that each thread keeps for its prepared statements, by engine.

    Borrowing one from the pool and returning it takes longer than a statement.
    """

    def __init__(self) -> None:
        self._kept: WeakKeyDictionary[Engine, DirectConnection] = WeakKeyDictionary()

    def of(self, engine: Engine) -> DirectConnection:
        """Return the thread's connection, a new one if the server closed the one before.

        Raises NotConnected.
        """
        kept = self._kept.get(engine)
        if kept is None or kept.is_closed():
            try:
                connection = engine.raw_connection()
            except Error as error:
                raise NotConnected(error) from error
            connection.detach()
            kept = self._kept[engine] = DirectConnection(engine, connection)
        return kept

    def give_up(self, engine: Engine) -> None:
        """Close the thread's connection; the next statement gets a new one."""
        kept = self._kept.pop(engine, None)
        if kept is not None:
            kept.connection.close()


leases = Leases()


def is_lost(error: Error, connection: extensions.connection) -> bool:
    """Tell whether the connection is useless: broken, to a standby, or with a lost machine."""
    dialect: Any = db.engine.dialect
    gone = bool(dialect.is_disconnect(error, connection, None))
    return gone or isinstance(error, ReadOnlySqlTransaction) or is_machine_lost(error)


machine_lost = (
    "could not commit transaction for shard",
    "failure on connection marked as essential",
)
"""The beginnings of Citus's messages about errors that have no SQLSTATE of their own."""


def is_machine_lost(error: BaseException) -> bool:
    """Tell whether a cluster lost another machine, and so perhaps what was written there.

    Nothing was written if that machine refused the connection.
    """
    cause = str(error)
    lost = isinstance(error, ConnectionFailure) and "Connection refused" not in cause
    return lost or cause.startswith(machine_lost)


@event.listens_for(Engine, "before_cursor_execute", retval=True)
def _begin(
    connection: Connection,
    cursor: extensions.cursor,
    statement: str,
    values: object,
    _: object,
    many: bool,
) -> tuple[str, object]:
    opening = state_of(connection).opening()
    if opening and many:
        cursor.execute(opening)
        opening = ""
    return opening + statement, values


@event.listens_for(Pool, "reset")
def _end_transaction(
    connection: extensions.connection, record: ConnectionPoolEntry | None, _: object
) -> None:
    # The connection that a thread keeps has left the pool and has no record there.
    if record is not None:
        state = state_of(record)
        state.begins = state.has_many_rows = False
    try:
        _roll_back(connection)
    except Error as error:
        # PostgreSQL then rolls back by itself.
        log.warning("Lost the connection at a rollback, SQLSTATE %s.", error.pgcode)
        if record is not None:
            record.invalidate(error)


def _roll_back(connection: extensions.connection) -> None:
    if connection.autocommit:
        if connection.info.transaction_status != extensions.TRANSACTION_STATUS_IDLE:
            connection.cursor().execute("ROLLBACK")
    else:
        connection.rollback()
        connection.autocommit = True


@event.listens_for(Pool, "checkout")
def _replace_if_closed(connection: extensions.connection, *_: object) -> None:
    if _watched(connection).poll(0):
        raise InvalidatePoolError


def _watched(connection: Any) -> poll:
    # An idle connection has data to read only if the server closed it. The pool's own check would
    # cost each request a round trip.
    idle = poll()
    idle.register(connection.fileno(), POLLIN)
    return idle


@event.listens_for(Engine, "handle_error")
def _give_up_if_lost(context: ExceptionContext) -> None:
    error = context.original_exception
    if isinstance(error, ReadOnlySqlTransaction) or is_machine_lost(error):
        context.is_disconnect = True

"""Connections of the pool: the state that each carries, and when one is given up."""

import logging
import threading
import time
from dataclasses import dataclass, field
from select import POLLIN, poll
from typing import Any
from weakref import WeakKeyDictionary

from psycopg2 import Error
from psycopg2.errors import ReadOnlySqlTransaction
from psycopg2.extensions import TRANSACTION_STATUS_IDLE
from sqlalchemy import Engine, PoolProxiedConnection, event
from sqlalchemy.engine import Connection, ExceptionContext
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry, Pool

from voucherpool.database.model import db

log = logging.getLogger(__name__)
plans_kept_seconds = 10
"""PostgreSQL keeps a plan until it analyzes the tables anew, and they may have been empty."""


@dataclass
class State:
    """What is known of a connection to PostgreSQL.

    `begins` says that the next statement opens a transaction: BEGIN travels with it, for a round
    trip of its own would only delay it. `prepared` names the statements that PostgreSQL has
    parsed for the connection; it plans them again after `planned_until`, of time.monotonic().
    """

    begins: bool = False
    prepared: set[str] = field(default_factory=set)
    planned_until: float = 0

    def opening(self) -> str:
        """Return what the next statement must begin with, once."""
        opening, self.begins = ("BEGIN;" if self.begins else ""), False
        return opening

    def planning(self) -> str:
        """Return what lets PostgreSQL plan again from the next statement on, now and then."""
        now = time.monotonic()
        if now < self.planned_until:
            return ""
        self.planned_until = now + plans_kept_seconds
        return "DISCARD PLANS;"


def state_of(connection: Connection | PoolProxiedConnection | ConnectionPoolEntry) -> State:
    """Return the state of a connection, new with each new connection to the server."""
    state: State = connection.info.setdefault(State, State())
    return state


class Leases(threading.local):
    """The connection that each thread keeps for its prepared statements, by engine.

    To borrow one from the pool and give it back takes longer than a statement does.
    """

    def __init__(self) -> None:
        self._kept: WeakKeyDictionary[Engine, PoolProxiedConnection] = WeakKeyDictionary()

    def of(self, engine: Engine) -> PoolProxiedConnection:
        """Return the thread's connection, a new one if the server closed the one before."""
        kept = self._kept.get(engine)
        if kept is None or kept.dbapi_connection is None or _is_closed(kept):
            kept = self._kept[engine] = engine.raw_connection()
            kept.detach()
        return kept

    def give_up(self, engine: Engine) -> None:
        """Close the thread's connection; the next statement gets a new one."""
        kept = self._kept.pop(engine, None)
        if kept is not None:
            kept.close()


leases = Leases()


def is_lost(error: Error, connection: Any) -> bool:
    """Tell whether the connection is of no more use, as that to a primary that became a standby."""
    dialect: Any = db.engine.dialect
    gone = bool(dialect.is_disconnect(error, connection, None))
    return gone or isinstance(error, ReadOnlySqlTransaction)


@event.listens_for(Engine, "before_cursor_execute", retval=True)
def _begin(
    connection: Connection, cursor: Any, statement: str, values: Any, _: Any, many: bool
) -> tuple[str, Any]:
    opening = state_of(connection).opening()
    if opening and many:
        cursor.execute(opening)
        opening = ""
    return opening + statement, values


@event.listens_for(Pool, "reset")
def _end_transaction(connection: Any, record: ConnectionPoolEntry, _: Any) -> None:
    state_of(record).begins = False
    try:
        _roll_back(connection)
    except Error as error:
        # PostgreSQL rolls back by itself, so nothing that was answered changes.
        log.warning("connection lost at a rollback, SQLSTATE %s", error.pgcode)
        record.invalidate(error)


def _roll_back(connection: Any) -> None:
    if connection.autocommit:
        if connection.info.transaction_status != TRANSACTION_STATUS_IDLE:
            connection.cursor().execute("ROLLBACK")
    else:
        connection.rollback()
        connection.autocommit = True


@event.listens_for(Pool, "checkout")
def _replace_if_closed(connection: Any, *_: Any) -> None:
    if _is_closed(connection):
        raise InvalidatePoolError


def _is_closed(connection: Any) -> bool:
    # An idle connection has nothing to read unless the server said good-bye. To ask the server
    # itself, as the pool can, takes a round trip for each request.
    idle = poll()
    idle.register(connection.fileno(), POLLIN)
    return bool(idle.poll(0))


@event.listens_for(Engine, "handle_error")
def _give_up_if_lost(context: ExceptionContext) -> None:
    if isinstance(context.original_exception, ReadOnlySqlTransaction):
        context.is_disconnect = True

"""Connections as the pool lends them: alive as far as can be seen, and outside of a transaction."""

import logging
from select import POLLIN, poll
from typing import Any

from psycopg2 import Error
from psycopg2.extensions import TRANSACTION_STATUS_IDLE
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry

log = logging.getLogger(__name__)


def end_transaction(connection: Any, record: ConnectionPoolEntry, _: Any) -> None:
    """Roll back what a connection that comes back has not committed; give it up if it is lost."""
    record.info.pop("begin", None)
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


def replace_if_closed(connection: Any, *_: Any) -> None:
    """Raise InvalidatePoolError for a connection that the server closed while it was idle."""
    # An idle connection has nothing to read unless the server said good-bye. To ask the server
    # itself, as the pool can, takes a round trip for each request.
    idle = poll()
    idle.register(connection, POLLIN)
    if idle.poll(0):
        raise InvalidatePoolError

"""The engine's connections: how they are opened, given back and given up."""

import logging
from select import POLLIN, poll
from typing import Any

from psycopg2 import Error, extensions
from psycopg2.errors import ReadOnlySqlTransaction
from sqlalchemy import Engine, event
from sqlalchemy.engine import Dialect, ExceptionContext
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry

from voucherpool.database import cluster, watchdog

log = logging.getLogger(__name__)


def set_up(engine: Engine) -> None:
    """Let an engine's connections be watched, and give up those that are lost."""
    event.listen(engine, "do_connect", _connect)
    event.listen(engine, "checkout", _replace_if_closed)
    event.listen(engine, "reset", _end_transaction)
    event.listen(engine, "handle_error", _give_up_if_lost)
    cluster.set_up(engine)


def is_lost(error: Any, dialect: Dialect, connection: Any) -> bool:
    """Tell whether a connection is useless: broken, or to a server that takes no writes."""
    return (
        bool(dialect.is_disconnect(error, connection, None))
        or isinstance(error, ReadOnlySqlTransaction)
        or cluster.is_machine_lost(error)
    )


def is_closed(connection: extensions.connection) -> bool:
    """Tell whether the server closed an idle connection: only then has it something to read.

    The pool's own check would cost each request a round trip.
    """
    idle = poll()
    idle.register(connection.fileno(), POLLIN)
    return bool(idle.poll(0))


def _connect(
    dialect: Dialect, _: ConnectionPoolEntry, arguments: list[Any], parameters: dict[str, Any]
) -> watchdog.Connection:
    hosts = str(parameters.get("host", "")).split(",")
    ports = str(parameters.get("port", "")).split(",")
    if len(hosts) > 1:
        each = zip(hosts, ports if len(ports) > 1 else ports * len(hosts), strict=True)
        ordered = watchdog.watchdog.preferred([(host, port or "5432") for host, port in each])
        hosts, ports = (list(part) for part in zip(*ordered, strict=True))
        parameters = parameters | {"host": ",".join(hosts), "port": ",".join(ports)}
    return watchdog.connect(*arguments, **parameters)


def _replace_if_closed(
    connection: extensions.connection, record: ConnectionPoolEntry, _: object
) -> None:
    # Not a new one: after two in a row SQLAlchemy would raise an error that looks like a bug. Its
    # first statement finds out, and is retried.
    was_used = record.info.get("was_used", False)
    record.info["was_used"] = True
    if was_used and is_closed(connection):
        raise InvalidatePoolError


def _end_transaction(
    connection: watchdog.Connection, record: ConnectionPoolEntry | None, _: object
) -> None:
    connection.may_take_long = False
    try:
        if not connection.autocommit:
            connection.rollback()
            connection.autocommit = True
        elif connection.info.transaction_status != extensions.TRANSACTION_STATUS_IDLE:
            connection.cursor().execute("ROLLBACK")
    except Error as error:
        # PostgreSQL then rolls back by itself.
        log.warning("Lost the connection at a rollback, SQLSTATE %s.", error.pgcode)
        if record is not None:
            record.invalidate(error)


def _give_up_if_lost(context: ExceptionContext) -> None:
    if isinstance(context.original_exception, ReadOnlySqlTransaction):
        context.is_disconnect = True

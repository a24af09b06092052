"""Opens a connection outside of the pool, and explains why it fails."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from psycopg2.errors import InsufficientPrivilege
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from voucherpool.database import connections

may_pass = re.compile(
    "Connection refused|timed out|timeout expired|unreachable|No route to host"
    "|on socket .* No such file|reset by peer|Broken pipe|closed the connection|closed unexpectedly"
    "|starting up|shutting down|in recovery mode|accepting connections|session is read-only"
    "|hot standby mode|too many|slots are reserved|administrator command"
    "|connect failed|cannot connect|query_wait_timeout|login_retry|could not translate host name"
)
"""The words of PostgreSQL, libpq and pgbouncer for failures that may pass by themselves."""

answered = re.compile("FATAL:|ERROR:")
"""PostgreSQL or pgbouncer said so itself."""
standby = "The database is a standby: promote it, or name the primary in DATABASE_URL."


@contextmanager
def alone(config: Mapping[str, Any]) -> Iterator[Connection]:
    """Connect outside of the pool; `config` is the application's."""
    engine = create_engine(
        config["SQLALCHEMY_DATABASE_URI"],
        poolclass=NullPool,
        connect_args=config["SQLALCHEMY_ENGINE_OPTIONS"]["connect_args"],
    )
    connections.set_up(engine)
    with engine.connect() as connection:
        yield connection


def role(config: Mapping[str, Any]) -> str:
    """Return the name of the role that the `config` connects as."""
    with alone(config) as connection:
        return str(connection.scalar(text("SELECT current_user")))


def is_hopeless(error: DBAPIError) -> bool:
    """Tell whether no connection is possible until address, role or database is changed."""
    return getattr(error.orig, "pgcode", None) is None and not may_pass.search(cause(error))


def reason(error: DBAPIError) -> str:
    """Return why the database cannot be used, and what to do."""
    if "read-only" in str(error):  # libpq skipped a host for target_session_attrs
        return standby
    if isinstance(error.orig, InsufficientPrivilege):
        cure = 'Grant it to this role: docs/operations.md, "The first start", says how.'
    elif is_hopeless(error):
        cure = "Correct DATABASE_URL."
    elif answered.search(cause(error)):
        cure = "It is tried again."
    else:
        cure = "Start PostgreSQL there, or correct DATABASE_URL."
    return f"The database cannot be used: {cause(error)}. {cure}"


def cause(error: DBAPIError) -> str:
    """Return the driver's message in one line; of several hosts, about the last one tried."""
    lines = [
        line
        for line in str(error.orig).splitlines()
        if line.strip() and not line.startswith(("\t", "DETAIL:", "HINT:"))
    ]
    return lines[0 if getattr(error.orig, "pgcode", None) else -1]

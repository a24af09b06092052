"""Opens a connection outside of the pool, and explains why it fails."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, NullPool, create_engine
from sqlalchemy.exc import DBAPIError

may_pass = re.compile(
    "Connection refused|timed out|timeout expired|unreachable|No route to host"
    "|on socket .* No such file|reset by peer|Broken pipe|closed the connection|closed unexpectedly"
    "|starting up|shutting down|in recovery mode|accepting connections|session is read-only"
    "|hot standby mode|too many|slots are reserved|administrator command"
    "|connect failed|cannot connect|query_wait_timeout|login_retry"
)
"""The words of PostgreSQL, libpq and pgbouncer for failures that may pass by themselves."""


@contextmanager
def alone(config: Mapping[str, Any]) -> Iterator[Connection]:
    """Connect outside of the pool; `config` is the application's."""
    engine = create_engine(
        config["SQLALCHEMY_DATABASE_URI"],
        poolclass=NullPool,
        connect_args=config["SQLALCHEMY_ENGINE_OPTIONS"]["connect_args"],
    )
    with engine.connect() as connection:
        yield connection


def is_hopeless(error: DBAPIError) -> bool:
    """Tell whether no connection is possible until address, role or database is changed."""
    return getattr(error.orig, "pgcode", None) is None and not may_pass.search(cause(error))


def cause(error: DBAPIError) -> str:
    """Return the driver's message in one line; of several hosts, about the last one tried."""
    lines = [
        line
        for line in str(error.orig).splitlines()
        if line.strip() and not line.startswith(("\t", "DETAIL:", "HINT:"))
    ]
    return lines[0 if getattr(error.orig, "pgcode", None) else -1]

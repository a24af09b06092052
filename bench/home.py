"""A temporary PostgreSQL for one benchmark, with fsync on."""

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
from sqlalchemy.engine import URL

from voucherpool.local.postgres import LocalPostgres

steady = {
    # A quarter of the machine's memory, as PostgreSQL's documentation recommends (19.4.1).
    "shared_buffers": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') // 4 // 2**20}MB",
    # PostgreSQL's background work must not disturb single measurements.
    "autovacuum": "off",
    "checkpoint_timeout": "1h",
    "max_wal_size": "8GB",
}
"""Settings that make short runs comparable."""


@contextmanager
def server(**settings: str | int) -> Iterator[tuple[Path, LocalPostgres]]:
    """Start a PostgreSQL in a temporary folder and yield both; remove them at the end."""
    signal.signal(signal.SIGTERM, _leave)
    with tempfile.TemporaryDirectory(prefix="voucherpool-bench-") as name:
        home = Path(name)
        home.chmod(0o711)  # root's PostgreSQL runs as nobody and must get in
        postgres = LocalPostgres(home / "postgres", **settings)
        postgres.start()
        try:
            yield home, postgres
        finally:
            postgres.stop()


def _leave(number: int, _: object) -> None:
    # The exception stops what was started.
    sys.exit(128 + number)


def connection(database: URL) -> closing[psycopg2.extensions.connection]:
    """Connect without SQLAlchemy."""
    address = database.set(drivername="postgresql").render_as_string(hide_password=False)
    return closing(psycopg2.connect(address))


def execute(database: URL, *statements: str) -> list[tuple[Any, ...]]:
    """Execute each statement in its own transaction; return the last one's rows."""
    with connection(database) as opened:
        opened.autocommit = True
        cursor = opened.cursor()
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []

"""Waits for what must happen, as long as a busy machine may need. Only here it says how long."""

import time
from collections.abc import Callable

from sqlalchemy.engine import URL

from voucherpool.database import retries, watchdog
from voucherpool.readiness import obstacles as readiness

most_seconds = 120


def until(condition: Callable[[], object]) -> None:
    """Return once the condition holds; fail if it never does."""
    deadline = time.monotonic() + most_seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {most_seconds} s"
        time.sleep(0.02)


def patient(database_url: URL) -> URL:
    """Return the address by which connections, statements, locks and pauses have that time, too.

    It is for all tests but those of the timeouts.
    """
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    given = str(database_url.query.get("options", ""))
    options = (given, *(f"-c {name}={most_seconds}s" for name in names))
    times = {"options": " ".join(options).strip(), "connect_timeout": str(most_seconds)}
    return database_url.update_query_dict(times)


def be_patient() -> None:
    """Let the requests of this process be tried again, and wait for PostgreSQL, as long as that."""
    retries.longest_seconds = most_seconds
    watchdog.longest_wait_seconds = readiness.longest_look_seconds = most_seconds

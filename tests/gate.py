"""Makes races certain: all senders stand before a lock until the last of them is there."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from tests import cluster
from tests.patience import until

senders = 10
"""How many requests a worker of the tests' gunicorn works at, and so how many race."""

polling_seconds = 0.3

any_voucher = (
    "UPDATE vouchers SET code = code" if cluster.citus_url else "SELECT FROM vouchers FOR UPDATE"
)


class Gate:
    """A lock that a connection of its own holds while requests of one database come to it."""

    def __init__(self, database_url: URL) -> None:
        self._engine = create_engine(database_url, poolclass=NullPool)

    def race(
        self, call: Callable[[int], Any], lock: str = any_voucher, *, polls: bool = False
    ) -> list[Any]:
        """Return the results of ten calls that all wait for the lock before any gets it.

        They continue only after the statement has committed. Pass `polls` for calls that do not
        wait for a lock but retry.
        """
        with ThreadPoolExecutor(senders) as pool:
            with self.closed(lock):
                sent = [pool.submit(call, number) for number in range(senders)]
                if polls:
                    time.sleep(polling_seconds)
                    assert not any(future.done() for future in sent)
                else:
                    self.until_waiting(senders)
            return [future.result() for future in sent]

    @contextmanager
    def closed(self, lock: str) -> Iterator[None]:
        """Hold what the statement locks; commit in the end, or roll back what raises."""
        with self._engine.begin() as connection:
            assert connection.execute(text(lock)).rowcount, f"{lock} finds no row to lock"
            yield

    def until_waiting(self, count: int) -> None:
        """Return once so many statements wait for a lock."""
        with self._engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")  # each look is a new one
            until(lambda: connection.scalar(all_waiting) == count)


waiting_here = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)
all_waiting = text(
    f"SELECT sum(result::int) FROM run_command_on_all_nodes($${waiting_here}$$)"
    if cluster.citus_url
    else waiting_here
)

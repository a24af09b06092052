"""Ends waits for a PostgreSQL server that no longer answers.

A server that is frozen, or whose commit waits for standbys that have left, keeps its clients
waiting without end: PostgreSQL's own timeouts do not run then, and TCP finds nothing wrong. A
thread of each process closes such a connection; the wait ends as if the connection was lost.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any, cast
from weakref import WeakSet

import psycopg2
from psycopg2 import Error, extensions

log = logging.getLogger(__name__)

longest_wait_seconds = 10.0
"""More than PostgreSQL's own statement_timeout, which ends what is slow but not stuck."""
pause_seconds = 0.5
suspected_seconds = 60.0


class Connection(extensions.connection):
    """A connection that shows since when it waits for an answer: time.monotonic(), or None.

    While it `may_take_long`, it may wait as long as PostgreSQL works for it; `asked_at` is when
    PostgreSQL last said so.
    """

    waiting_since: float | None = None
    may_take_long = False
    asked_at = 0.0

    def __init__(self, address: str, *options: Any, **named: Any) -> None:
        super().__init__(address, *options, **named)
        self._address = address
        watchdog.add(self)

    def host(self) -> tuple[str, str]:
        """Return the host and the port that the connection leads to."""
        return self.info.host, str(self.info.port)

    def is_served(self) -> bool:
        """Ask PostgreSQL, on a new connection, whether it still works for this one."""
        with suppress(Error), closing(connect(self._address)) as other:
            is_same = (other.info.host, other.info.port) == (self.info.host, self.info.port)
            with other.cursor() as cursor:
                cursor.execute(waits_for_standby, (self.info.backend_pid,))
                return is_same and not cursor.rowcount
        return False

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let the watchdog see a wait for an answer."""
        self.waiting_since = time.monotonic()
        try:
            yield
        finally:
            self.waiting_since = None

    def commit(self) -> None:
        """Commit the open transaction."""
        with self.waiting():
            super().commit()

    def rollback(self) -> None:
        """Roll the open transaction back."""
        with self.waiting():
            super().rollback()


class Cursor(extensions.cursor):
    """A cursor that lets the watchdog see its waits."""

    connection: Connection

    def execute(self, query: Any, values: Any = None) -> None:
        """Run a statement."""
        # Not waiting(), which would take as long as all else here.
        self.connection.waiting_since = time.monotonic()
        try:
            super().execute(query, values)
        finally:
            self.connection.waiting_since = None

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        """Return the next rows; a cursor with a name asks PostgreSQL for them."""
        with self.connection.waiting():
            return super().fetchmany(self.arraysize if size is None else size)


def connect(address: str | None = None, **parameters: Any) -> Connection:
    """Open a connection that is watched. Raises psycopg2.Error."""
    kinds = {"connection_factory": Connection, "cursor_factory": Cursor}
    return cast(Connection, psycopg2.connect(address, **kinds, **parameters))


waits_for_standby = "SELECT FROM pg_stat_activity WHERE pid = %s AND wait_event = 'SyncRep'"


class Watchdog:
    """The process's open connections, and the hosts that stopped answering lately."""

    def __init__(self) -> None:
        self._connections: WeakSet[Connection] = WeakSet()
        self._suspected: dict[tuple[str, str], float] = {}
        self._lock = threading.Lock()
        self._process: int | None = None

    def add(self, connection: Connection) -> None:
        """Watch a connection; the first one of a process starts the thread."""
        with self._lock:
            self._connections.add(connection)
            # A process that was forked has none of its parent's threads.
            if self._process != os.getpid():
                self._process = os.getpid()
                threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def preferred(self, hosts: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return the hosts and ports, those that stopped answering in the last minute last."""
        now = time.monotonic()
        return sorted(hosts, key=lambda host: self._suspected.get(host, 0.0) > now)

    def suspect(self, host: str, port: str) -> None:
        """Let a host come last for a minute, because it did not answer."""
        self._suspected[host, port] = time.monotonic() + suspected_seconds

    def _watch(self) -> None:
        while True:
            time.sleep(pause_seconds)
            with self._lock:
                connections = list(self._connections)
            for connection in connections:
                since = connection.waiting_since
                if since is None:
                    continue
                if time.monotonic() - max(since, connection.asked_at) < longest_wait_seconds:
                    continue
                if connection.may_take_long:
                    connection.asked_at = time.monotonic()
                    threading.Thread(
                        target=self._ask, args=(connection, since), daemon=True
                    ).start()
                else:
                    self._close(connection, since)

    def _ask(self, connection: Connection, since: float) -> None:
        if not connection.is_served():
            self._close(connection, since)

    def _close(self, connection: Connection, since: float) -> None:
        with suppress(Error, OSError):  # it is closed already
            descriptor, host = connection.fileno(), connection.host()
            if connection.waiting_since != since:
                return  # the answer has come meanwhile
            _shut_down(descriptor)
            self.suspect(*host)
            self._close_idle(host)
            log.warning("PostgreSQL did not answer for %s seconds.", longest_wait_seconds)

    def _close_idle(self, host: tuple[str, str]) -> None:
        """Close the idle connections to a host, so that nobody begins to wait for it on one."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            with suppress(Error, OSError):
                status = connection.info.transaction_status
                if status == extensions.TRANSACTION_STATUS_IDLE and connection.host() == host:
                    _shut_down(connection.fileno())


def _shut_down(descriptor: int) -> None:
    with socket.socket(fileno=os.dup(descriptor)) as peer:
        peer.shutdown(socket.SHUT_RDWR)


watchdog = Watchdog()

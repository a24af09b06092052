"""Why the database is not ready, and the line in the log that says so."""

import logging
import time
from collections.abc import Mapping
from concurrent.futures import Future
from threading import Event, Lock, Thread
from typing import Any, NamedTuple

from psycopg2.errors import DiskFull
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, OperationalError

from voucherpool.readiness import durability, reachability, revisions

log = logging.getLogger(__name__)

seconds_remembered = 1.0
longest_look_seconds = 1.5
seconds_between_looks = 5.0
seconds_between_lines = 60.0

# 1 MiB exceeds work_mem and goes to a temporary file. Writing a row would prove nothing: on a full
# disk the table's pages and the current WAL segment still have room for it.
take_room = text("""
    SET LOCAL work_mem = '64kB';
    SELECT count(*) FROM unnest(array_fill(repeat('x', 8 * 1024), ARRAY[128]))""")


class Obstacle(NamedTuple):
    """Why the database is not ready, and what to do.

    With a newer database that has all that this program names, the program `may_serve`: migrations
    go first, and the programs follow.
    """

    reason: str
    may_serve: bool = False


def find_obstacle(config: Mapping[str, Any]) -> Obstacle | None:
    """Return why the database is not ready, or None; `config` is the application's."""
    # Do not use the pool: a full one must not make the process look broken.
    try:
        with reachability.alone(config) as connection:
            if reason := _write_problem(connection, config["TOLERATE_OFF"]):
                return Obstacle(reason)
            return _revision_obstacle(connection)
    except DBAPIError as error:
        return Obstacle(reachability.reason(error))


def _write_problem(connection: Connection, tolerated: frozenset[str]) -> str | None:
    if connection.scalar(text("SELECT pg_is_in_recovery()")):
        return reachability.standby
    if reason := durability.problem(connection, tolerated):
        return reason
    try:
        connection.execute(take_room)
    except OperationalError as error:
        if isinstance(error.orig, DiskFull):
            return "PostgreSQL's disk is full: free some space."
        raise
    return None


def _revision_obstacle(connection: Connection) -> Obstacle | None:
    revision = revisions.current(connection)
    if revisions.is_ahead(revision):
        return Obstacle(revisions.too_new(revision), may_serve=revisions.is_complete(connection))
    if revisions.is_behind(revision):
        return Obstacle(revisions.too_old())
    return None


class Readiness:
    """Looks at most once a second for what keeps the database from being ready."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config
        self._lock = Lock()
        self._look: Future[Obstacle | None] | None = None
        self._looks_again_at = float("-inf")

    def obstacle(self) -> Obstacle | None:
        """Return what a look that is at most a second old found.

        A probe gives up after a few seconds, so this waits for a look no longer than a moment.
        """
        with self._lock:
            if self._look is None or (
                self._look.done() and time.monotonic() >= self._looks_again_at
            ):
                self._look = self._begin_look()
            look = self._look
        try:
            return look.result(longest_look_seconds)
        except TimeoutError:
            return Obstacle(f"PostgreSQL has not answered for {longest_look_seconds} s.")

    def _begin_look(self) -> Future[Obstacle | None]:
        found: Future[Obstacle | None] = Future()

        def look() -> None:
            try:
                found.set_result(find_obstacle(self._config))
            except Exception as error:  # noqa: BLE001 (it is raised where the result is read)
                found.set_exception(error)
            self._looks_again_at = time.monotonic() + seconds_remembered

        Thread(target=look, name="readiness look", daemon=True).start()
        return found

    def wait(self, stopping: Event) -> bool:
        """Wait until the database can be used or `stopping` is set; tell whether it was not ready.

        It logs nothing: `watch` does.
        """
        obstacle = first = self.obstacle()
        while obstacle and not obstacle.may_serve and not stopping.wait(seconds_remembered):
            obstacle = self.obstacle()
        return first is not None


class Lines:
    """Logs why the database is not ready: at once, then each minute; and when it is ready again."""

    def __init__(self) -> None:
        self._reason, self._next_at = "", 0.0

    def write(self, obstacle: Obstacle | None, now: float) -> None:
        """Log the line that is due `now`, in seconds of a clock that only goes forward."""
        reason = obstacle.reason if obstacle else ""
        if reason and (reason != self._reason or now >= self._next_at):
            log.warning("%s", reason)
            self._next_at = now + seconds_between_lines
        elif self._reason and not reason:
            log.info("The database is ready.")
        self._reason = reason


def watch(config: Mapping[str, Any]) -> None:
    """Log as long as the process lives why the database is not ready."""
    lines = Lines()
    while True:
        obstacle = find_obstacle(config)
        lines.write(obstacle, time.monotonic())
        time.sleep(seconds_remembered if obstacle else seconds_between_looks)

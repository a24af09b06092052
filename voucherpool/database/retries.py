"""The one retry policy: which failures are retried, and how often."""

import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

from psycopg2.errors import (
    DeadlockDetected,
    ForeignKeyViolation,
    SerializationFailure,
    UniqueViolation,
)
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from voucherpool.database.errors import DatabaseUnavailable
from voucherpool.database.model import db

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

most_attempts = 10
longest_seconds = 3.0
"""No new attempt starts after this time; a running one may take longer."""
first_pause_seconds, longest_pause_seconds = 0.01, 0.5

unusable = (OperationalError, InterfaceError, PoolTimeout, DatabaseUnavailable)
"""The errors for a database that is lost or at its limits; is_temporary() knows more."""


class LostRace(Exception):
    """Another request won the race. Retry in a new transaction to see its result."""


class Repeatable(LostRace):
    """The outcome is unknown, but a retry is safe: it finds what the first attempt wrote."""


@contextmanager
def racing_for(constraint: str) -> Iterator[None]:
    """Raise LostRace if another request wrote the unique key first; name the key's constraint.

    Any other key that is taken is an error, which a retry would only repeat.
    """
    try:
        yield
    except IntegrityError as error:
        # A shard's constraint has a number behind its name.
        if isinstance(error.orig, UniqueViolation) and constraint in str(error.orig):
            raise LostRace from error
        raise


def retrying(call: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Retry a call that lost a race or whose transaction the database undid.

    A connection lost before the commit undoes it, and so do deadlocks and serialization failures
    (https://www.postgresql.org/docs/current/mvcc-serialization-failure-handling.html).

    Raises DatabaseUnavailable when the last attempt lost its race, a Repeatable's cause, or else
    the last error.
    """

    @wraps(call)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        deadline = time.monotonic() + longest_seconds
        for attempt in range(most_attempts):
            try:
                return call(*args, **kwargs)
            except (LostRace, DBAPIError) as error:
                if isinstance(error, DBAPIError) and not is_undone(error):
                    raise
                failure = error
            if time.monotonic() > deadline:
                break
            db.session.remove()
            pause(attempt)
        if isinstance(failure, Repeatable) and failure.__cause__:
            raise failure.__cause__
        if isinstance(failure, LostRace):
            raise DatabaseUnavailable("Other requests are changing the same data: try again.")
        raise failure

    return run


def is_undone(error: DBAPIError) -> bool:
    """Tell whether the transaction was undone for a reason that may be gone on a retry."""
    # What a new row refers to was deleted meanwhile: the retry finds it gone.
    lost = isinstance(error.orig, ForeignKeyViolation)
    undone = lost or isinstance(error.orig, SerializationFailure | DeadlockDetected)
    return undone or error.connection_invalidated or is_unconnected(error)


def is_unconnected(error: DBAPIError) -> bool:
    """Tell whether there was no connection, so that nothing was sent."""
    return isinstance(error, OperationalError) and error.statement is None


def is_temporary(error: Exception) -> bool:
    """Tell whether the database was lost or at its limits, so that a later attempt may succeed."""
    is_lost = isinstance(error, DBAPIError) and error.connection_invalidated
    return is_lost or isinstance(error, unusable)


def report(log: logging.Logger, failure: str, error: Exception) -> None:
    """Log that a piece of background work failed, by an error if that is a bug."""
    if is_temporary(error):
        cause = type(getattr(error, "orig", None) or error).__name__
        log.warning("%s: the database cannot be used (%s); trying again.", failure, cause)
    else:
        log.error("%s.", failure, exc_info=error)


def pause(attempt: int = 0) -> None:
    """Wait a random time that grows with each attempt."""
    longest = min(first_pause_seconds * 2**attempt, longest_pause_seconds)
    time.sleep(random.uniform(longest / 2, longest))  # noqa: S311

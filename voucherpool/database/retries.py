"""The one retry policy: what may be repeated, and how often it is tried in all."""

import random
import time
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from psycopg2.errors import DeadlockDetected, SerializationFailure
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from voucherpool.database.model import db
from voucherpool.errors import DatabaseUnavailable

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

most_attempts = 10
longest_seconds = 3.0
"""After this time nothing is tried again; what has begun may take longer."""
first_pause_seconds, longest_pause_seconds = 0.01, 0.5

unusable = (OperationalError, InterfaceError)
"""What SQLAlchemy raises when the database is lost or at its limits: trying again may help."""


class LostRace(Exception):
    """Another request won the race. Retry in a new transaction to see its result."""


class Repeatable(LostRace):
    """The outcome is unknown, and a repeat finds what was written, for the request names itself."""


def retrying(call: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Call again what lost a race, or what the database undid as a whole.

    It is undone by a connection that is lost before the commit, by a deadlock and by a
    serialization failure
    (https://www.postgresql.org/docs/current/mvcc-serialization-failure-handling.html).

    Raises DatabaseUnavailable when all attempts lost their race, and what the last one raised
    otherwise. A Repeatable raises its cause.
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
            raise DatabaseUnavailable("Others change the same at the moment: try again.")
        raise failure

    return run


def is_undone(error: DBAPIError) -> bool:
    """Tell whether nothing of the transaction stays, for a reason that may have passed."""
    undone = isinstance(error.orig, SerializationFailure | DeadlockDetected)
    return undone or error.connection_invalidated


def pause(attempt: int = 0) -> None:
    """Wait longer after each attempt, and not all requests the same time."""
    longest = min(first_pause_seconds * 2**attempt, longest_pause_seconds)
    time.sleep(random.uniform(longest / 2, longest))  # noqa: S311

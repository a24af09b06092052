"""Which failures are retried, and how often."""

import pytest
from psycopg2.errors import DeadlockDetected, LockNotAvailable, SerializationFailure
from sqlalchemy.exc import OperationalError

from voucherpool.database import retries
from voucherpool.database.errors import DatabaseUnavailable, OutcomeUnknown
from voucherpool.database.retries import LostRace, Repeatable, retrying


class Failing:
    """Raises an error so often, then returns how often it was called."""

    def __init__(self, error, times=100):
        self.error, self.times, self.calls = error, times, 0

    def __call__(self):
        self.calls += 1
        if self.calls <= self.times:
            raise self.error
        return self.calls


@pytest.fixture(autouse=True)
def _hasty(app, monkeypatch):
    monkeypatch.setattr(retries, "pause", lambda attempt: None)
    with app.app_context():
        yield


def failure(cause, *, lost=False):
    return OperationalError("SELECT", None, cause(), connection_invalidated=lost)


def repeatable():
    error = Repeatable()
    error.__cause__ = OutcomeUnknown()
    return error


deadlock = failure(DeadlockDetected)
undone = [deadlock, failure(SerializationFailure), failure(LockNotAvailable, lost=True)]


@pytest.mark.parametrize("error", [*undone, LostRace(), repeatable()], ids=repr)
def test_what_was_undone_or_lost_its_race_is_tried_again(error):
    assert retrying(Failing(error, times=2))() == 3


def test_what_failed_otherwise_is_not_tried_again():
    call = Failing(failure(LockNotAvailable))
    with pytest.raises(OperationalError):
        retrying(call)()
    assert call.calls == 1


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (LostRace(), DatabaseUnavailable),
        (Repeatable(), DatabaseUnavailable),
        (repeatable(), OutcomeUnknown),
        (deadlock, OperationalError),
    ],
    ids=repr,
)
def test_after_ten_attempts_the_caller_is_told_why(error, told):
    call = Failing(error)
    with pytest.raises(told) as raised:
        retrying(call)()
    assert type(raised.value) is told
    assert call.calls == retries.most_attempts == 10


def test_nothing_is_tried_again_after_its_time(monkeypatch):
    monkeypatch.setattr(retries, "longest_seconds", -1)
    call = Failing(LostRace())
    with pytest.raises(DatabaseUnavailable):
        retrying(call)()
    assert call.calls == 1

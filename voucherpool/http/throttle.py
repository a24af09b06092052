"""Slows the guessing of codes: counts failed attempts per API key and per customer's e-mail.

PostgreSQL keeps the counts, so all worker processes share them and they survive restarts. A subject
over its limit is refused, even with the right code. A good redemption only reads this process's
memory, which one query a second refreshes. A process sees its own failed attempts at once and those
of others a second later, so a burst may get up to the limit from each worker process.
"""

import hashlib
import time
from collections.abc import Collection, Mapping
from datetime import datetime
from threading import Condition, Lock

from flask import Flask, current_app
from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    Executable,
    LargeBinary,
    any_,
    bindparam,
    case,
    delete,
    func,
    or_,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from voucherpool.database.model import AnyRow, Model, db
from voucherpool.database.transactions import after_commit
from voucherpool.errors import DatabaseUnavailable, TooManyFailedAttempts
from voucherpool.http.bodies import current_request
from voucherpool.input.emails import email_key

window_seconds = 60
renewed_after_seconds = 1.0
longest_wait_seconds = 2.0


class FailedAttempts(Model):
    """The failed attempts of a subject in the minute that began at `since`.

    `subject` is the digest of an API key's id or of an e-mail.
    """

    __tablename__ = "failed_attempts"
    __table_args__ = (
        CheckConstraint("octet_length(subject) = 32", name="subject"),
        CheckConstraint("failed_count > 0", name="failed_count"),
    )

    subject: Mapped[bytes] = mapped_column(primary_key=True)
    failed_count: Mapped[int]
    attempt_limit: Mapped[int]
    since: Mapped[datetime] = mapped_column(server_default=func.now())


class RecentAttempts:
    """The failed and the undecided attempts of each subject, as far as this process knows."""

    def __init__(self) -> None:
        self._failed: dict[bytes, tuple[int, float]] = {}  # count, and its end by time.monotonic()
        self._undecided: list[str] = []
        self._lock = Lock()
        self._decided = Condition(self._lock)
        self._waiting = 0
        self.renewed_at = -renewed_after_seconds

    def is_old(self) -> bool:
        """Tell whether to read the other processes' counts again: true for one caller a second."""
        now = time.monotonic()
        old = now - self.renewed_at >= renewed_after_seconds
        if old:
            self.renewed_at = now
        return old

    def subjects(self) -> list[bytes]:
        """Return the subjects with known failed attempts."""
        return list(self._failed)

    def learn(self, rows: Collection[AnyRow], asked: Collection[bytes] = ()) -> None:
        """Remember the rows, and forget the subjects `asked` for that no row names.

        A row has the `subject`, its `failed_count` and the seconds `left` of its minute.
        """
        found = {bytes(row.subject): row for row in rows}
        with self._lock:
            for subject in asked:
                if subject not in found:
                    self._failed.pop(subject, None)
            for subject, row in found.items():
                # Threads may arrive here in another order than they counted: keep the highest.
                if row.failed_count > self._known(subject)[0]:
                    until = time.monotonic() + float(row.left)
                    self._failed[subject] = row.failed_count, until

    def begin(self, limits: Mapping[str, int]) -> None:
        """Count an undecided guess as failed; wait while that would exceed a limit.

        Raises TooManyFailedAttempts and DatabaseUnavailable.
        """
        with self._lock:
            if not self._has_room(limits):
                self._wait(limits)
            self._undecided.extend(limits)

    def end(self, limits: Mapping[str, int]) -> None:
        """Stop counting a guess, because it is decided."""
        with self._lock:
            for subject in limits:
                self._undecided.remove(subject)
            if self._waiting:
                self._decided.notify_all()

    def _wait(self, limits: Mapping[str, int]) -> None:
        self._waiting += 1
        try:
            if not self._decided.wait_for(lambda: self._has_room(limits), longest_wait_seconds):
                raise DatabaseUnavailable("Too many attempts are waiting for an answer: try again.")
        finally:
            self._waiting -= 1

    def _has_room(self, limits: Mapping[str, int]) -> bool:
        has_room = True
        for subject, limit in limits.items():
            failed, left = self._known(digest(subject)) if self._failed else (0, 0.0)
            if failed >= limit:
                raise TooManyFailedAttempts(left)
            has_room &= failed + self._undecided.count(subject) < limit
        return has_room

    def _known(self, subject: bytes) -> tuple[int, float]:
        """Return the subject's failed attempts, and the seconds for which they still count."""
        failed, until = self._failed.get(subject, (0, 0.0))
        left = until - time.monotonic()
        return (failed, left) if left > 0 else (0, 0.0)


class Guess:
    """The context in which a guess is decided; entering it raises as RecentAttempts.begin."""

    def __init__(self, memory: RecentAttempts, limits: Mapping[str, int]) -> None:
        self._memory, self._limits = memory, limits

    def __enter__(self) -> None:
        self._memory.begin(self._limits)

    def __exit__(self, *_: object) -> None:
        self._memory.end(self._limits)


def init_app(app: Flask) -> None:
    """Give the app an empty memory of attempts."""
    app.extensions["throttle"] = RecentAttempts()


def guess(email: str | None) -> Guess:
    """Return a context manager for one attempt by the request's API key against the `email`."""
    memory = _memory()
    if memory.is_old():
        asked = memory.subjects()
        with db.engine.connect() as connection:
            memory.learn(connection.execute(known, {"subjects": asked}).all(), asked)
    return Guess(memory, _limits(email))


def count_failed_attempt(email: str | None) -> None:
    """Count a failed attempt; raise TooManyFailedAttempts if it is one too many.

    Without an `email` (the customer was erased meanwhile), count it for the API key alone.
    """
    # Sorted, because two requests that lock the same rows in different orders can deadlock.
    rows = [
        {"subject": subject, "failed_count": 1, "attempt_limit": limit}
        for subject, limit in sorted((digest(name), most) for name, most in _limits(email).items())
    ]
    memory = _memory()
    counts = db.session.execute(counting(rows)).all()
    after_commit(lambda: memory.learn(counts))
    for row in counts:
        if row.failed_count > row.attempt_limit:
            memory.learn([row])
            raise TooManyFailedAttempts(row.left)


def erase_emails(emails: Collection[str]) -> None:
    """Forget the failed attempts of the e-mails."""
    subjects = [digest(f"email {email_key(email)}") for email in emails]
    db.session.execute(delete(FailedAttempts).where(FailedAttempts.subject.in_(subjects)))


def forget_old_failed_attempts() -> int:
    """Forget the counts whose minute is over; return how many."""
    gone = db.session.execute(
        delete(FailedAttempts).where(_is_past).returning(FailedAttempts.subject)
    )
    return len(gone.all())


def counting(rows: list[dict[str, object]]) -> Executable:
    """Build the statement that adds a failed attempt to the count of each subject."""
    fresh = insert(FailedAttempts.__table__).values(rows)
    return fresh.on_conflict_do_update(
        index_elements=["subject"],
        set_={
            "failed_count": case((_is_past, 1), else_=FailedAttempts.failed_count + 1),
            "attempt_limit": fresh.excluded.attempt_limit,
            "since": case((_is_past, func.now()), else_=FailedAttempts.since),
        },
    ).returning(
        FailedAttempts.subject, FailedAttempts.failed_count, FailedAttempts.attempt_limit, _left
    )


def _memory() -> RecentAttempts:
    memory: RecentAttempts = current_app.extensions["throttle"]
    return memory


def _limits(email: str | None) -> dict[str, int]:
    """Return how many failed attempts a minute each subject of the request may have."""
    config, key_id = current_app.config, current_request().api_key_id
    limits = {f"key {key_id}": config["FAILED_ATTEMPTS_PER_KEY"]}
    if email is not None:
        limits[f"email {email_key(email)}"] = config["FAILED_ATTEMPTS_PER_EMAIL"]
    return limits


def digest(name: str) -> bytes:
    """Return the SHA-256 of a subject's name."""
    return hashlib.sha256(name.encode()).digest()


_window = text(f"interval '{window_seconds} seconds'")
_is_past = FailedAttempts.since <= func.now() - _window
_left = func.extract("epoch", FailedAttempts.since - func.now() + _window).label("left")

# The subjects over their limit, counted by any process, and those that this process knows.
known = select(FailedAttempts.subject, FailedAttempts.failed_count, _left).where(
    or_(
        FailedAttempts.failed_count >= FailedAttempts.attempt_limit,
        FailedAttempts.subject == any_(bindparam("subjects", type_=ARRAY(LargeBinary))),
    ),
    ~_is_past,
)

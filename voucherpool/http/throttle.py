"""Slows the guessing of codes: misses are counted per API key and per customer's e-mail.

The counts are in PostgreSQL, so that they hold across workers and restarts. What is over its limit
is refused, right guesses too. A good redemption only looks into a memory of this process, which a
query renews once a second at most. A worker knows the misses that it counted at once, and those of
the others a second later: so each worker decides as many guesses as the limit allows, at most.
"""

import hashlib
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from threading import Condition

from flask import Flask, current_app, g
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
from voucherpool.input.emails import email_key

window_seconds = 60
renewed_after_seconds = 1.0
longest_wait_seconds = 2.0


class Misses(Model):
    """How many codes a subject guessed wrong in the minute from `since` on.

    `subject` is the digest of an API key's id or of an e-mail, `miss_limit` how many it may.
    """

    __tablename__ = "misses"
    __table_args__ = (
        CheckConstraint("octet_length(subject) = 32", name="subject"),
        CheckConstraint("miss_count > 0", name="miss_count"),
    )

    subject: Mapped[bytes] = mapped_column(primary_key=True)
    miss_count: Mapped[int]
    miss_limit: Mapped[int]
    since: Mapped[datetime] = mapped_column(server_default=func.now())


class Memory:
    """What this process knows of the subjects: their misses, and their guesses at work."""

    def __init__(self) -> None:
        self._misses: dict[bytes, tuple[int, float]] = {}  # and until when, by the monotonic clock
        self._undecided: list[str] = []
        self._decided = Condition()
        self.renewed_at = -renewed_after_seconds

    def is_old(self) -> bool:
        """Tell one caller a second that the other workers' counts may have changed."""
        now = time.monotonic()
        old = now - self.renewed_at >= renewed_after_seconds
        if old:
            self.renewed_at = now
        return old

    def subjects(self) -> list[bytes]:
        """Return the subjects of which misses are known."""
        return list(self._misses)

    def learn(self, rows: Collection[AnyRow], asked: Collection[bytes] = ()) -> None:
        """Remember the misses in the rows; subjects `asked` for that are in none have no more.

        A row has the `subject`, its `miss_count` and the seconds `left` of its minute.
        """
        found = {bytes(row.subject): row for row in rows}
        with self._decided:
            for subject in asked:
                if subject not in found:
                    self._misses.pop(subject, None)
            for subject, row in found.items():
                # Of several that count at once the last to come here need not be the last counted.
                if row.miss_count > self._known(subject)[0]:
                    until = time.monotonic() + float(row.left)
                    self._misses[subject] = row.miss_count, until

    @contextmanager
    def guess(self, limits: Mapping[str, int]) -> Iterator[None]:
        """Count a guess as if it were a miss until it is decided; wait while that is one too many.

        Raises what the module's guess() names.
        """
        with self._decided:
            if not self._decided.wait_for(lambda: self._has_room(limits), longest_wait_seconds):
                raise DatabaseUnavailable("Too many attempts are waiting for an answer: try again.")
            self._undecided.extend(limits)
        try:
            yield
        finally:
            with self._decided:
                for subject in limits:
                    self._undecided.remove(subject)
                self._decided.notify_all()

    def _has_room(self, limits: Mapping[str, int]) -> bool:
        has_room = True
        for subject, limit in limits.items():
            misses, left = self._known(digest(subject)) if self._misses else (0, 0.0)
            if misses >= limit:
                raise TooManyFailedAttempts(left)
            has_room &= misses + self._undecided.count(subject) < limit
        return has_room

    def _known(self, subject: bytes) -> tuple[int, float]:
        """Return how many misses the subject has, and for how many seconds they count."""
        misses, until = self._misses.get(subject, (0, 0.0))
        left = until - time.monotonic()
        return (misses, left) if left > 0 else (0, 0.0)


def init_app(app: Flask) -> None:
    """Give the app a memory of who guesses."""
    app.extensions["throttle"] = Memory()


def guess(email: str) -> AbstractContextManager[None]:
    """Return the context in which a guess of the customer is decided, and its miss counted.

    To enter it raises TooManyFailedAttempts if the API key or the customer is over the limit, and
    DatabaseUnavailable if too many of their guesses stay undecided.
    """
    memory: Memory = current_app.extensions["throttle"]
    if memory.is_old():
        asked = memory.subjects()
        with db.engine.connect() as connection:
            memory.learn(connection.execute(known, {"subjects": asked}).all(), asked)
    return memory.guess(_limits(email))


def count_miss(email: str | None) -> None:
    """Count a wrong guess; raise TooManyFailedAttempts if it is one too many.

    Without an `email`, of a customer who was erased since, only for the API key.
    """
    # In one order: two that lock the same rows in different orders can deadlock.
    rows = [
        {"subject": subject, "miss_count": 1, "miss_limit": limit}
        for subject, limit in sorted((digest(name), most) for name, most in _limits(email).items())
    ]
    memory: Memory = current_app.extensions["throttle"]
    counts = db.session.execute(counting(rows)).all()
    after_commit(lambda: memory.learn(counts))
    for row in counts:
        if row.miss_count > row.miss_limit:
            memory.learn([row])
            raise TooManyFailedAttempts(row.left)


def forget_people(emails: Collection[str]) -> None:
    """Forget what was counted for the e-mails."""
    subjects = [digest(f"email {email_key(email)}") for email in emails]
    db.session.execute(delete(Misses).where(Misses.subject.in_(subjects)))


def forget_old_misses() -> int:
    """Forget the counts whose minute is over; return how many."""
    gone = db.session.execute(delete(Misses).where(_is_past).returning(Misses.subject))
    return len(gone.all())


def counting(rows: list[dict[str, object]]) -> Executable:
    """Build the statement that adds a miss to the count of each subject."""
    fresh = insert(Misses.__table__).values(rows)
    return fresh.on_conflict_do_update(
        index_elements=["subject"],
        set_={
            "miss_count": case((_is_past, 1), else_=Misses.miss_count + 1),
            "miss_limit": fresh.excluded.miss_limit,
            "since": case((_is_past, func.now()), else_=Misses.since),
        },
    ).returning(Misses.subject, Misses.miss_count, Misses.miss_limit, _left)


def _limits(email: str | None) -> dict[str, int]:
    """Return the limit of misses a minute of each subject of the request."""
    config = current_app.config
    limits = {f"key {g.get('api_key_id')}": config["MISSES_PER_KEY"]}
    if email is not None:
        limits[f"email {email_key(email)}"] = config["MISSES_PER_EMAIL"]
    return limits


def digest(name: str) -> bytes:
    """Return what a subject is kept as: SHA-256 of its name."""
    return hashlib.sha256(name.encode()).digest()


_window = text(f"interval '{window_seconds} seconds'")
_is_past = Misses.since <= func.now() - _window
_left = func.extract("epoch", Misses.since - func.now() + _window).label("left")

# Those over their limit, which other workers may have counted, and those that this one knows.
known = select(Misses.subject, Misses.miss_count, _left).where(
    or_(
        Misses.miss_count >= Misses.miss_limit,
        Misses.subject == any_(bindparam("subjects", type_=ARRAY(LargeBinary))),
    ),
    ~_is_past,
)

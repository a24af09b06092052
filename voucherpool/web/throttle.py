"""Slows the guessing of codes: misses are counted per API key and per customer's e-mail.

The counts are in PostgreSQL, so that they hold across workers and restarts. What is over its limit
is refused, right guesses too. A good redemption only looks into a memory of this process, which a
query renews once a second at most.
"""

import hashlib
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flask import Flask, current_app, g
from sqlalchemy import CheckConstraint, Executable, case, delete, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from voucherpool.customers.models import email_key
from voucherpool.database.model import Model, db
from voucherpool.errors import TooManyFailedAttempts

window_seconds = 60
renewed_after_seconds = 1.0


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


@dataclass
class Memory:
    """The subjects over their limit, and until when, by this process's monotonic clock."""

    blocked: dict[bytes, float] = field(default_factory=dict)
    renewed_at: float = -renewed_after_seconds


def init_app(app: Flask) -> None:
    """Give the app a memory of who is over the limit."""
    app.extensions["throttle"] = Memory()


def admit(email: str) -> None:
    """Raise TooManyFailedAttempts if the API key or the customer is over the limit."""
    memory: Memory = current_app.extensions["throttle"]
    now = time.monotonic()
    if now - memory.renewed_at >= renewed_after_seconds:
        memory.renewed_at = now
        with db.engine.connect() as connection:
            rows = connection.execute(over).all()
        memory.blocked = {bytes(row.subject): now + float(row.left) for row in rows}
    for subject in _limits(email):
        if (left := memory.blocked.get(subject, now) - now) > 0:
            raise TooManyFailedAttempts(left)


def count_miss(email: str) -> None:
    """Count a wrong guess; raise TooManyFailedAttempts if it is one too many."""
    # In one order: two that lock the same rows in different orders can deadlock.
    rows = [
        {"subject": subject, "miss_count": 1, "miss_limit": limit}
        for subject, limit in sorted(_limits(email).items())
    ]
    for row in db.session.execute(_count(rows)).all():
        if row.miss_count > row.miss_limit:
            raise TooManyFailedAttempts(row.left)


def forget_people(emails: Collection[str]) -> None:
    """Forget what was counted for the e-mails."""
    subjects = [_digest(f"email {email_key(email)}") for email in emails]
    db.session.execute(delete(Misses).where(Misses.subject.in_(subjects)))


def forget_old_misses() -> int:
    """Forget the counts whose minute is over; return how many."""
    gone = db.session.execute(delete(Misses).where(_is_past).returning(Misses.subject))
    return len(gone.all())


def _count(rows: list[dict[str, Any]]) -> Executable:
    fresh = insert(Misses.__table__).values(rows)
    return fresh.on_conflict_do_update(
        index_elements=["subject"],
        set_={
            "miss_count": case((_is_past, 1), else_=Misses.miss_count + 1),
            "miss_limit": fresh.excluded.miss_limit,
            "since": case((_is_past, func.now()), else_=Misses.since),
        },
    ).returning(Misses.miss_count, Misses.miss_limit, _left)


def _limits(email: str) -> dict[bytes, int]:
    """Return the limit of misses a minute of each subject of the request."""
    subjects = {
        f"key {g.get('api_key_id')}": current_app.config["MISSES_PER_KEY"],
        f"email {email_key(email)}": current_app.config["MISSES_PER_EMAIL"],
    }
    return {_digest(name): limit for name, limit in subjects.items()}


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


_window = text(f"interval '{window_seconds} seconds'")
_is_past = Misses.since <= func.now() - _window
_left = func.extract("epoch", Misses.since - func.now() + _window).label("left")

over = select(Misses.subject, _left).where(Misses.miss_count >= Misses.miss_limit, ~_is_past)

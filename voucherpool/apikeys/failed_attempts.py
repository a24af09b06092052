"""Slows the guessing of codes: counts failed attempts, and knows who has too many.

PostgreSQL keeps the counts, so all processes share them and they survive restarts. An attempt only
reads this process's memory of the subjects over their limit, which one query a second refreshes. A
failure is counted once it is certain. So a subject may pass its limit by the attempts that are
being decided at that moment: at most one for each thread of the service.
"""

import hashlib
import hmac
import time
from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    LargeBinary,
    bindparam,
    case,
    delete,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import insert

from voucherpool.apikeys.models import FailedAttempts
from voucherpool.database.model import AnyRow, db
from voucherpool.database.transactions import after_commit
from voucherpool.input.emails import email_key

window_seconds = 60
renewed_after_seconds = 1.0


class Subject(NamedTuple):
    """A visitor, customer or API key, by digest, and how many attempts a minute may fail."""

    digest: bytes
    attempt_limit: int


def of_client_ref(client_ref: str, key: str, attempt_limit: int) -> Subject:
    """Return the subject of a visitor that the shop names in requests with an API key.

    The API key is the digest's key: the database holds neither, so nobody can guess the visitor
    from what is stored.
    """
    return Subject(hmac.digest(key.encode(), client_ref.encode(), "sha256"), attempt_limit)


def of_customer(email: str, attempt_limit: int) -> Subject:
    """Return the subject of a customer."""
    return Subject(_digest_of(email), attempt_limit)


def of_api_key(key_id: int | None, attempt_limit: int) -> Subject:
    """Return the subject of an API key; None is open mode."""
    return Subject(hashlib.sha256(f"key {key_id}".encode()).digest(), attempt_limit)


def of_console_user(email: str, attempt_limit: int) -> Subject:
    """Return the subject of those who sign in to the console with an e-mail."""
    return Subject(hashlib.sha256(f"console {email_key(email)}".encode()).digest(), attempt_limit)


class OverLimit:
    """The subjects over their limit, as far as this process knows."""

    def __init__(self) -> None:
        self._until: dict[bytes, float] = {}  # the end of each one's minute by time.monotonic()
        self.renewed_at = -renewed_after_seconds

    def is_old(self) -> bool:
        """Tell whether to read what other processes counted: true for one caller a second."""
        now = time.monotonic()
        old = now - self.renewed_at >= renewed_after_seconds
        if old:
            self.renewed_at = now
        return old

    def renew(self) -> None:
        """Read the subjects over their limit, and forget those that no longer are."""
        known = list(self._until)
        with db.engine.connect() as connection:
            rows = connection.execute(over_limit).all()
        # Not those that another thread has learned meanwhile.
        for subject in set(known).difference(bytes(row.subject) for row in rows):
            self._until.pop(subject, None)
        for row in rows:
            self.learn(row)

    def learn(self, row: AnyRow) -> None:
        """Add the row's `subject` for the seconds `left` of its minute."""
        self._until[bytes(row.subject)] = time.monotonic() + float(row.left)

    def is_empty(self) -> bool:
        """Tell whether no subject is over its limit."""
        return not self._until

    def seconds_left(self, subject: Subject) -> float:
        """Return how long the subject is refused; 0 if it is not."""
        return max(self._until.get(subject.digest, 0.0) - time.monotonic(), 0.0)


def count(subject: Subject, memory: OverLimit) -> None:
    """Count a failed attempt; with its last one the subject is refused until its minute ends."""
    counted = db.session.execute(add_one, subject._asdict()).one()
    if counted.failed_count >= subject.attempt_limit:
        after_commit(lambda: memory.learn(counted))


def of_emails(emails: Collection[str]) -> ColumnElement[bool]:
    """Return the condition of the rows that count failed attempts of the e-mails."""
    return FailedAttempts.subject.in_([_digest_of(email) for email in emails])


def erase_emails(emails: Collection[str]) -> None:
    """Forget the failed attempts of the e-mails."""
    db.session.execute(delete(FailedAttempts).where(of_emails(emails)))


def forget_old_failed_attempts() -> int:
    """Forget the counts whose minute is over; return how many."""
    gone = db.session.execute(
        delete(FailedAttempts).where(_is_past).returning(FailedAttempts.subject)
    )
    return len(gone.all())


def _digest_of(email: str) -> bytes:
    return hashlib.sha256(f"email {email_key(email)}".encode()).digest()


_window = text(f"interval '{window_seconds} seconds'")
_is_past = FailedAttempts.since <= func.now() - _window
_left = func.extract("epoch", FailedAttempts.since - func.now() + _window).label("left")

over_limit = select(FailedAttempts.subject, _left).where(
    FailedAttempts.failed_count >= FailedAttempts.attempt_limit, ~_is_past
)

_first = insert(FailedAttempts.__table__).values(
    subject=bindparam("digest", type_=LargeBinary),
    failed_count=1,
    attempt_limit=bindparam("attempt_limit", type_=BigInteger),
)
add_one = _first.on_conflict_do_update(
    index_elements=["subject"],
    set_={
        "failed_count": case((_is_past, 1), else_=FailedAttempts.failed_count + 1),
        "attempt_limit": _first.excluded.attempt_limit,
        "since": case((_is_past, func.now()), else_=FailedAttempts.since),
    },
).returning(FailedAttempts.subject, FailedAttempts.failed_count, _left)

"""The tables of API keys and of failed attempts."""

from datetime import datetime

from sqlalchemy import ARRAY, CheckConstraint, Identity, Index, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from voucherpool.database.model import Model


class ApiKey(Model):
    """One client of the API and what it may do.

    `last_used_at` may be a minute behind: it is not written with every request.
    """

    __tablename__ = "api_keys"
    __table_args__ = (
        CheckConstraint("octet_length(digest) = 32", name="digest"),
        CheckConstraint(
            "cardinality(scopes) > 0"
            " AND scopes <@ ARRAY['issue', 'redeem', 'read', 'support', 'admin', 'metrics']",
            name="scopes",
        ),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    digest: Mapped[bytes] = mapped_column(unique=True)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class FailedAttempts(Model):
    """The failed attempts of a subject in the minute that began at `since`.

    `subject` is a Subject's digest.
    """

    __tablename__ = "failed_attempts"
    __table_args__ = (
        CheckConstraint("octet_length(subject) = 32", name="subject"),
        CheckConstraint("failed_count > 0", name="failed_count"),
        # Each process reads the subjects over their limit once a second.
        Index(
            "failed_attempts_over_limit_idx",
            "since",
            postgresql_where=text("failed_count >= attempt_limit"),
        ),
    )

    subject: Mapped[bytes] = mapped_column(primary_key=True)
    failed_count: Mapped[int]
    attempt_limit: Mapped[int]
    since: Mapped[datetime] = mapped_column(server_default=func.now())

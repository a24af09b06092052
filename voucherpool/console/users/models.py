"""The table of the console's users."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Identity, func
from sqlalchemy.orm import Mapped, mapped_column

from voucherpool.database.model import Model


class ConsoleUser(Model):
    """A person who may sign in to the console, and their role.

    `password` is a hash of Argon2, NULL until the person has chosen one. The
    cookies of their sessions name `session_token`, and are signed: another token ends all sessions.
    `link_digest` is that of the token in the link with which they choose a password, once, until
    `link_until`.
    """

    __tablename__ = "console_users"
    __table_args__ = (
        CheckConstraint("email <> '' AND email_key <> ''", name="email"),
        CheckConstraint("role IN ('support', 'marketing', 'admin')", name="role"),
        CheckConstraint("octet_length(link_digest) = 32", name="link_digest"),
        CheckConstraint("(link_digest IS NULL) = (link_until IS NULL)", name="link_until"),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    email: Mapped[str]
    email_key: Mapped[str] = mapped_column(unique=True)
    role: Mapped[str]
    password: Mapped[str | None]
    session_token: Mapped[str] = mapped_column(unique=True)
    link_digest: Mapped[bytes | None] = mapped_column(unique=True)
    link_until: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    signed_in_at: Mapped[datetime | None]

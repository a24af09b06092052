"""The customers' table."""

from datetime import datetime

from sqlalchemy import ARRAY, CheckConstraint, Identity, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from voucherpool.database.model import Model


class Customer(Model):
    """A person, known by e-mail: `email` as given, `email_key` in normal form.

    After `erased_at` the row has no e-mail and no name; it remains for vouchers and redemptions.
    `language` is that of e-mails to them (ISO 639-1), NULL for the shop's.
    `former_emails` are earlier e-mails as given, which an erasure must find too.
    """

    __tablename__ = "customers"
    __table_args__ = (
        CheckConstraint("email <> '' AND email_key <> ''", name="email"),
        CheckConstraint("name <> ''", name="name"),
        CheckConstraint("language ~ '^[a-z]{2}$'", name="language"),
        CheckConstraint(
            "CASE WHEN erased_at IS NULL THEN num_nulls(email, email_key) = 0"
            " ELSE num_nonnulls(email, email_key, name) = 0 AND former_emails = '{}' END",
            name="erased_at",
        ),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    email: Mapped[str | None]
    email_key: Mapped[str | None] = mapped_column(unique=True)
    name: Mapped[str | None]
    language: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    former_emails: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    erased_at: Mapped[datetime | None]

    def emails(self) -> list[str]:
        """Return the current e-mail and then the former ones, as given; empty once erased."""
        return [email for email in (self.email, *self.former_emails) if email is not None]

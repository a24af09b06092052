"""The customers' table."""

import unicodedata
from datetime import datetime

from sqlalchemy import CheckConstraint, Identity, func
from sqlalchemy.orm import Mapped, mapped_column

from voucherpool.db import Model


class Customer(Model):
    """A person, known by an e-mail; `email` is as given, `email_key` what it is found by."""

    __tablename__ = "customers"
    __table_args__ = (
        CheckConstraint("email <> '' AND email_key <> ''", name="email"),
        CheckConstraint("name <> ''", name="name"),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    email: Mapped[str]
    email_key: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


def email_key(email: str) -> str:
    """Return the form in which an e-mail is found: trimmed, in lower case, in Unicode's NFC.

    Not casefold(), which would make one customer of straße@… and strasse@….
    """
    return unicodedata.normalize("NFC", email.strip().lower())

"""What is kept of an erased person: how often they redeemed each offer, under a keyed hash.

Nothing leads from the hash to the customer that was erased, nor without the key to the e-mail.
"""

import hmac

from flask import current_app
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Executable,
    ForeignKey,
    LargeBinary,
    bindparam,
    delete,
    literal,
    select,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from voucherpool.db import Model, db
from voucherpool.errors import ErasureNotConfigured
from voucherpool.offers.models import CustomerRedemptions, Offer


class ErasedRedemptions(Model):
    """How many redemptions of an offer count against an erased person who comes back."""

    __tablename__ = "erased_redemptions"
    __table_args__ = (
        CheckConstraint("octet_length(person) = 32", name="person"),
        CheckConstraint("redemption_count > 0", name="redemption_count"),
    )

    person: Mapped[bytes] = mapped_column(primary_key=True)
    offer_id: Mapped[int] = mapped_column(ForeignKey(Offer.id), primary_key=True)
    redemption_count: Mapped[int]


def remember(customer_id: int, email_key: str) -> None:
    """Keep a customer's counts for the person's return. Raises ErasureNotConfigured."""
    person = _hash(email_key)
    if person is None:
        raise ErasureNotConfigured
    db.session.execute(keep_counts, {"person": person, "customer": customer_id})


def recall(customer_id: int, email_key: str) -> None:
    """Give the counts of the erased person with the e-mail to a customer, if there are any."""
    person = _hash(email_key)
    if person is not None:
        db.session.execute(hand_over_counts, {"person": person, "customer": customer_id})


def _hash(email_key: str) -> bytes | None:
    """Return HMAC-SHA-256 of the e-mail, or None without a key."""
    secret: str | None = current_app.config["ERASURE_KEY"]
    return hmac.digest(secret.encode(), email_key.encode(), "sha256") if secret else None


_person = bindparam("person", type_=LargeBinary)
_customer = bindparam("customer", type_=BigInteger)


def _keep_counts() -> Executable:
    # Added to counts that no customer carries, as after a time without a key.
    count = CustomerRedemptions.redemption_count + CustomerRedemptions.carried
    # Through the few offers, because the counts are found by offer first.
    counts = (
        select(_person, Offer.id, count)
        .join(CustomerRedemptions, CustomerRedemptions.offer_id == Offer.id)
        .where(CustomerRedemptions.customer_id == _customer, count > 0)
        .order_by(Offer.id)
    )
    kept = insert(ErasedRedemptions.__table__).from_select(
        ["person", "offer_id", "redemption_count"], counts
    )
    total = ErasedRedemptions.redemption_count + kept.excluded.redemption_count
    return kept.on_conflict_do_update(
        index_elements=["person", "offer_id"], set_={"redemption_count": total}
    )


def _hand_over_counts() -> Executable:
    """Build the statement that moves the counts, so that erasing again counts nothing twice."""
    moved = (
        delete(ErasedRedemptions.__table__)
        .where(ErasedRedemptions.person == _person)
        .returning(ErasedRedemptions.offer_id, ErasedRedemptions.redemption_count)
        .cte("moved")
    )
    counts = insert(CustomerRedemptions.__table__).from_select(
        ["offer_id", "customer_id", "redemption_count", "carried"],
        select(moved.c.offer_id, _customer, literal(0), moved.c.redemption_count),
    )
    return counts.on_conflict_do_update(
        index_elements=["offer_id", "customer_id"],
        set_={"carried": CustomerRedemptions.carried + counts.excluded.carried},
    )


keep_counts = _keep_counts()
hand_over_counts = _hand_over_counts()

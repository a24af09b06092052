"""The claims' tables."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from voucherpool.customers.models import Customer
from voucherpool.database.model import Model
from voucherpool.offers.models import Offer


class Claim(Model):
    """The voucher of an offer that a `claim_ref` took, and its customer.

    It outlives the voucher, so that a repeat never takes another one. `code_key` is NULL only
    inside the transaction that takes the voucher. `claimed_at` is the voucher's, to distinguish it
    from a later voucher with the same code.
    """

    __tablename__ = "claims"
    __table_args__ = (
        CheckConstraint("claim_ref <> ''", name="claim_ref"),
        # Finds a voucher's claim.
        Index("claims_code_key_idx", "code_key"),
    )

    offer_id: Mapped[int] = mapped_column(
        ForeignKey(Offer.id, ondelete="CASCADE"), primary_key=True
    )
    claim_ref: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey(Customer.id))
    code_key: Mapped[str | None]
    claimed_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ClaimCount(Model):
    """How many vouchers of an offer a customer has claimed, including the archive.

    Giving a voucher to another customer does not change it.
    """

    __tablename__ = "claim_counts"

    offer_id: Mapped[int] = mapped_column(
        ForeignKey(Offer.id, ondelete="CASCADE"), primary_key=True
    )
    customer_id: Mapped[int] = mapped_column(ForeignKey(Customer.id), primary_key=True)
    claimed: Mapped[int]

"""The vouchers' tables."""

import uuid
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from voucherpool.customers.models import Customer
from voucherpool.db import Model
from voucherpool.offers.models import Offer


class Voucher(Model):
    """The right to a discount, named by a code.

    `code_key` is the code's normal form, `code` the spelling it was issued in. Bound to
    `customer_id`, or unbound. `used_at` is when the last of its `max_redemptions` was taken.
    `issue_number` orders vouchers without naming their codes. `frozen_discount` stands in for the
    offer's discount. `claimed_at` is when it was taken out of the pool.

    `holds` maps each hold's id to its customer and the moment until which it reserves one use:
    `{"<uuid>": {"customer": 1, "until": "2027-04-21T18:25:43+00:00"}}`. They live in the
    voucher's row because only conditions on that row are checked again when two writers race.
    """

    __tablename__ = "vouchers"
    __table_args__ = (
        CheckConstraint("code_key ~ '^[0-9A-HJKMNP-Z]{4,64}$'", name="code_key"),
        CheckConstraint(
            # Not the database's collation: in Turkish, upper('i') is İ.
            "code_key = translate(upper(translate(code, ' -', '') COLLATE \"C\"), 'OIL', '011')",
            name="code",
        ),
        CheckConstraint("max_redemptions > 0", name="max_redemptions"),
        CheckConstraint(
            "redemption_count >= 0 AND redemption_count <= max_redemptions",
            name="redemption_count",
        ),
        CheckConstraint(
            "(used_at IS NOT NULL) = (redemption_count = max_redemptions)", name="used_at"
        ),
        CheckConstraint("claimed_at IS NULL OR customer_id IS NOT NULL", name="claimed_at"),
        CheckConstraint("isfinite(expires_at)", name="expires_at"),
        CheckConstraint("frozen_discount > 0", name="frozen_discount"),
        CheckConstraint("jsonb_typeof(holds) = 'object' AND holds <> '{}'", name="holds"),
        # Serves a customer's list, oldest expiry first, without the vouchers that are used up.
        Index(
            "vouchers_redeemable_idx",
            "customer_id",
            "expires_at",
            "issue_number",
            postgresql_where=text("used_at IS NULL"),
        ),
        # Serves claims, in their order.
        Index(
            "vouchers_pool_idx",
            "offer_id",
            "expires_at",
            "issue_number",
            postgresql_where=text("customer_id IS NULL AND used_at IS NULL"),
        ),
        # Counts an offer's vouchers that expired unused.
        Index(
            "vouchers_unused_idx",
            "offer_id",
            "expires_at",
            postgresql_where=text("used_at IS NULL"),
        ),
        # Finds the voucher of a hold's id.
        Index(
            "vouchers_holds_idx",
            "holds",
            postgresql_using="gin",
            postgresql_where=text("holds IS NOT NULL"),
        ),
        # Reads a batch's vouchers in the order of their issue.
        Index(
            "vouchers_batch_idx",
            "batch_id",
            "issue_number",
            postgresql_where=text("batch_id IS NOT NULL"),
        ),
        # The oldest vouchers go first, so claims and lists begin where the indexes are full of
        # entries of those that are gone, until a vacuum. PostgreSQL's 0.2 would let a fifth of a
        # large table pile up there.
        {"postgresql_with": {"autovacuum_vacuum_scale_factor": 0.02}},
    )

    code_key: Mapped[str] = mapped_column(primary_key=True)
    code: Mapped[str]
    issue_number: Mapped[int] = mapped_column(Identity(always=True))
    offer_id: Mapped[int] = mapped_column(ForeignKey(Offer.id))
    customer_id: Mapped[int | None] = mapped_column(ForeignKey(Customer.id))
    expires_at: Mapped[datetime]
    max_redemptions: Mapped[int] = mapped_column(server_default="1")
    redemption_count: Mapped[int] = mapped_column(server_default="0")
    used_at: Mapped[datetime | None]
    frozen_discount: Mapped[Decimal | None]
    disabled_at: Mapped[datetime | None]
    holds: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    claimed_at: Mapped[datetime | None]
    # No foreign key, which would slow bulk generation by a third: whoever writes it holds the row.
    batch_id: Mapped[int | None]


class Claim(Model):
    """Which voucher of an offer a `claim_ref` took, and for which customer; kept for ever.

    `code_key` is NULL inside the transaction that takes the voucher, and once that was purged.
    """

    __tablename__ = "claims"
    __table_args__ = (CheckConstraint("claim_ref <> ''", name="claim_ref"),)

    offer_id: Mapped[int] = mapped_column(ForeignKey(Offer.id), primary_key=True)
    claim_ref: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey(Customer.id))
    code_key: Mapped[str | None]
    claimed_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Redemption(Model):
    """One use taken of a voucher, with the discount that it gave at that moment.

    `order_amount` and `discount_amount` are in the offer's currency; both are there, or neither.
    """

    __tablename__ = "redemptions"
    __table_args__ = (
        CheckConstraint("order_ref <> ''", name="order_ref"),
        CheckConstraint("discount > 0", name="discount"),
        CheckConstraint("order_amount >= 0", name="order_amount"),
        CheckConstraint(
            "discount_amount >= 0 AND discount_amount <= order_amount", name="discount_amount"
        ),
        CheckConstraint("reversed_at >= redeemed_at", name="reversed_at"),
        Index("redemptions_id_idx", "id"),
        Index("redemptions_customer_id_redeemed_at_id_idx", "customer_id", "redeemed_at", "id"),
        # Lets an order redeem a voucher once, and finds the redemptions of an order.
        Index(
            "redemptions_order_ref_code_key_key",
            "order_ref",
            "code_key",
            unique=True,
            postgresql_where=text("order_ref IS NOT NULL"),
        ),
    )

    code_key: Mapped[str] = mapped_column(ForeignKey(Voucher.code_key), primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    customer_id: Mapped[int] = mapped_column(ForeignKey(Customer.id))
    order_ref: Mapped[str | None]
    discount: Mapped[Decimal]
    order_amount: Mapped[Decimal | None]
    discount_amount: Mapped[Decimal | None]
    redeemed_at: Mapped[datetime] = mapped_column(server_default=func.now())
    reversed_at: Mapped[datetime | None]


class RefusedAttempt(Model):
    """An attempt on a voucher that was refused, kept a while for support.

    Attempts on codes that no voucher has are kept too, a few of them under no code at all: so that
    nobody can tell by the time an answer takes whether a code exists. Hence no foreign key.
    """

    __tablename__ = "refused_attempts"
    __table_args__ = (Index("refused_attempts_attempted_at_idx", "attempted_at"),)

    code_key: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    customer_id: Mapped[int | None] = mapped_column(ForeignKey(Customer.id))
    reason: Mapped[str]
    attempted_at: Mapped[datetime] = mapped_column(server_default=func.now())

"""The offers' table."""

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from voucherpool.database.model import Model


class Offer(Model):
    """A special offer.

    `discount` is a percentage with at most 2 decimals or an amount in `currency`, depending on
    `discount_type`. `currency_decimals` is the currency's minor unit (ISO 4217), 2 without a
    currency. The offer is active from `starts_at` until before `ends_at`. Customers are reminded
    `reminder_days` before their vouchers expire. The pool is low below `pool_low_at` vouchers.
    With `currency_optional` an order need not name its currency. Generating a voucher does not
    change a discount that is `discount_locked`. The offer's budget is `max_redemptions` of all its
    vouchers, and `max_discount_total` in `currency`. `metadata` is the shop's own.
    """

    __tablename__ = "offers"
    __table_args__ = (
        CheckConstraint("name <> '' AND length(name) <= 200", name="name"),
        CheckConstraint("discount_type IN ('percentage', 'fixed_amount')", name="discount_type"),
        CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency"),
        CheckConstraint(
            "discount_type = 'percentage' OR currency IS NOT NULL", name="currency_needed"
        ),
        CheckConstraint("currency_decimals BETWEEN 0 AND 4", name="currency_decimals"),
        CheckConstraint(
            "discount > 0 AND (discount <= 100 OR discount_type = 'fixed_amount')",
            name="discount_range",
        ),
        # A numeric with a scale would round instead of refusing.
        CheckConstraint(
            "discount = round(discount, CASE discount_type"
            " WHEN 'percentage' THEN 2 ELSE currency_decimals::integer END)",
            name="discount_scale",
        ),
        CheckConstraint("min_order_amount > 0", name="min_order_amount"),
        CheckConstraint("max_discount_amount > 0", name="max_discount_amount"),
        CheckConstraint("starts_at < ends_at", name="window"),
        CheckConstraint("max_redemptions_per_customer > 0", name="max_redemptions_per_customer"),
        CheckConstraint("max_redemptions > 0", name="max_redemptions"),
        CheckConstraint("max_discount_total > 0", name="max_discount_total"),
        CheckConstraint(
            "max_discount_total IS NULL OR currency IS NOT NULL", name="budget_currency"
        ),
        CheckConstraint("max_claims_per_customer > 0", name="max_claims_per_customer"),
        CheckConstraint(
            "cardinality(reminder_days) > 0 AND 0 < ALL(reminder_days)", name="reminder_days"
        ),
        CheckConstraint("pool_low_at > 0", name="pool_low_at"),
        # Finds out whether any offer has a limit.
        Index(
            "offers_limited_idx",
            "id",
            postgresql_where=text("max_redemptions_per_customer IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    discount: Mapped[Decimal]
    discount_type: Mapped[str] = mapped_column(server_default="percentage")
    currency: Mapped[str | None]
    currency_decimals: Mapped[int] = mapped_column(server_default="2")
    min_order_amount: Mapped[Decimal | None]
    max_discount_amount: Mapped[Decimal | None]
    starts_at: Mapped[datetime | None]
    ends_at: Mapped[datetime | None]
    max_redemptions_per_customer: Mapped[int | None]
    max_redemptions: Mapped[int | None]
    max_discount_total: Mapped[Decimal | None]
    max_claims_per_customer: Mapped[int | None]
    reminder_days: Mapped[list[int] | None] = mapped_column(ARRAY(BigInteger))
    pool_low_at: Mapped[int | None]
    currency_optional: Mapped[bool] = mapped_column(server_default=text("false"))
    discount_locked: Mapped[bool] = mapped_column(server_default=text("false"))
    metadata_: Mapped[dict[str, str] | None] = mapped_column(
        "metadata", JSONB(none_as_null=True), key="metadata_"
    )
    pool_is_low: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class OfferCounts(Model):
    """An offer's vouchers issued and claimed on a day of the shop: the sum over all `slot`s.

    Several slots let concurrent writers rarely wait for each other. Deleting vouchers subtracts in
    any slot of their day.
    """

    __tablename__ = "offer_counts"
    offer_id: Mapped[int] = mapped_column(
        ForeignKey(Offer.id, ondelete="CASCADE"), primary_key=True
    )
    day: Mapped[date] = mapped_column(primary_key=True)
    slot: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    issued: Mapped[int] = mapped_column(server_default="0")
    claimed: Mapped[int] = mapped_column(server_default="0")


class OfferBudget(Model):
    """What an offer's live redemptions have used of its budget; a row for each offer with one.

    `discount_total` is in the offer's currency. Both are NULL until somebody needs them and counts.
    A redemption that began before the offer had a budget may be missing in that count, so the
    worker counts again at `recount_at`. `noted_percent` is the mark that the last event reported.

    Each redemption locks the row until it commits, so it is locked last.
    """

    __tablename__ = "offer_budgets"
    __table_args__ = (
        CheckConstraint(
            "redemption_count >= 0 AND discount_total >= 0"
            " AND (redemption_count IS NULL) = (discount_total IS NULL)",
            name="counts",
        ),
        # Each redemption writes the row again; room on its page keeps the index unchanged.
        {"postgresql_with": {"fillfactor": 10}},
    )

    offer_id: Mapped[int] = mapped_column(
        ForeignKey(Offer.id, ondelete="CASCADE"), primary_key=True
    )
    redemption_count: Mapped[int | None]
    discount_total: Mapped[Decimal | None]
    recount_at: Mapped[datetime | None]
    noted_percent: Mapped[int] = mapped_column(server_default="0")

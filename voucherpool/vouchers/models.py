"""The vouchers' tables."""

import uuid
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from voucherpool.customers.models import Customer
from voucherpool.database import domains
from voucherpool.database.model import Model
from voucherpool.offers.models import Offer


class Voucher(Model):
    """The right to a discount, named by a code.

    `code_key` is the code's normal form, `code` the issued spelling. Without `customer_id` it is
    unbound. `used_at` is when the last of its `max_redemptions` was taken. `was_redeemed` is true
    from the first redemption on, even if that is given back, and NULL before. `issue_number` orders
    vouchers without showing codes. `is_chosen` is true if the issuer chose the code, and NULL if it
    was generated. `frozen_discount` replaces the offer's discount. `claimed_at` is when it left the
    pool. It can be redeemed from `starts_at` until before `expires_at`; a claim lets it expire
    after `valid_for`, if that is earlier.

    `holds` maps each hold's id to its customer and its end in seconds since 1970:
    `{"<uuid>": {"customer": 1, "until": 1808349943.25}}`. They are in the voucher's row because
    PostgreSQL checks only that row's conditions again when two writers race.
    """

    __tablename__ = "vouchers"
    __table_args__ = (
        # PostgreSQL evaluates every CHECK on every UPDATE, so here are only the two that no domain
        # can express and that money depends on.
        CheckConstraint(
            "redemption_count BETWEEN 0 AND max_redemptions"
            " AND (used_at IS NOT NULL) = (redemption_count = max_redemptions)"
            " AND (claimed_at IS NULL OR customer_id IS NOT NULL)",
            name="uses",
        ),
        CheckConstraint(
            # Collation C, because in Turkish upper('i') is İ.
            "code_key = translate(upper(translate(code, ' -', '') COLLATE \"C\"), 'OIL', '011')",
            name="code",
        ),
        # For a customer's list: not used up, earliest expiry first.
        Index(
            "vouchers_redeemable_idx",
            "customer_id",
            "expires_at",
            "issue_number",
            postgresql_where=text("used_at IS NULL"),
        ),
        # In the order of claims, without vouchers that every claim would pass. Not by
        # redemption_count: each redemption would then write all indexes of its voucher.
        Index(
            "vouchers_claimable_idx",
            "offer_id",
            "expires_at",
            "issue_number",
            postgresql_where=text(
                "customer_id IS NULL AND used_at IS NULL AND was_redeemed IS NULL"
                " AND disabled_at IS NULL"
            ),
        ),
        # Two indexes for statistics: an offer's vouchers that expired unused or are used up.
        Index(
            "vouchers_unused_idx",
            "offer_id",
            "expires_at",
            postgresql_where=text("used_at IS NULL"),
        ),
        Index("vouchers_used_up_idx", "offer_id", postgresql_where=text("used_at IS NOT NULL")),
        # Finds a hold by its id, and the holds of a customer.
        Index(
            "vouchers_holds_idx",
            "holds",
            postgresql_using="gin",
            postgresql_where=text("holds IS NOT NULL"),
        ),
        # For exporting a batch, in the order of issue.
        Index(
            "vouchers_batch_idx",
            "batch_id",
            "issue_number",
            postgresql_where=text("batch_id IS NOT NULL"),
        ),
        # For searching by a part of a code: reads all chosen ones, and no generated ones.
        Index("vouchers_chosen_idx", "code_key", postgresql_where=text("is_chosen")),
        # The oldest vouchers go first, so claims and lists start where the indexes hold dead
        # entries until a vacuum. PostgreSQL's default 0.2 would let them grow to a fifth of the
        # table.
        {"postgresql_with": {"autovacuum_vacuum_scale_factor": 0.02}},
    )

    code_key: Mapped[str] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(domains.spelled_code)
    issue_number: Mapped[int] = mapped_column(Identity(always=True))
    offer_id: Mapped[int] = mapped_column(ForeignKey(Offer.id))
    customer_id: Mapped[int | None] = mapped_column(ForeignKey(Customer.id))
    starts_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None] = mapped_column(domains.moment_or_never, nullable=False)
    max_redemptions: Mapped[int] = mapped_column(domains.positive_count, server_default="1")
    redemption_count: Mapped[int] = mapped_column(server_default="0")
    used_at: Mapped[datetime | None]
    was_redeemed: Mapped[bool | None]
    frozen_discount: Mapped[Decimal | None] = mapped_column(domains.positive_amount)
    disabled_at: Mapped[datetime | None]
    holds: Mapped[dict[str, object] | None] = mapped_column(domains.open_holds)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    claimed_at: Mapped[datetime | None]
    is_chosen: Mapped[bool | None]
    valid_for: Mapped[timedelta | None]
    # A foreign key would slow bulk generation by a third; the writer holds the batch's lock.
    batch_id: Mapped[int | None]


expiry = "nullif(vouchers.expires_at, 'infinity')"
"""The moment of expiry of a row of vouchers as readers see it: NULL if it never expires."""

open_holds = """
    jsonb_each(vouchers.holds) AS hold(id, terms)
    WHERE (terms->>'until')::numeric > extract(epoch FROM now())"""
"""The one definition of an open hold: FROM and WHERE of a subquery on a row of vouchers."""


class Redemption(Model):
    """One use of a voucher, with the discount that it gave.

    `order_amount` and `discount_amount` are in `currency`; both are set, or neither. `metadata` is
    the shop's own. A use that was taken before its voucher was imported has the `kind` imported,
    and perhaps no customer. A foreign key to the offer would lock the offer's row in each
    redemption, so there is none.
    """

    __tablename__ = "redemptions"
    __table_args__ = (
        CheckConstraint(
            "order_amount >= 0 AND discount_amount >= 0 AND discount_amount <= order_amount",
            name="amounts",
        ),
        CheckConstraint("reversed_at >= redeemed_at", name="reversed_at"),
        CheckConstraint(
            "(kind IS NULL OR kind = 'imported') AND num_nonnulls(customer_id, kind) > 0",
            name="kind",
        ),
        Index("redemptions_id_idx", "id"),
        # Both count an offer's redemptions without reading the table.
        Index(
            "redemptions_offer_id_redeemed_at_idx",
            "offer_id",
            "redeemed_at",
            postgresql_include=["discount_amount", "currency", "order_amount"],
        ),
        Index(
            "redemptions_offer_id_reversed_at_idx",
            "offer_id",
            "reversed_at",
            postgresql_include=["discount_amount", "currency", "order_amount"],
            postgresql_where=text("reversed_at IS NOT NULL"),
        ),
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
    customer_id: Mapped[int | None] = mapped_column(ForeignKey(Customer.id))
    offer_id: Mapped[int]
    order_ref: Mapped[str | None] = mapped_column(domains.reference)
    discount: Mapped[Decimal] = mapped_column(domains.positive_amount)
    discount_type: Mapped[str]
    currency: Mapped[str | None]
    order_amount: Mapped[Decimal | None]
    discount_amount: Mapped[Decimal | None]
    redeemed_at: Mapped[datetime] = mapped_column(server_default=func.now())
    reversed_at: Mapped[datetime | None]
    metadata_: Mapped[dict[str, str] | None] = mapped_column(
        "metadata", JSONB(none_as_null=True), key="metadata_"
    )
    kind: Mapped[str | None]


class BudgetHold(Model):
    """A customer's hold of a voucher, as it reserves the budget of the voucher's offer.

    `amount` is the discount in the offer's currency, NULL for an order of unknown amount. The hold
    itself is in the voucher's row; this row is here because a budget belongs to no voucher.
    """

    __tablename__ = "budget_holds"
    __table_args__ = (Index("budget_holds_offer_id_held_until_idx", "offer_id", "held_until"),)

    # No foreign keys: they would lock the offer's row, in another order than its changes do.
    offer_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    code_key: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    hold_id: Mapped[str]
    held_until: Mapped[datetime]
    amount: Mapped[Decimal | None]


class RefusedAttempt(Model):
    """A refused attempt on a voucher, kept for support.

    `action` is what was refused: check, hold or redeem; `order_ref` is the order's, if given.
    Unknown codes are recorded too, so that response time reveals nothing: the last few are kept
    under an empty code, so there is no foreign key.
    """

    __tablename__ = "refused_attempts"
    __table_args__ = (Index("refused_attempts_attempted_at_idx", "attempted_at"),)

    code_key: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    customer_id: Mapped[int | None] = mapped_column(ForeignKey(Customer.id))
    reason: Mapped[str]
    action: Mapped[str | None]
    order_ref: Mapped[str | None]
    attempted_at: Mapped[datetime] = mapped_column(server_default=func.now())

"""The vouchers' tables, and the one definition of what can be redeemed now."""

import uuid
from datetime import datetime
from decimal import Decimal

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    ForeignKey,
    Identity,
    Index,
    UniqueConstraint,
    and_,
    func,
    or_,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from voucherpool.customers.models import Customer
from voucherpool.db import Model
from voucherpool.offers.models import Offer


class Voucher(Model):
    """The right to a discount, named by a code.

    `code_key` is the code's normal form, `code` the spelling it was issued in. Bound to
    `customer_id`, or unbound. `used_at` is when the last of its `max_redemptions` was taken.
    `issue_number` orders vouchers without naming their codes.
    """

    __tablename__ = "vouchers"
    __table_args__ = (
        CheckConstraint("code_key ~ '^[0-9A-HJKMNP-Z]{4,64}$'", name="code_key"),
        CheckConstraint(
            "code_key = translate(upper(translate(code, ' -', '')), 'OIL', '011')", name="code"
        ),
        CheckConstraint("max_redemptions > 0", name="max_redemptions"),
        CheckConstraint(
            "redemption_count >= 0 AND redemption_count <= max_redemptions",
            name="redemption_count",
        ),
        CheckConstraint(
            "(used_at IS NOT NULL) = (redemption_count = max_redemptions)", name="used_at"
        ),
        CheckConstraint("isfinite(expires_at)", name="expires_at"),
        # Serves a customer's list, oldest expiry first, without the vouchers that are used up.
        Index(
            "vouchers_redeemable_idx",
            "customer_id",
            "expires_at",
            "issue_number",
            postgresql_where=text("used_at IS NULL"),
        ),
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
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    @classmethod
    def redeemable(cls) -> ColumnElement[bool]:
        """Return the condition under which a voucher can be redeemed now, by PostgreSQL's clock."""
        return and_(cls.used_at.is_(None), cls.expires_at > func.now())

    @classmethod
    def usable_by_customer(cls) -> ColumnElement[bool]:
        """Return the condition under which the joined customer may use the voucher."""
        return or_(cls.customer_id.is_(None), cls.customer_id == Customer.id)


class Redemption(Model):
    """One use taken of a voucher, with the discount that it gave at that moment."""

    __tablename__ = "redemptions"
    __table_args__ = (
        UniqueConstraint("code_key", "order_ref"),
        CheckConstraint("order_ref <> ''", name="order_ref"),
        CheckConstraint("discount > 0", name="discount"),
        CheckConstraint("reversed_at >= redeemed_at", name="reversed_at"),
    )

    code_key: Mapped[str] = mapped_column(ForeignKey(Voucher.code_key), primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    customer_id: Mapped[int] = mapped_column(ForeignKey(Customer.id))
    order_ref: Mapped[str | None]
    discount: Mapped[Decimal]
    redeemed_at: Mapped[datetime] = mapped_column(server_default=func.now())
    reversed_at: Mapped[datetime | None]

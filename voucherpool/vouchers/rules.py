"""The one definition of what a customer can redeem now; list, check, hold, claim and redeem use it.

Every condition speaks of one voucher joined to its offer and to the customer who asks, by
PostgreSQL's clock.
"""

from collections.abc import Mapping
from decimal import Decimal

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB

from voucherpool.customers.models import Customer
from voucherpool.errors import (
    CustomerLimitReached,
    OfferNotActive,
    VoucherAlreadyRedeemed,
    VoucherDisabled,
    VoucherExpired,
    VoucherHeld,
    VoucherPoolError,
)
from voucherpool.offers.models import CustomerRedemptions, Offer
from voucherpool.vouchers.models import Redemption, Voucher

# Functions of the database, because PostgreSQL prepares a subquery for each run of a statement,
# even for the many vouchers without a hold, and a function only when it is called.
other_holds: ColumnElement[dict[str, object] | None] = func.other_holds(
    Voucher.holds, Customer.id, type_=JSONB(none_as_null=True)
)
"""The voucher's holds without those that are over and those of the customer; NULL for none.

A hold is over with its time, or with the erasure of its customer.
"""

_other_holds_count: ColumnElement[int] = func.other_holds_count(
    Voucher.holds, Customer.id, type_=BigInteger
)

usable_by_customer: ColumnElement[bool] = or_(
    Voucher.customer_id.is_(None), Voucher.customer_id == Customer.id
)
"""Bound to nobody or to the customer; a stranger's voucher is answered like an unknown code."""

discount: ColumnElement[Decimal] = func.coalesce(Voucher.frozen_discount, Offer.discount)
"""What the voucher gives now, in the offer's kind of discount."""

_redemptions_of_customer: ColumnElement[int] = func.coalesce(
    select(CustomerRedemptions.redemption_count + CustomerRedemptions.carried)
    .where(CustomerRedemptions.offer_id == Offer.id, CustomerRedemptions.customer_id == Customer.id)
    .correlate(Customer, Offer)
    .scalar_subquery(),
    0,
)

Conditions = Mapping[type[VoucherPoolError], ColumnElement[bool]]

conditions: Conditions = {
    VoucherAlreadyRedeemed: Voucher.used_at.is_(None),
    VoucherExpired: Voucher.expires_at > func.now(),
    VoucherDisabled: Voucher.disabled_at.is_(None),
    OfferNotActive: Offer.is_active(),
    # Without a hold or a limit, as nearly always, their queries are not even begun.
    VoucherHeld: case(
        (Voucher.holds.is_(None), True),
        else_=Voucher.redemption_count + _other_holds_count < Voucher.max_redemptions,
    ),
    CustomerLimitReached: case(
        (Offer.max_redemptions_per_customer.is_(None), True),
        else_=_redemptions_of_customer < Offer.max_redemptions_per_customer,
    ),
}
"""What must hold, by the refusal that its failure means; the first that fails is the answer."""

redeemable: ColumnElement[bool] = and_(*conditions.values())

_unheld: ColumnElement[bool] = case(
    (Voucher.holds.is_(None), True),
    else_=literal_column(
        "NOT EXISTS (SELECT FROM jsonb_each(vouchers.holds) AS hold(id, terms)"
        " WHERE (terms->>'until')::timestamptz > now())",
        Boolean,
    ),
)

_never_used: ColumnElement[bool] = ~exists().where(
    Redemption.code_key == Voucher.code_key
).correlate(Voucher)

claimable: ColumnElement[bool] = and_(
    *(Voucher.customer_id.is_(None), Voucher.redemption_count == 0, _unheld, redeemable),
    _never_used,
)
"""In its offer's pool: what the customer could redeem and nobody has, holds or took a use of.

Who was given a use back may take it again.
"""

guard: tuple[ColumnElement[bool], ...] = (
    Voucher.code_key == bindparam("key"),
    Customer.email_key == bindparam("email"),
    Offer.id == Voucher.offer_id,
    usable_by_customer,
    redeemable,
)
"""What a write that takes or reserves a use of the voucher `key` for the customer `email` checks.

PostgreSQL checks it again on the newest version of the voucher's row once it has the row's lock
(https://www.postgresql.org/docs/current/transaction-iso.html, 13.2.1), so of two that race for the
last use the later one finds no row.
"""

"""Eligibility: the one definition of what a customer may redeem now, and of the refusals.

List, check, hold, claim and redeem use it. Each condition is about a voucher, its offer and the
customer, by PostgreSQL's clock.
"""

import uuid
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    and_,
    bindparam,
    func,
    literal_column,
    or_,
    select,
)

from voucherpool.customers.models import Customer
from voucherpool.database.statements import Statement
from voucherpool.errors import (
    CurrencyMismatch,
    CurrencyRequired,
    CustomerLimitReached,
    CustomerNotFound,
    OfferNotActive,
    OrderBelowMinimum,
    RedemptionLimitReached,
    VoucherAlreadyRedeemed,
    VoucherDisabled,
    VoucherExpired,
    VoucherHeld,
    VoucherNotFound,
    VoucherPoolError,
)
from voucherpool.input.emails import email_key
from voucherpool.offers.models import Offer
from voucherpool.vouchers import codes, limits, orders
from voucherpool.vouchers.archived import including_archive
from voucherpool.vouchers.models import Redemption, Voucher, open_holds

of_others = f"{open_holds} AND (terms->>'customer')::bigint <> customers.id"
"""The open holds of other customers: FROM and WHERE of a subquery."""

unheld: ColumnElement[bool] = or_(
    Voucher.holds.is_(None),
    Voucher.redemption_count + literal_column(f"(SELECT count(*) FROM {of_others})", BigInteger)
    < Voucher.max_redemptions,
)

usable_by_customer: ColumnElement[bool] = or_(
    Voucher.customer_id.is_(None), Voucher.customer_id == Customer.id
)
"""Unbound, or bound to the customer; another customer's voucher answers like an unknown code."""

discount: ColumnElement[Decimal] = func.coalesce(Voucher.frozen_discount, Offer.discount)
"""The voucher's current discount, of the offer's type."""

conditions_by_refusal: dict[type[VoucherPoolError], ColumnElement[bool]] = {
    # Not by used_at: on a new table PostgreSQL might then read the index of all unused vouchers.
    VoucherAlreadyRedeemed: Voucher.redemption_count < Voucher.max_redemptions,
    VoucherExpired: Voucher.expires_at > func.now(),
    VoucherDisabled: Voucher.disabled_at.is_(None),
    OfferNotActive: Offer.is_active(),
    VoucherHeld: unheld,
}
"""The conditions by the refusal that each failure means; the first failure decides."""

redeemable: ColumnElement[bool] = and_(*conditions_by_refusal.values())
"""Would redeem now, apart from a limit per customer, which needs other rows (limits.reached)."""

refusals: tuple[type[VoucherPoolError], ...] = (
    CustomerNotFound,
    VoucherNotFound,
    *conditions_by_refusal,
    RedemptionLimitReached,
    CustomerLimitReached,
)
"""All reasons that refuse a redemption now, apart from those of an order."""

guard: tuple[ColumnElement[bool], ...] = (
    Voucher.code_key == bindparam("key"),
    Customer.email_key == bindparam("email"),
    Offer.id == Voucher.offer_id,
    usable_by_customer,
    redeemable,
)
"""The WHERE of each write that takes or reserves a use of voucher `key` for customer `email`.

Once PostgreSQL has the row's lock it checks this again on the row's newest version
(https://www.postgresql.org/docs/current/transaction-iso.html, 13.2.1). So when two requests race
for the last use, the later one finds no row.
"""

discount_amount = Offer.discount_amount(discount, orders.order_amount, orders.order_decimals)


class Seen(NamedTuple):
    """A voucher as a customer sees it now; `earlier` is the same order's redemption."""

    customer_id: int
    is_usable: bool
    offer_id: int | None
    customer_limit: int | None
    max_redemptions: int
    expires_at: datetime
    offer_name: str
    discount: Decimal
    discount_type: str
    currency: str | None
    discount_amount: Decimal | None
    is_unused: bool
    is_unexpired: bool
    is_enabled: bool
    is_offered: bool
    is_unheld: bool
    is_in_currency: bool
    names_currency: bool
    is_large_enough: bool
    earlier_id: uuid.UUID | None
    earlier_customer_id: int | None
    earlier_order_amount: Decimal | None
    earlier_currency: str | None
    earlier_discount: Decimal
    earlier_discount_amount: Decimal | None
    earlier_redeemed_at: datetime
    earlier_reversed_at: datetime | None


def request(
    code: str,
    email: str,
    order_amount: Decimal | None = None,
    currency: str | None = None,
    **values: object,
) -> dict[str, object]:
    """Return the statements' parameters for a voucher, a customer and an order."""
    return {
        "key": codes.normal_form(code),
        "email": email_key(email),
        **orders.parameters(order_amount, currency),
        **values,
    }


def look(request: dict[str, object]) -> Seen:
    """Return what the voucher is to the customer; raise CustomerNotFound or VoucherNotFound.

    Every failed attempt also asks the archive, even for another customer's voucher, so that
    response time reveals nothing.
    """
    seen = look_at_hot.one_or_none(request)
    if seen is not None and not seen.is_usable:
        seen = look_including_archive.one_or_none(request)
    if seen is None:
        raise CustomerNotFound
    if not seen.is_usable:
        raise VoucherNotFound
    return seen


def refusal(seen: Seen, *, of_order: bool = True, counting: bool = True) -> VoucherPoolError | None:
    """Return the error that redeeming would raise now, or holding if not `of_order`.

    If not `counting`, ask no database, and pass over a limit per customer.
    """
    if not seen.is_unused:
        return RedemptionLimitReached() if seen.max_redemptions > 1 else VoucherAlreadyRedeemed()
    if not seen.is_unexpired:
        return VoucherExpired()
    if not seen.is_enabled:
        return VoucherDisabled()
    if not seen.is_offered:
        return OfferNotActive()
    if not seen.is_unheld:
        return VoucherHeld()
    if counting and limits.reached(seen.offer_id, seen.customer_id, seen.customer_limit):
        return CustomerLimitReached()
    if not of_order:
        return None
    return orders.refusal(seen.is_in_currency, seen.names_currency, seen.is_large_enough)


def check(
    code: str, email: str, order_amount: Decimal | None = None, currency: str | None = None
) -> dict[str, object]:
    """Say whether the voucher would redeem now; `reason` is the code of the error if not."""
    try:
        seen = look(request(code, email, order_amount, currency))
        refused = refusal(seen)
    except (CustomerNotFound, VoucherNotFound) as error:
        refused = error
    if refused is not None:
        return {"redeemable": False, "reason": refused.code()}
    return {"redeemable": True, **seen._asdict()}


_look = (
    select(
        Customer.id.label("customer_id"),
        and_(Voucher.code_key.is_not(None), usable_by_customer).label("is_usable"),
        Offer.id.label("offer_id"),
        Offer.max_redemptions_per_customer.label("customer_limit"),
        Voucher.max_redemptions,
        Voucher.expires_at,
        Offer.name.label("offer_name"),
        discount.label("discount"),
        Offer.discount_type,
        orders.currency.label("currency"),
        discount_amount.label("discount_amount"),
        conditions_by_refusal[VoucherAlreadyRedeemed].label("is_unused"),
        conditions_by_refusal[VoucherExpired].label("is_unexpired"),
        conditions_by_refusal[VoucherDisabled].label("is_enabled"),
        conditions_by_refusal[OfferNotActive].label("is_offered"),
        conditions_by_refusal[VoucherHeld].label("is_unheld"),
        orders.conditions_by_refusal[CurrencyMismatch].label("is_in_currency"),
        orders.conditions_by_refusal[CurrencyRequired].label("names_currency"),
        orders.conditions_by_refusal[OrderBelowMinimum].label("is_large_enough"),
        Redemption.id.label("earlier_id"),
        Redemption.customer_id.label("earlier_customer_id"),
        Redemption.order_amount.label("earlier_order_amount"),
        Redemption.currency.label("earlier_currency"),
        Redemption.discount.label("earlier_discount"),
        Redemption.discount_amount.label("earlier_discount_amount"),
        Redemption.redeemed_at.label("earlier_redeemed_at"),
        Redemption.reversed_at.label("earlier_reversed_at"),
    )
    .select_from(Customer)
    .outerjoin(Voucher, Voucher.code_key == bindparam("key"))
    .outerjoin(Offer, Offer.id == Voucher.offer_id)
    .outerjoin(
        Redemption,
        # Compare with the parameter, so that each table names its shard.
        and_(Redemption.code_key == bindparam("key"), Redemption.order_ref == orders.order_ref),
    )
    .where(Customer.email_key == bindparam("email"))
)

look_at_hot = Statement("look", Seen, _look)
look_including_archive = Statement("look_including_archive", Seen, including_archive(_look))

"""Eligibility: looks which of the conditions a voucher meets, and says why it would not redeem."""

from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import (
    and_,
    bindparam,
    false,
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
from voucherpool.vouchers import codes, conditions, limits
from voucherpool.vouchers.archived import including_archive
from voucherpool.vouchers.models import Redemption, Voucher


class Seen(NamedTuple):
    """A voucher as a customer sees it now; `earlier` is the same order's redemption.

    `customer_id` is None for a customer who is still unknown.
    """

    customer_id: int | None
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
    earlier_id: str | None
    earlier_customer_id: int | None
    earlier_order_amount: Decimal | None
    earlier_currency: str | None
    earlier_discount: Decimal
    earlier_discount_amount: Decimal | None
    earlier_redeemed_at: datetime
    earlier_reversed_at: datetime | None


def request(
    code: str,
    email: str | None,
    order_amount: Decimal | None = None,
    currency: str | None = None,
    **values: object,
) -> dict[str, object]:
    """Return the statements' parameters for a voucher, a customer and an order."""
    return {
        "key": codes.normal_form(code),
        "email": None if email is None else email_key(email),
        **conditions.order_parameters(order_amount, currency),
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

    If not `counting`, ignore a limit per customer, and ask no database.
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
    return conditions.order_refusal(seen.is_in_currency, seen.names_currency, seen.is_large_enough)


def check(
    code: str,
    email: str | None,
    order_amount: Decimal | None = None,
    currency: str | None = None,
    create_customer: bool = False,
) -> Seen:
    """Return the voucher if it can be redeemed now; change nothing.

    Without an `email` the customer is still unknown; so is an unknown e-mail that the redemption
    would make a customer with `create_customer`.

    Raises conditions.refusals and conditions.order_refusals.
    """
    this = request(code, email, order_amount, currency)
    try:
        seen = look(this)
    except CustomerNotFound:
        if email is not None and not create_customer:
            raise
        seen = _look_without_customer(this)
    if refused := refusal(seen):
        raise refused
    return seen


def _look_without_customer(request: dict[str, object]) -> Seen:
    unbound = (unbound_at_hot, unbound_including_archive)
    for statement in unbound:
        if seen := statement.one_or_none(request):
            return seen
    raise VoucherNotFound


_seen = (
    Customer.id.label("customer_id"),
    and_(Voucher.code_key.is_not(None), conditions.usable_by_customer).label("is_usable"),
    Offer.id.label("offer_id"),
    Offer.max_redemptions_per_customer.label("customer_limit"),
    Voucher.max_redemptions,
    Voucher.expires_at,
    Offer.name.label("offer_name"),
    conditions.discount.label("discount"),
    Offer.discount_type,
    conditions.currency.label("currency"),
    conditions.discount_amount.label("discount_amount"),
    conditions.of_voucher[VoucherAlreadyRedeemed].label("is_unused"),
    conditions.of_voucher[VoucherExpired].label("is_unexpired"),
    conditions.of_voucher[VoucherDisabled].label("is_enabled"),
    conditions.of_voucher[OfferNotActive].label("is_offered"),
    conditions.of_voucher[VoucherHeld].label("is_unheld"),
    conditions.of_order[CurrencyMismatch].label("is_in_currency"),
    conditions.of_order[CurrencyRequired].label("names_currency"),
    conditions.of_order[OrderBelowMinimum].label("is_large_enough"),
    Redemption.id.label("earlier_id"),
    Redemption.customer_id.label("earlier_customer_id"),
    Redemption.order_amount.label("earlier_order_amount"),
    Redemption.currency.label("earlier_currency"),
    Redemption.discount.label("earlier_discount"),
    Redemption.discount_amount.label("earlier_discount_amount"),
    Redemption.redeemed_at.label("earlier_redeemed_at"),
    Redemption.reversed_at.label("earlier_reversed_at"),
)

# Compare with the parameter, so that each table names its shard.
_is_earlier = (
    Redemption.code_key == bindparam("key"),
    Redemption.order_ref == conditions.same_order,
)

_look = (
    select(*_seen)
    .select_from(Customer)
    .outerjoin(Voucher, Voucher.code_key == bindparam("key"))
    .outerjoin(Offer, Offer.id == Voucher.offer_id)
    .outerjoin(Redemption, and_(*_is_earlier))
    .where(Customer.email_key == bindparam("email"))
)

look_at_hot = Statement("look", Seen, _look)
look_including_archive = Statement("look_including_archive", Seen, including_archive(_look))

_look_unbound = (
    select(*_seen)
    .select_from(Voucher)
    .join(Offer, Offer.id == Voucher.offer_id)
    .outerjoin(Customer, false())
    .outerjoin(Redemption, and_(*_is_earlier))
    .where(Voucher.code_key == bindparam("key"), Voucher.customer_id.is_(None))
)

unbound_at_hot = Statement("look_unbound", Seen, _look_unbound)
unbound_including_archive = Statement(
    "look_unbound_including_archive", Seen, including_archive(_look_unbound)
)

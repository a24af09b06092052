"""The state of a voucher for a customer: would it redeem now, and if not, why?"""

from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from voucherpool.customers.errors import CustomerNotFound
from voucherpool.database.statements import Statement
from voucherpool.errors import VoucherPoolError
from voucherpool.input.emails import email_key
from voucherpool.vouchers import codes
from voucherpool.vouchers.archived import with_archive
from voucherpool.vouchers.eligibility import budgets, limits, rules
from voucherpool.vouchers.errors import CustomerLimitReached, OfferBudgetExhausted, VoucherNotFound
from voucherpool.vouchers.models import expiry


class VoucherState(NamedTuple):
    """A voucher as a customer sees it now.

    `customer_id` is None for a customer who is still unknown. `refusal`, `hold_refusal`
    and `order_refusal` are the codes of the first rules that a redemption, a hold and the order
    break, None if they break none.
    `earlier_id` is the redemption of the same order.
    """

    customer_id: int | None
    is_usable: bool
    offer_id: int | None
    customer_limit: int | None
    has_budget: bool
    code_key: str
    expires_at: datetime | None
    offer_name: str
    discount: Decimal
    discount_type: str
    currency: str | None
    discount_amount: Decimal | None
    refusal: str | None
    hold_refusal: str | None
    order_refusal: str | None
    earlier_id: str | None


def request(
    code: str,
    email: str | None,
    order_ref: str | None = None,
    order_amount: Decimal | None = None,
    currency: str | None = None,
) -> dict[str, object]:
    """Return the statements' parameters for a voucher, a customer and an order."""
    return {
        "key": codes.normal_form(code),
        "email": None if email is None else email_key(email),
        "order_ref": order_ref,
        **rules.order_parameters(order_amount, currency),
    }


def read(request: dict[str, object]) -> VoucherState:
    """Return the voucher's state for the customer. Raises CustomerNotFound and VoucherNotFound.

    Every failed attempt also asks the archive, even for another customer's voucher, so that
    response time reveals nothing.
    """
    voucher = of_customer.one_or_none(request)
    if voucher is not None and not voucher.is_usable:
        voucher = of_customer_including_archive.one_or_none(request)
    if voucher is None:
        raise CustomerNotFound
    if not voucher.is_usable:
        raise VoucherNotFound
    return voucher


def refusal(voucher: VoucherState) -> VoucherPoolError | None:
    """Return the error that redeeming would raise now."""
    return _first(voucher.refusal, voucher) or _of_order(voucher) or _of_budget(voucher)


def refusal_of_hold(voucher: VoucherState, *, of_order: bool) -> VoucherPoolError | None:
    """Return the error that holding would raise now, for the order too if `of_order`."""
    refused = _first(voucher.hold_refusal, voucher)
    return refused or (_of_order(voucher) if of_order else None) or _of_budget(voucher)


def _first(code: str | None, voucher: VoucherState) -> VoucherPoolError | None:
    if code:
        return rules.by_code[code]()
    if limits.reached(voucher.offer_id, voucher.customer_id, voucher.customer_limit):
        return CustomerLimitReached()
    return None


def _of_order(voucher: VoucherState) -> VoucherPoolError | None:
    return rules.by_code[voucher.order_refusal]() if voucher.order_refusal else None


def _of_budget(voucher: VoucherState) -> VoucherPoolError | None:
    ids = (voucher.offer_id, voucher.code_key, voucher.customer_id)
    if voucher.has_budget and not budgets.has_room(*ids, voucher.discount_amount):
        return OfferBudgetExhausted()
    return None


def read_for_unknown_customer(request: dict[str, object]) -> VoucherState:
    """Return the voucher's state for a customer who is still unknown. Raises VoucherNotFound."""
    this = {name: value for name, value in request.items() if name != "email"}
    for statement in (of_unknown_customer, of_unknown_customer_including_archive):
        if voucher := statement.one_or_none(this):
            return voucher
    raise VoucherNotFound


_columns = f"""
    SELECT customers.id AS customer_id,
        vouchers.code_key IS NOT NULL AND {rules.usable} AS is_usable,
        offers.id AS offer_id,
        offers.max_redemptions_per_customer AS customer_limit,
        NOT ({budgets.is_absent}) AS has_budget,
        vouchers.code_key,
        {expiry} AS expires_at,
        offers.name AS offer_name,
        {rules.discount} AS discount,
        offers.discount_type,
        {rules.currency} AS currency,
        {rules.discount_amount} AS discount_amount,
        {rules.first_refusal(rules.of_redemption | rules.of_holds)} AS refusal,
        {rules.first_refusal(rules.of_voucher | rules.of_holds)} AS hold_refusal,
        {rules.first_refusal(rules.of_order)} AS order_refusal,
        earlier.id::text AS earlier_id"""

# Each table is compared with the parameter itself, so each can be asked for this code alone.
_earlier = """
        LEFT JOIN redemptions AS earlier ON earlier.code_key = :key
            AND earlier.order_ref = coalesce(:order_ref, '')"""

_of_customer = f"""{_columns}
    FROM customers
        LEFT JOIN vouchers ON vouchers.code_key = :key
        LEFT JOIN offers ON offers.id = vouchers.offer_id{_earlier}
    WHERE customers.email_key = :email"""

_of_unknown_customer_sql = f"""{_columns}
    FROM vouchers
        JOIN offers ON offers.id = vouchers.offer_id
        LEFT JOIN customers ON false{_earlier}
    WHERE vouchers.code_key = :key AND vouchers.customer_id IS NULL"""

_types = {"key": "text", "order_ref": "text", **rules.order_types}
of_customer = Statement("voucher_state", VoucherState, _of_customer, _types | {"email": "text"})
of_customer_including_archive = Statement(
    "voucher_state_including_archive",
    VoucherState,
    with_archive + _of_customer,
    _types | {"email": "text"},
)
of_unknown_customer = Statement(
    "voucher_state_of_unknown_customer", VoucherState, _of_unknown_customer_sql, _types
)
of_unknown_customer_including_archive = Statement(
    "voucher_state_of_unknown_customer_including_archive",
    VoucherState,
    with_archive + _of_unknown_customer_sql,
    _types,
)

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

    `customer_id` is None for a customer who is still unknown. `refusal` and `order_refusal` are the
    codes of the first rules that the use and the order break, None if they break none.
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
    order_refusal: str | None
    earlier_id: str | None


class Reading(NamedTuple):
    """The statements that read a voucher's state for a use, a redemption or a hold."""

    of_customer: Statement[VoucherState]
    of_customer_including_archive: Statement[VoucherState]
    of_unknown: Statement[VoucherState]
    of_unknown_including_archive: Statement[VoucherState]


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


def read(request: dict[str, object], reading: Reading) -> VoucherState:
    """Return the voucher's state for the customer. Raises CustomerNotFound and VoucherNotFound.

    Every failed attempt also asks the archive, even for another customer's voucher, so that
    response time reveals nothing.
    """
    voucher = reading.of_customer.one_or_none(request)
    if voucher is not None and not voucher.is_usable:
        voucher = reading.of_customer_including_archive.one_or_none(request)
    if voucher is None:
        raise CustomerNotFound
    if not voucher.is_usable:
        raise VoucherNotFound
    return voucher


def read_for_unknown_customer(request: dict[str, object], reading: Reading) -> VoucherState:
    """Return the voucher's state for a customer who is still unknown. Raises VoucherNotFound."""
    this = {name: value for name, value in request.items() if name != "email"}
    for statement in (reading.of_unknown, reading.of_unknown_including_archive):
        if voucher := statement.one_or_none(this):
            return voucher
    raise VoucherNotFound


def refusal(voucher: VoucherState, *, of_order: bool = True) -> VoucherPoolError | None:
    """Return the error that the voucher's use would raise now, for the order too if `of_order`."""
    if voucher.refusal:
        return rules.by_code[voucher.refusal]()
    if limits.reached(voucher.offer_id, voucher.customer_id, voucher.customer_limit):
        return CustomerLimitReached()
    if of_order and voucher.order_refusal:
        return rules.by_code[voucher.order_refusal]()
    ids = (voucher.offer_id, voucher.code_key, voucher.customer_id)
    if voucher.has_budget and not budgets.has_room(*ids, voucher.discount_amount):
        return OfferBudgetExhausted()
    return None


def _reading(name: str, of_use: rules.Rules) -> Reading:
    """Return the statements that say which of the rules of a use a voucher breaks."""
    columns = _columns.format(refusal=rules.first_refusal(of_use | rules.of_holds))

    def statement(name: str, sql: str, **more: str) -> Statement[VoucherState]:
        return Statement(name, VoucherState, sql, _types | more)

    of_customer, of_unknown = columns + _of_customer, columns + _of_unknown_customer
    return Reading(
        statement(name, of_customer, email="text"),
        statement(f"{name}_archived", with_archive + of_customer, email="text"),
        statement(f"{name}_unknown", of_unknown),
        statement(f"{name}_unknown_archived", with_archive + of_unknown),
    )


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
        {{refusal}} AS refusal,
        {rules.first_refusal(rules.of_order)} AS order_refusal,
        earlier.id::text AS earlier_id"""

# Each table is compared with the parameter itself, so each can be asked for this code alone.
_earlier = """
        LEFT JOIN redemptions AS earlier ON earlier.code_key = :key
            AND earlier.order_ref = coalesce(:order_ref, '')"""

_of_customer = f"""
    FROM customers
        LEFT JOIN vouchers ON vouchers.code_key = :key
        LEFT JOIN offers ON offers.id = vouchers.offer_id{_earlier}
    WHERE customers.email_key = :email"""

_of_unknown_customer = f"""
    FROM vouchers
        JOIN offers ON offers.id = vouchers.offer_id
        LEFT JOIN customers ON false{_earlier}
    WHERE vouchers.code_key = :key AND vouchers.customer_id IS NULL"""

_types = {"key": "text", "order_ref": "text", **rules.order_types}
for_redemption = _reading("state_for_redemption", rules.of_redemption)
for_hold = _reading("state_for_hold", rules.of_voucher)

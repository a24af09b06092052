"""The conditions that a voucher, its offer, the customer and the order must meet to redeem.

They are the one definition of eligibility. They go by PostgreSQL's clock.
"""

from decimal import Decimal

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Numeric,
    Text,
    and_,
    bindparam,
    func,
    literal_column,
    or_,
)

from voucherpool.customers.models import Customer
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
from voucherpool.input.fields import currency_decimals
from voucherpool.offers.models import Offer
from voucherpool.vouchers.models import Voucher, open_holds

holds_of_others = f"{open_holds} AND (terms->>'customer')::bigint IS DISTINCT FROM customers.id"
"""The open holds of other customers, or without a customer all: FROM and WHERE of a subquery."""

unheld: ColumnElement[bool] = or_(
    Voucher.holds.is_(None),
    Voucher.redemption_count
    + literal_column(f"(SELECT count(*) FROM {holds_of_others})", BigInteger)
    < Voucher.max_redemptions,
)

usable_by_customer: ColumnElement[bool] = or_(
    Voucher.customer_id.is_(None), Voucher.customer_id == Customer.id
)
"""Unbound, or bound to the customer; another's voucher gets the answer of an unknown code."""

discount: ColumnElement[Decimal] = func.coalesce(Voucher.frozen_discount, Offer.discount)
"""The voucher's current discount, of the offer's type."""

of_voucher: dict[type[VoucherPoolError], ColumnElement[bool]] = {
    # Not by used_at: on a new table PostgreSQL might then read the index of all unused vouchers.
    VoucherAlreadyRedeemed: Voucher.redemption_count < Voucher.max_redemptions,
    VoucherExpired: Voucher.expires_at > func.now(),
    VoucherDisabled: Voucher.disabled_at.is_(None),
    OfferNotActive: Offer.is_active(),
    VoucherHeld: unheld,
}
"""The conditions by the refusal that each failure means; the first failure decides."""

redeemable: ColumnElement[bool] = and_(*of_voucher.values())
"""All of these hold; a limit per customer needs other rows and is apart (limits.reached)."""

refusals: tuple[type[VoucherPoolError], ...] = (
    CustomerNotFound,
    VoucherNotFound,
    *of_voucher,
    RedemptionLimitReached,
    CustomerLimitReached,
)
"""All reasons that refuse a redemption now, apart from those of an order."""

guard: tuple[ColumnElement[bool], ...] = (
    Voucher.code_key == bindparam("key"),
    Customer.email_key == bindparam("email"),
    Offer.id == Voucher.offer_id,
    usable_by_customer,
    *(condition for error, condition in of_voucher.items() if error is not VoucherHeld),
)
"""The WHERE of each write that takes or reserves a use of voucher `key` for customer `email`.

It leaves out holds: each statement adds `unheld`, or `holds IS NULL`, which is faster.

Once PostgreSQL has the row's lock it checks this again on the row's newest version
(https://www.postgresql.org/docs/current/transaction-iso.html, 13.2.1). So when two requests race
for the last use, the later one finds no row.
"""

order_ref = bindparam("order_ref", None, type_=Text)
same_order: ColumnElement[str] = func.coalesce(order_ref, literal_column("''", Text))
"""The order's reference to compare with; without one '', which no reference in the ledger equals.

Not NULL: a cluster would then drop the ledger from its plan and not find the shard.
"""
order_amount = bindparam("order_amount", None, type_=Numeric)
order_currency: ColumnElement[str | None] = bindparam("order_currency", None, type_=Text)
order_decimals: ColumnElement[int | None] = bindparam("order_decimals", None, type_=Integer)

currency: ColumnElement[str | None] = func.coalesce(order_currency, Offer.currency)
"""The currency of the order, or without one of its offer."""

of_order: dict[type[VoucherPoolError], ColumnElement[bool]] = {
    CurrencyMismatch: Offer.takes_currency(order_currency),
    CurrencyRequired: or_(
        order_amount.is_(None), order_currency.is_not(None), Offer.needs_no_currency()
    ),
    OrderBelowMinimum: Offer.takes_order_of(order_amount),
}
"""The conditions by the refusal that each failure means; the first failure decides."""

order_accepted: ColumnElement[bool] = and_(*of_order.values())

no_order: ColumnElement[bool] = and_(order_amount.is_(None), order_currency.is_(None))
"""The order has no amount and no currency."""

discount_amount = Offer.discount_amount(discount, order_amount, order_decimals)

order_refusals = tuple(of_order)


def order_refusal(*are_met: bool) -> VoucherPoolError | None:
    """Return the error of the first of the conditions, in their order, that is not met."""
    for error, is_met in zip(of_order, are_met, strict=True):
        if not is_met:
            return error()
    return None


def order_parameters(amount: Decimal | None, currency: str | None) -> dict[str, object]:
    """Return the statements' parameters for an order's amount and its currency (ISO 4217)."""
    decimals = None if currency is None else currency_decimals[currency]
    return {"order_amount": amount, "order_currency": currency, "order_decimals": decimals}

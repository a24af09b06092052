"""Orders: the parameters of an order, and the conditions of an offer on its currency and amount."""

from decimal import Decimal

from sqlalchemy import ColumnElement, Integer, Numeric, Text, and_, bindparam, func, or_

from voucherpool.errors import (
    CurrencyMismatch,
    CurrencyRequired,
    OrderBelowMinimum,
    VoucherPoolError,
)
from voucherpool.input.fields import currency_decimals
from voucherpool.offers.models import Offer

order_ref = bindparam("order_ref", None, type_=Text)
order_amount = bindparam("order_amount", None, type_=Numeric)
order_currency: ColumnElement[str | None] = bindparam("order_currency", None, type_=Text)
order_decimals: ColumnElement[int | None] = bindparam("order_decimals", None, type_=Integer)

currency: ColumnElement[str | None] = func.coalesce(order_currency, Offer.currency)
"""The currency of the order, or without one of its offer."""

conditions_by_refusal: dict[type[VoucherPoolError], ColumnElement[bool]] = {
    CurrencyMismatch: Offer.takes_currency(order_currency),
    CurrencyRequired: or_(
        order_amount.is_(None), order_currency.is_not(None), Offer.needs_no_currency()
    ),
    OrderBelowMinimum: Offer.takes_order_of(order_amount),
}
"""The conditions by the refusal that each failure means; the first failure decides."""

accepted: ColumnElement[bool] = and_(*conditions_by_refusal.values())

unnamed: ColumnElement[bool] = and_(order_amount.is_(None), order_currency.is_(None))
"""Nothing is known of the order."""


def refusal(*are_met: bool) -> VoucherPoolError | None:
    """Return the error of the first of the conditions, in their order, that is not met."""
    for error, is_met in zip(conditions_by_refusal, are_met, strict=True):
        if not is_met:
            return error()
    return None


def parameters(amount: Decimal | None, currency: str | None) -> dict[str, object]:
    """Return the statements' parameters for an order's amount and its currency (ISO 4217)."""
    decimals = None if currency is None else currency_decimals[currency]
    return {"order_amount": amount, "order_currency": currency, "order_decimals": decimals}

"""The rules that a voucher, its offer, the customer and the order must meet to redeem.

They are the one definition of eligibility, in SQL, and go by PostgreSQL's clock. A rule about an
order names its parameters: `order_amount`, `order_currency` and `order_decimals`, each NULL if the
order does not say.
"""

from decimal import Decimal

from sqlalchemy import Boolean, ColumnElement, Numeric, literal_column

from voucherpool.customers.errors import CustomerNotFound
from voucherpool.errors import VoucherPoolError
from voucherpool.input.amounts import currency_decimals
from voucherpool.vouchers.errors import (
    CurrencyMismatch,
    CurrencyRequired,
    CustomerLimitReached,
    OfferBudgetExhausted,
    OfferNotActive,
    OrderAmountRequired,
    OrderBelowMinimum,
    RedemptionLimitReached,
    VoucherAlreadyRedeemed,
    VoucherDisabled,
    VoucherExpired,
    VoucherHeld,
    VoucherNotFound,
    VoucherNotStarted,
)
from voucherpool.vouchers.models import open_holds

Rules = dict[type[VoucherPoolError], str]
"""Conditions by the refusal that a failure means. The first failure decides."""

offer_is_active = """(offers.starts_at IS NULL OR offers.starts_at <= now())
    AND (offers.ends_at IS NULL OR offers.ends_at > now())"""

holds_of_others = f"{open_holds} AND (terms->>'customer')::bigint IS DISTINCT FROM customers.id"
"""FROM and WHERE that select the open holds of other customers; without a customer, all of them."""

own_hold = f"{open_holds} AND (terms->>'customer')::bigint = customers.id"
"""FROM and WHERE that select the customer's own open hold."""

_is_held = f"EXISTS (SELECT FROM {own_hold})"

# Not by used_at: on a new table PostgreSQL might then read the index of all unused vouchers.
_has_uses_left = "vouchers.redemption_count < vouchers.max_redemptions"

of_voucher: Rules = {
    RedemptionLimitReached: f"vouchers.max_redemptions = 1 OR {_has_uses_left}",
    VoucherAlreadyRedeemed: f"vouchers.max_redemptions > 1 OR {_has_uses_left}",
    VoucherExpired: "vouchers.expires_at > now()",
    VoucherDisabled: "vouchers.disabled_at IS NULL",
    VoucherNotStarted: "vouchers.starts_at IS NULL OR vouchers.starts_at <= now()",
    OfferNotActive: offer_is_active,
}

of_redemption: Rules = of_voucher | {
    VoucherExpired: f"{of_voucher[VoucherExpired]} OR {_is_held}",
    OfferNotActive: f"{offer_is_active} OR {_is_held}",
}
"""The same for who holds the voucher: until the hold ends, no expiry and no end of the offer count.

The customer has seen the lower price, and perhaps paid it.
"""

of_holds: Rules = {
    VoucherHeld: f"""vouchers.holds IS NULL OR vouchers.redemption_count + (
            SELECT count(*) FROM {holds_of_others}
        ) < vouchers.max_redemptions""",
}

of_order: Rules = {
    CurrencyMismatch: """:order_currency IS NULL OR offers.currency IS NULL
        OR offers.currency = :order_currency""",
    CurrencyRequired: """:order_amount IS NULL OR :order_currency IS NOT NULL
        OR offers.currency_optional OR (offers.discount_type = 'percentage'
            AND offers.min_order_amount IS NULL AND offers.max_discount_amount IS NULL
            AND offers.max_discount_total IS NULL)""",
    OrderAmountRequired: "offers.max_discount_total IS NULL OR :order_amount IS NOT NULL",
    OrderBelowMinimum: """offers.min_order_amount IS NULL
        OR :order_amount IS NOT NULL AND :order_amount >= offers.min_order_amount""",
}

refusals: tuple[type[VoucherPoolError], ...] = (
    *(CustomerNotFound, VoucherNotFound),
    *(*of_voucher, *of_holds, CustomerLimitReached, OfferBudgetExhausted),
)
"""All reasons that refuse a redemption now, apart from those of an order."""

order_refusals = tuple(of_order)

by_code = {refusal.code(): refusal for refusal in (*refusals, *order_refusals)}

usable = "(vouchers.customer_id IS NULL OR vouchers.customer_id = customers.id)"
"""Unbound, or bound to the customer; another's voucher gets the answer of an unknown code."""

discount = "coalesce(vouchers.frozen_discount, offers.discount)"
"""The voucher's current discount, of the offer's type."""

currency = "coalesce(:order_currency, offers.currency)"
"""The currency of the order, or without one of its offer."""

_decimals = "coalesce(:order_decimals, offers.currency_decimals)::integer"

discount_amount = f"""CASE WHEN :order_amount IS NOT NULL THEN least(
        round(
            CASE WHEN offers.discount_type = 'percentage' THEN :order_amount * {discount} / 100
            ELSE {discount} END,
            {_decimals}
        ),
        trunc(offers.max_discount_amount, {_decimals}),
        trunc(:order_amount, {_decimals})
    ) END"""
"""The amount to take off an order: rounded half up to the currency's minor unit, capped, and never
more than the order."""

order_types = {"order_amount": "numeric", "order_currency": "text", "order_decimals": "integer"}


def met(*rules: Rules) -> str:
    """Return the condition that all the rules are met, for a WHERE."""
    return "\n    AND ".join(f"({condition})" for group in rules for condition in group.values())


def first_refusal(rules: Rules) -> str:
    """Return the expression of the code of the first rule that is not met, NULL if all are."""
    cases = (f"WHEN ({rule}) IS NOT TRUE THEN '{error.code()}'" for error, rule in rules.items())
    return f"CASE {' '.join(cases)} END"


def order_parameters(amount: Decimal | None, currency: str | None) -> dict[str, object]:
    """Return the statements' parameters for an order's amount and its currency (ISO 4217)."""
    decimals = None if currency is None else currency_decimals[currency]
    return {"order_amount": amount, "order_currency": currency, "order_decimals": decimals}


def condition(sql: str) -> ColumnElement[bool]:
    """Return a condition as a part of a query that is built from the models."""
    return literal_column(f"({sql})", Boolean)


def redeemable_but_for(*excepted: type[VoucherPoolError]) -> ColumnElement[bool]:
    """Return the condition that all rules of a voucher are met, apart from the excepted ones."""
    wanted = {error: sql for error, sql in (of_voucher | of_holds).items() if error not in excepted}
    return condition(met(wanted))


redeemable = redeemable_but_for()
"""All rules of the voucher are met; a limit per customer needs other rows and is apart."""

current_discount: ColumnElement[Decimal] = literal_column(discount, Numeric)

no_order = "(:order_amount IS NULL AND :order_currency IS NULL)"
"""The order has no amount and no currency."""

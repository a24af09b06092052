"""The terms of offers: what they must fulfil together, and how a model names them."""

from collections.abc import Mapping
from typing import Any

from voucherpool.input.amounts import currency_decimals
from voucherpool.input.errors import InvalidInput


def attributes(terms: Mapping[str, Any]) -> dict[str, Any]:
    """Return the terms by the attributes of an Offer: SQLAlchemy has a `metadata` of its own."""
    return {"metadata_" if name == "metadata" else name: terms[name] for name in terms}


def have_budget(terms: Mapping[str, Any]) -> bool:
    """Tell whether the terms limit the redemptions of the whole offer, or their discounts."""
    return any(terms.get(name) is not None for name in ("max_redemptions", "max_discount_total"))


amounts = ("min_order_amount", "max_discount_amount", "max_discount_total")
term_names = (
    "discount",
    "discount_type",
    "currency",
    "min_order_amount",
    "max_discount_amount",
    "max_redemptions",
    "max_discount_total",
    "starts_at",
    "ends_at",
)


def require_consistent(terms: Mapping[str, Any]) -> None:
    """Raise InvalidInput if the terms contradict each other."""
    errors = {}
    of_currency = currency_decimals[terms["currency"]] if terms.get("currency") else 2
    decimals = dict.fromkeys(amounts, of_currency) | {"discount": 2}
    if terms["discount_type"] == "fixed_amount":
        decimals["discount"] = of_currency
        if not terms.get("currency"):
            errors["currency"] = ["A fixed amount needs a currency."]
    elif terms["discount"] > 100:
        errors["discount"] = ["A percentage must be at most 100."]
    if terms.get("max_discount_total") and not terms.get("currency"):
        errors["max_discount_total"] = ["A budget of money needs a currency: send `currency` too."]
    for name, most in decimals.items():
        if terms.get(name) and terms[name] != round(terms[name], most):
            errors[name] = [f"Must have at most {most} decimals."]
    starts_at, ends_at = terms.get("starts_at"), terms.get("ends_at")
    if starts_at and ends_at and starts_at >= ends_at:
        errors["ends_at"] = ["Must be after starts_at."]
    if errors:
        raise InvalidInput(errors)

"""Lists a customer's vouchers."""

from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from voucherpool.customers.errors import CustomerNotFound
from voucherpool.database import paging
from voucherpool.database.paging import Page, Position
from voucherpool.database.statements import Statement
from voucherpool.input.emails import email_key
from voucherpool.vouchers.eligibility import budgets, limits, rules
from voucherpool.vouchers.models import expiry

before_all = ("-infinity", 0)


class ListingCustomer(NamedTuple):
    """A customer, and whether any offer has a limit per customer or a budget."""

    customer_id: int
    may_be_limited: bool
    may_be_exhausted: bool


class Listed(NamedTuple):
    """A voucher that can be redeemed now, and its position in the list."""

    code: str
    offer_name: str
    discount: Decimal
    discount_type: str
    currency: str | None
    expires_at: datetime | None
    at_0: datetime | None
    at_1: int


def list_redeemable(email: str, limit: int, after: Position | None = None) -> Page:
    """Return up to `limit` of the customer's vouchers that can be redeemed now.

    The earliest expiry comes first, what never expires last, and at the same moment the first
    issued. Raises CustomerNotFound.
    """
    customer = asking.one_or_none({"email": email_key(email)})
    if customer is None:
        raise CustomerNotFound
    exhausted = limits.exhausted_offers(customer.customer_id) if customer.may_be_limited else []
    if customer.may_be_exhausted:
        exhausted += budgets.exhausted_offers(customer.customer_id)
    expires_at, issue_number = after or before_all
    position = {"expires_at": expires_at or "infinity", "issue_number": issue_number}
    request = {"customer_id": customer.customer_id, "exhausted": exhausted, "count": limit + 1}
    return paging.cut(list_some.all(request | position), limit, len(before_all))


asking = Statement(
    "customer_with_vouchers",
    ListingCustomer,
    """
    SELECT id AS customer_id, EXISTS (
        SELECT 1 FROM offers WHERE max_redemptions_per_customer IS NOT NULL
    ) AS may_be_limited, EXISTS (SELECT 1 FROM offer_budgets) AS may_be_exhausted
    FROM customers WHERE email_key = :email""",
    {"email": "text"},
)

list_some = Statement(
    "list_vouchers",
    Listed,
    f"""
    SELECT code, offers.name AS offer_name, {rules.discount} AS discount, offers.discount_type,
        offers.currency, {expiry} AS expires_at, {expiry} AS at_0, issue_number AS at_1
    FROM vouchers
        JOIN offers ON offers.id = vouchers.offer_id
        JOIN customers ON customers.id = vouchers.customer_id
    WHERE customers.id = :customer_id
        AND (vouchers.expires_at, issue_number) > (:expires_at, :issue_number)
        AND offers.id <> ALL(:exhausted)
        AND used_at IS NULL -- for the index
        AND {rules.met(rules.of_voucher, rules.of_holds)}
    ORDER BY vouchers.expires_at, issue_number
    LIMIT :count""",
    {
        "customer_id": "bigint",
        "expires_at": "timestamptz",
        "issue_number": "bigint",
        "exhausted": "bigint[]",
        "count": "bigint",
    },
)

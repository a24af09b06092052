"""Lists a customer's vouchers."""

from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import ARRAY, BigInteger, DateTime, bindparam, exists, select, tuple_

from voucherpool.customers.models import Customer
from voucherpool.database import paging
from voucherpool.database.paging import Page, Position
from voucherpool.database.statements import Statement
from voucherpool.errors import CustomerNotFound
from voucherpool.input.emails import email_key
from voucherpool.offers.models import Offer
from voucherpool.vouchers import conditions, limits
from voucherpool.vouchers.models import Voucher

before_all = ("-infinity", 0)


class Asker(NamedTuple):
    """A customer, and whether any offer has a limit per customer."""

    customer_id: int
    may_be_limited: bool


class Listed(NamedTuple):
    """A voucher that can be redeemed now, and its position in the list."""

    code: str
    offer_name: str
    discount: Decimal
    discount_type: str
    currency: str | None
    expires_at: datetime
    at_0: datetime
    at_1: int


def list_redeemable(email: str, limit: int, after: Position | None = None) -> Page:
    """Return up to `limit` of the customer's vouchers that can be redeemed now.

    The earliest expiry comes first, then the first issued. Raises CustomerNotFound.
    """
    asker = asking.one_or_none({"email": email_key(email)})
    if asker is None:
        raise CustomerNotFound
    exhausted = limits.exhausted_offers(asker.customer_id) if asker.may_be_limited else []
    position = dict(zip(("expires_at", "issue_number"), after or before_all, strict=True))
    request = {"customer_id": asker.customer_id, "exhausted": exhausted, "count": limit + 1}
    return paging.cut(list_some.all(request | position), limit, len(order))


order = (Voucher.expires_at, Voucher.issue_number)

asking = Statement(
    "asking",
    Asker,
    select(
        Customer.id.label("customer_id"),
        exists().where(Offer.max_redemptions_per_customer.is_not(None)).label("may_be_limited"),
    ).where(Customer.email_key == bindparam("email")),
)

list_some = Statement(
    "list_vouchers",
    Listed,
    select(
        Voucher.code,
        Offer.name.label("offer_name"),
        conditions.discount.label("discount"),
        Offer.discount_type,
        Offer.currency,
        Voucher.expires_at,
        *(column.label(f"at_{number}") for number, column in enumerate(order)),
    )
    .join(Offer, Offer.id == Voucher.offer_id)
    .join(Customer, Customer.id == Voucher.customer_id)
    .where(
        Customer.id == bindparam("customer_id"),
        tuple_(*order)
        > tuple_(
            bindparam("expires_at", type_=DateTime(timezone=True)),
            bindparam("issue_number", type_=BigInteger),
        ),
        Offer.id != bindparam("exhausted", type_=ARRAY(BigInteger)).all_(),
        Voucher.used_at.is_(None),  # for the index
        conditions.redeemable,
    )
    .order_by(*order)
    .limit(bindparam("count", type_=BigInteger)),
    # Planned for each customer: with many vouchers, reading an index in order avoids a sort.
    prepared=False,
)

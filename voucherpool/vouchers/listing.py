"""Lists a customer's vouchers."""

from sqlalchemy import BigInteger, DateTime, bindparam, select, tuple_

from voucherpool import paging
from voucherpool.customers import service as customers
from voucherpool.customers.models import Customer
from voucherpool.offers.models import Offer
from voucherpool.paging import Page, Position
from voucherpool.statements import Statement
from voucherpool.vouchers import rules
from voucherpool.vouchers.models import Voucher

before_all = ("-infinity", 0)


def list_redeemable(email: str, limit: int, after: Position | None = None) -> Page:
    """Return up to `limit` vouchers that are bound to the customer and would redeem now.

    Oldest expiry first, then in the order of their issue. Raises CustomerNotFound.
    """
    place = dict(zip(("expires_at", "issue_number"), after or before_all, strict=True))
    request = {"customer_id": customers.id_of(email), "count": limit + 1, **place}
    return paging.cut(list_some.all(request), limit, len(order))


order = (Voucher.expires_at, Voucher.issue_number)

list_some = Statement(
    "list_vouchers",
    select(
        Voucher.code,
        Offer.name.label("offer_name"),
        rules.discount.label("discount"),
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
        rules.redeemable,
    )
    .order_by(*order)
    .limit(bindparam("count", type_=BigInteger)),
    # Only who knows that the customer has many vouchers reads them in order, without a sort.
    prepared=False,
)

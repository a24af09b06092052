"""Lists a customer's vouchers."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Row, exists, select, tuple_

from voucherpool.customers.models import Customer, email_key
from voucherpool.db import db
from voucherpool.errors import CustomerNotFound
from voucherpool.offers.models import Offer
from voucherpool.vouchers.models import Voucher

Position = tuple[datetime, int]  # expires_at and issue_number: where a page of the list ends


class Page(NamedTuple):
    """Some of a customer's vouchers, and where the next ones begin, if there are more."""

    vouchers: Sequence[Row[Any]]
    end: Position | None


def list_redeemable(email: str, limit: int, after: Position | None = None) -> Page:
    """Return up to `limit` vouchers that are bound to the customer and would redeem now.

    Oldest expiry first, then in the order of their issue. Raises CustomerNotFound.
    """
    key = email_key(email)
    rows = db.session.execute(_redeemable(key, limit + 1, after)).all()
    if not rows and not db.session.scalar(select(exists().where(Customer.email_key == key))):
        raise CustomerNotFound
    if len(rows) <= limit:
        return Page(rows, None)
    last = rows[limit - 1]
    return Page(rows[:limit], (last.expires_at, last.issue_number))


def _redeemable(key: str, limit: int, after: Position | None) -> Any:
    position = (Voucher.expires_at, Voucher.issue_number)
    statement = (
        select(
            Voucher.code,
            Offer.name.label("offer_name"),
            Offer.discount,
            Voucher.expires_at,
            Voucher.issue_number,
        )
        .join(Offer, Offer.id == Voucher.offer_id)
        .join(Customer, Customer.id == Voucher.customer_id)
        .where(Customer.email_key == key, Voucher.redeemable())
        .order_by(*position)
        .limit(limit)
    )
    return statement if after is None else statement.where(tuple_(*position) > tuple_(*after))

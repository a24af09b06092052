"""Lists a customer's vouchers."""

from sqlalchemy import exists, select

from voucherpool import paging
from voucherpool.customers.models import Customer, email_key
from voucherpool.db import db
from voucherpool.errors import CustomerNotFound
from voucherpool.offers.models import Offer
from voucherpool.paging import Page, Position
from voucherpool.vouchers import rules
from voucherpool.vouchers.models import Voucher


def list_redeemable(email: str, limit: int, after: Position | None = None) -> Page:
    """Return up to `limit` vouchers that are bound to the customer and would redeem now.

    Oldest expiry first, then in the order of their issue. Raises CustomerNotFound.
    """
    key = email_key(email)
    mine = redeemable.where(Customer.email_key == key)
    page = paging.fetch(mine, (Voucher.expires_at, Voucher.issue_number), limit, after)
    if not page.items and not db.session.scalar(select(exists().where(Customer.email_key == key))):
        raise CustomerNotFound
    return page


redeemable = (
    select(
        Voucher.code,
        Offer.name.label("offer_name"),
        rules.discount.label("discount"),
        Offer.discount_type,
        Offer.currency,
        Voucher.expires_at,
    )
    .join(Offer, Offer.id == Voucher.offer_id)
    .join(Customer, Customer.id == Voucher.customer_id)
    .where(rules.redeemable)
)

"""Lists a customer's vouchers."""

from sqlalchemy import select

from voucherpool import paging
from voucherpool.customers import service as customers
from voucherpool.customers.models import Customer
from voucherpool.offers.models import Offer
from voucherpool.paging import Page, Position
from voucherpool.vouchers import rules
from voucherpool.vouchers.models import Voucher


def list_redeemable(email: str, limit: int, after: Position | None = None) -> Page:
    """Return up to `limit` vouchers that are bound to the customer and would redeem now.

    Oldest expiry first, then in the order of their issue. Raises CustomerNotFound.
    """
    # The customer's id as a constant lets the index deliver the page in order, without a sort.
    mine = redeemable.where(Customer.id == customers.id_of(email))
    return paging.fetch(mine, (Voucher.expires_at, Voucher.issue_number), limit, after)


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

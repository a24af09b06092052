"""Exports vouchers to a file."""

from sqlalchemy import func, or_, select

from voucherpool.batches import service as batches
from voucherpool.customers.models import Customer
from voucherpool.database.csv_files import cell, moment
from voucherpool.database.domains import never
from voucherpool.database.model import AnySelect, db
from voucherpool.files import layout
from voucherpool.offers import service as offers
from voucherpool.vouchers.models import Voucher


def of_offer(offer_id: int) -> AnySelect:
    """Return the query of an offer's vouchers. Raises OfferNotFound."""
    offers.read(offer_id)
    return vouchers.where(Voucher.offer_id == offer_id)


def of_batch(batch_id: int) -> AnySelect:
    """Return the query of a batch's vouchers. Raises BatchNotFound."""
    batches.read(batch_id)
    return vouchers.where(Voucher.batch_id == batch_id)


def count(chosen: AnySelect) -> int:
    """Return the number of vouchers of the query."""
    rows = chosen.order_by(None).with_only_columns(func.count(), maintain_column_froms=True)
    total: int = db.session.execute(rows).scalar_one()
    return total


# Without those of erased customers: nobody can redeem them, and they would look like the pool's.
vouchers = (
    select(
        cell(Voucher.__table__.c.code),
        cell(Customer.__table__.c.email),
        func.coalesce(moment(func.nullif(Voucher.expires_at, never)), layout.never),
        Voucher.max_redemptions,
        func.trim_scale(Voucher.frozen_discount),
        moment(Voucher.__table__.c.disabled_at),
        Voucher.redemption_count,
    )
    .outerjoin(Customer, Customer.id == Voucher.customer_id)
    .where(or_(Voucher.customer_id.is_(None), Customer.email.is_not(None)))
    .order_by(Voucher.issue_number)
)

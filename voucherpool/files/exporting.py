"""Exports vouchers to a file."""

import csv
from collections.abc import Callable
from io import TextIOWrapper
from typing import IO

from sqlalchemy import ColumnElement, case, func, literal, or_, select

from voucherpool.batches import service as batches
from voucherpool.customers.models import Customer
from voucherpool.database.model import AnySelect, db
from voucherpool.files import layout
from voucherpool.offers import service as offers
from voucherpool.vouchers.models import Voucher

page_size = 1000
"""Few, because no other thread of the process computes while a page is fetched or written."""

Progress = Callable[[int], object]


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


def write(file: IO[bytes], chosen: AnySelect, progress: Progress = lambda _: None) -> int:
    """Write the vouchers of the query in one snapshot, rewind the file, and return their number.

    Call it in a long_transaction(). It passes the number of rows of each page to `progress`.
    """
    text = TextIOWrapper(file, "utf-8", newline="")
    writer = csv.writer(text)
    writer.writerow(layout.columns)
    found = db.session.execute(chosen, execution_options={"yield_per": page_size})
    written = 0
    for page in found.partitions():
        writer.writerows(page)
        written += len(page)
        progress(len(page))
    text.detach()
    file.seek(0)
    return written


def _cell(column: ColumnElement[str]) -> ColumnElement[str]:
    is_formula = column.op("~")(literal(layout.formula))
    return case((is_formula, literal("'") + column), else_=column)


def _moment(column: ColumnElement[str]) -> ColumnElement[str]:
    """Format a moment like the routes: in UTC, its fraction without trailing zeros."""
    spelt = func.to_char(func.timezone("UTC", column), 'YYYY-MM-DD"T"HH24:MI:SS.US')
    return func.rtrim(func.rtrim(spelt, "0"), ".") + "Z"


# Without those of erased customers: nobody can redeem them, and they would look like the pool's.
vouchers = (
    select(
        _cell(Voucher.__table__.c.code),
        _cell(Customer.__table__.c.email),
        _moment(Voucher.__table__.c.expires_at),
        Voucher.max_redemptions,
        func.trim_scale(Voucher.frozen_discount),
        _moment(Voucher.__table__.c.disabled_at),
        Voucher.redemption_count,
    )
    .outerjoin(Customer, Customer.id == Voucher.customer_id)
    .where(or_(Voucher.customer_id.is_(None), Customer.email.is_not(None)))
    .order_by(Voucher.issue_number)
)

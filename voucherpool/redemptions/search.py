"""Searches the ledger, including the archive, and exports what it finds: a month, for finance."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, SQLColumnExpression, Text, cast, func, select, true

from voucherpool.batches import service as batches
from voucherpool.customers import service as customers
from voucherpool.customers.models import Customer
from voucherpool.database import cluster, paging
from voucherpool.database.csv_files import cell, local_moment
from voucherpool.database.model import AnySelect
from voucherpool.database.paging import Page, Position
from voucherpool.offers import service as offers
from voucherpool.offers.models import Offer
from voucherpool.redemptions import ledger
from voucherpool.vouchers import codes
from voucherpool.vouchers.archived import including_archive
from voucherpool.vouchers.models import Redemption, Voucher

has_index = {"code_key", "customer_id", "offer_id", "order_ref"}


def search(
    limit: int,
    after: Position | None = None,
    *,
    by: str = "redeemed_at",
    descending: bool = False,
    **criteria: Any,
) -> Page:
    """Return up to `limit` redemptions that meet all of the criteria, in the order of their time.

    The criteria are `code`, `offer_id`, `offer_name`, `batch_id`, `email`, `order_ref`, and a time
    from `since` on and before `until`; None is no criterion. `by` chooses the time.

    Raises CustomerNotFound, OfferNotFound and BatchNotFound.
    """
    values = _values(criteria)
    order = (getattr(Redemption, by), Redemption.id)
    conditions = _conditions(values, by, ledger.voucher.c.batch_id)
    if not (values.keys() & has_index or cluster.is_cluster()):
        conditions = _of_each_offer(conditions, order, limit + 1, after, descending)
    statement = ledger.redemptions.where(*conditions)
    return paging.fetch(statement, order, limit, after, newest_first=descending)


def _of_each_offer(
    conditions: list[ColumnElement[bool]],
    order: Sequence[SQLColumnExpression[Any]],
    count: int,
    after: Position | None,
    newest_first: bool,
) -> list[ColumnElement[bool]]:
    """Return conditions that only the first `count` meet of those that meet the conditions.

    An index of an offer's redemptions serves the search of all, one offer after the other.
    """
    of_one = select(Redemption.code_key, *order).where(Redemption.offer_id == Offer.id, *conditions)
    some = paging.first_of(
        of_one.correlate(Offer), order, count, after, newest_first=newest_first
    ).lateral("some")
    key, *merged = some.c
    of_all = select(key, merged[-1]).select_from(Offer).join(some, true())
    # A join, because PostgreSQL expects too many rows from IN and would sort the ledger.
    found = paging.first_of(of_all, merged, count, None, newest_first=newest_first).subquery()
    return [Redemption.code_key == found.c.code_key, Redemption.id == found.c.id]


def exported(*, by: str = "redeemed_at", **criteria: Any) -> AnySelect:
    """Return the query of a file with the redemptions that search() finds, in the same order.

    Raises as search().
    """
    conditions = _conditions(_values(criteria), by, Voucher.__table__.c.batch_id)
    return rows.where(*conditions).order_by(getattr(Redemption, by), Redemption.id)


def _values(criteria: Mapping[str, Any]) -> dict[str, Any]:
    """Return the criteria with ids for names and the normal form of a code."""
    values = {name: value for name, value in criteria.items() if value is not None}
    if (email := values.pop("email", None)) is not None:
        values["customer_id"] = customers.id_of(email)
    if (name := values.pop("offer_name", None)) is not None:
        values["offer_id"] = offers.id_of(name)
    if (code := values.pop("code", None)) is not None:
        values["code_key"] = codes.normal_form(code)
    if "batch_id" in values:
        # Its redemptions are among those of its offer, which have an index.
        values.setdefault("offer_id", batches.read(values["batch_id"]).offer_id)
    return values


def _conditions(
    values: Mapping[str, Any], by: str, batch_id: ColumnElement[Any]
) -> list[ColumnElement[bool]]:
    columns = {name: getattr(Redemption, name) for name in has_index} | {"batch_id": batch_id}
    conditions = [column == values[name] for name, column in columns.items() if name in values]
    when = getattr(Redemption, by)
    if by != "redeemed_at":
        conditions.append(when.is_not(None))
    if "since" in values:
        conditions.append(when >= values["since"])
    if "until" in values:
        conditions.append(when < values["until"])
    return conditions


_r, _v, _c, _o = (model.__table__.c for model in (Redemption, Voucher, Customer, Offer))
cells = {
    "id": _r.id,
    "code": cell(_v.code),
    "email": cell(_c.email),
    "offer_name": cell(_o.name),
    "batch_id": _v.batch_id,
    "order_ref": cell(_r.order_ref),
    "order_amount": _r.order_amount,
    "currency": _r.currency,
    "discount": _r.discount,
    "discount_type": _r.discount_type,
    "discount_amount": _r.discount_amount,
    "redeemed_at": local_moment(_r.redeemed_at),
    "reversed_at": local_moment(_r.reversed_at),
    "kind": func.coalesce(_r.kind, "redeemed"),
    "metadata": cell(cast(_r.metadata_, Text)),
}
"""The columns of a file; `metadata` is JSON."""

rows = including_archive(
    select(*cells.values())
    .select_from(Redemption)
    .join(Voucher, Voucher.code_key == Redemption.code_key)
    .outerjoin(Customer, Customer.id == Redemption.customer_id)
    .join(Offer, Offer.id == Redemption.offer_id)
)

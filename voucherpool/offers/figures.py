"""Counts what happens to an offer's vouchers, in the statement that makes it happen."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Date,
    FromClause,
    Row,
    bindparam,
    case,
    cast,
    func,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import Insert, insert

from voucherpool.db import db
from voucherpool.offers import service
from voucherpool.offers.models import OfferFigures
from voucherpool.vouchers.models import Voucher

slots = 16
shown_days = 90

Figures = Mapping[str, Any]


def read(offer_id: int, since: date | None = None, until: date | None = None) -> Figures:
    """Return what became of the offer's vouchers, in all and on each day that saw any of it.

    The days are in UTC and come newest first; without limits they are the last 90. A voucher is
    open until its uses are used up or it expires; a disabled one is. Raises OfferNotFound.
    """
    offer = service.read(offer_id)
    request = {"offer_id": offer.id, "since": since, "until": until}
    total, *days = db.session.execute(statement, request).all()
    return {**_in_all(total), "days": days}


def count(offer_id: int, **counts: int) -> None:
    """Add to the figures of the offer and of today: the writer's last lock before its commit."""
    amounts = {name: bindparam(name, type_=BigInteger) for name in counts}
    source = select(bindparam("offer_id", type_=BigInteger).label("offer_id")).subquery()
    db.session.execute(
        raised(source, source.c.offer_id, func.now(), amounts), {"offer_id": offer_id, **counts}
    )


def raised(
    source: FromClause,
    offer_id: ColumnElement[int],
    moment: ColumnElement[datetime],
    counts: Mapping[str, ColumnElement[int]],
    *,
    several: bool = False,
) -> Insert:
    """Return the statement that adds the counts of the source's row to the figures.

    With `several` the source may have more than one. The rows that it locks are shared by many
    writers, each offer's in turn, so its source should come last.
    """
    day = cast(func.timezone("UTC", moment), Date)
    slot = func.pg_backend_pid() % slots
    rows = select(offer_id, day, slot, *counts.values()).select_from(source)
    if several:
        sums = (func.sum(number) for number in counts.values())
        rows = select(offer_id, day, slot, *sums).select_from(source)
        rows = rows.group_by(offer_id, day).order_by(offer_id, day)
    new = insert(OfferFigures.__table__).from_select(["offer_id", "day", "slot", *counts], rows)
    columns = OfferFigures.__table__.columns
    return new.on_conflict_do_update(
        index_elements=["offer_id", "day", "slot"],
        set_={name: columns[name] + new.excluded[name] for name in counts},
    )


def _in_all(total: Row[*tuple[Any, ...]]) -> dict[str, int]:
    expired = total.expired + total.expired_archived
    return {
        **{name: getattr(total, name) for name in names},
        "expired": expired,
        "open": total.issued - total.used_up - expired,
    }


names = ("issued", "claimed", "redeemed", "reversed")

_today = cast(func.timezone("UTC", func.now()), Date)
_since = bindparam("since", type_=Date)
_until = func.coalesce(bindparam("until", type_=Date), _today)

_expired = (
    select(func.count())
    .select_from(Voucher)
    .where(
        Voucher.offer_id == bindparam("offer_id"),
        Voucher.used_at.is_(None),
        Voucher.expires_at <= func.now(),
    )
    .scalar_subquery()
)

_is_total = func.grouping(OfferFigures.day) == 1

# The first row is the total of all days, with a NULL for its day; there is always one.
statement = (
    select(
        OfferFigures.day,
        *(
            cast(func.coalesce(func.sum(column), 0), BigInteger).label(column.name)
            for column in OfferFigures.__table__.columns
            if column.name not in ("offer_id", "day", "slot")
        ),
        case((_is_total, _expired)).label("expired"),
    )
    .where(OfferFigures.offer_id == bindparam("offer_id"))
    .group_by(func.rollup(OfferFigures.day))
    .having(
        or_(
            _is_total,
            OfferFigures.day.between(func.coalesce(_since, _until - (shown_days - 1)), _until),
        )
    )
    .order_by(OfferFigures.day.desc().nulls_first())
)

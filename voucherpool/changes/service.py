"""Creates, reads and cancels changes of many vouchers."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import delete, func, insert, select, update

from voucherpool.audit import service as audit
from voucherpool.batches import service as batches
from voucherpool.changes.models import Change, ChangeVouchers
from voucherpool.changes.terms import Expiry, as_json
from voucherpool.database import paging
from voucherpool.database.model import db
from voucherpool.database.paging import Page, Position
from voucherpool.database.transactions import require_future
from voucherpool.errors import Conflict, NotFound
from voucherpool.offers import service as offers


class ChangeNotFound(NotFound):
    detail = "No change has this id."


class ChangeFinished(Conflict):
    detail = "This change is finished: make another one that undoes it."


class BatchUnfinished(Conflict):
    detail = "This batch still issues vouchers: wait until it is done, or cancel it first."


class Progress(NamedTuple):
    """A change as its readers see it; `matched` is None until it begins."""

    id: int
    offer_id: int
    batch_id: int | None
    state: str
    terms: Mapping[str, object]
    chosen: str
    reason: str | None
    dry_run: bool
    matched: int | None
    changed: int
    skipped: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    error: str | None


def change_batch(batch_id: int, **request: Any) -> Progress:
    """Create a change of a batch's vouchers as create() does.

    Raises BatchNotFound, BatchUnfinished and InvalidInput.
    """
    batch = batches.read(batch_id)
    if batch.finished_at is None:
        raise BatchUnfinished
    return create(batch.offer_id, batch_id, **request)


def change_offer(offer_id: int, **request: Any) -> Progress:
    """Create a change of an offer's vouchers as create() does.

    Raises OfferNotFound and InvalidInput.
    """
    return create(offers.read(offer_id).id, None, **request)


def create(
    offer_id: int,
    batch_id: int | None,
    *,
    chosen: str = "all",
    reason: str | None = None,
    dry_run: bool = False,
    timezone: str = "UTC",
    **terms: Expiry | bool,
) -> Progress:
    """Create a change and return it; a worker changes the vouchers that exist when it begins.

    `chosen` is all, unused (no use is taken) or unclaimed (unused, and of no customer). The terms
    are `expires_at` (a moment, None for never, or days to add, of the `timezone`) and `disabled`.
    A `dry_run` only counts. Raises InvalidInput.
    """
    expires_at = terms.get("expires_at")
    require_future(expires_at if isinstance(expires_at, datetime) else None)
    row = {"offer_id": offer_id, "batch_id": batch_id, "terms": as_json(terms), "reason": reason}
    row |= {"chosen": chosen, "dry_run": dry_run, "timezone": timezone}
    change_id = db.session.execute(insert(Change).values(**row).returning(Change.id)).scalar_one()
    if not dry_run:
        after = {**as_json(terms), "only": chosen, "change_id": change_id}
        if batch_id is None:
            audit.record("offer.vouchers_changed", offer_id, after=after, reason=reason)
        else:
            audit.record("batch.vouchers_changed", batch_id, after=after, reason=reason)
    return read(change_id)


def read(change_id: int) -> Progress:
    """Return a change. Raises ChangeNotFound."""
    change = db.session.execute(changes.where(Change.id == change_id)).one_or_none()
    if change is None:
        raise ChangeNotFound
    return Progress(**change._mapping)


def list_changes(offer_id: int, limit: int, after: Position | None = None) -> Page:
    """Return up to `limit` changes of an offer and its batches, the oldest first.

    Raises OfferNotFound.
    """
    offers.read(offer_id)
    return paging.fetch(changes.where(Change.offer_id == offer_id), (Change.id,), limit, after)


def newest(limit: int, offer_id: int) -> Sequence[Progress]:
    """Return up to `limit` changes of an offer and its batches, the newest first; no dry runs."""
    some = changes.where(Change.offer_id == offer_id, ~Change.dry_run)
    rows = db.session.execute(some.order_by(Change.id.desc()).limit(limit))
    return [Progress(**row._mapping) for row in rows]


def cancel(change_id: int) -> Progress:
    """End a change, which keeps what it has changed, and return it; a repeat changes nothing.

    Raises ChangeNotFound, and ChangeFinished if it was too late.
    """
    unfinished = (Change.id == change_id, Change.finished_at.is_(None))
    end = {"state": "cancelled", "finished_at": func.statement_timestamp()}
    ending = update(Change.__table__).where(*unfinished).values(**end).returning(Change.id)
    ended = db.session.scalar(ending)
    change = read(change_id)
    if change.state != "cancelled":
        raise ChangeFinished
    if ended is not None:
        audit.record("change.cancelled", change_id)
    db.session.execute(delete(ChangeVouchers).where(ChangeVouchers.change_id == change_id))
    return change


changes = select(
    *(Change.id, Change.offer_id, Change.batch_id, Change.state, Change.terms),
    *(Change.chosen, Change.reason, Change.dry_run),
    *(Change.matched, Change.changed, Change.skipped),
    *(Change.created_at, Change.started_at, Change.finished_at, Change.error),
)
"""The columns of a Progress."""

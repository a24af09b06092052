"""Creates, reads and resumes batches."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Executable,
    Text,
    bindparam,
    case,
    cast,
    extract,
    func,
    insert,
    literal,
    select,
    text,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by

from voucherpool.audit import service as audit
from voucherpool.batches.errors import BatchNotFound
from voucherpool.batches.models import Batch, BatchCustomers
from voucherpool.batches.schemas import most_vouchers, pool
from voucherpool.customers.models import Customer
from voucherpool.database import paging
from voucherpool.database.model import db
from voucherpool.database.paging import Page, Position
from voucherpool.database.transactions import require_future
from voucherpool.errors import Conflict
from voucherpool.input.emails import email_key
from voucherpool.input.errors import InvalidInput
from voucherpool.offers import service as offers

page_size = 20_000
most_named = 20
most_unfinished = 100


class TooManyBatches(Conflict):
    detail = f"{most_unfinished} batches are unfinished, as many as may be: wait for one to end."


class Progress(NamedTuple):
    """A batch as its readers see it."""

    id: int
    offer_id: int
    state: str
    requested: int
    created: int
    rate: int | None
    valid_for: str | None
    announced: bool
    metadata: dict[str, str] | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    error: str | None


def create(
    offer_id: int,
    expires_at: datetime | None,
    pattern: str,
    count: int = 1,
    max_redemptions: int = 1,
    freeze_discount: bool = False,
    valid_for: str | None = None,
    audience: str | Sequence[str] = pool,
    notify: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> Progress:
    """Create a batch and return it; a worker generates its vouchers.

    Without `expires_at` they never expire; `valid_for` (ISO 8601: P30D) counts from a claim on.
    `audience` is "pool", "all_customers", or e-mails; `count` is for the pool or each customer. A
    frozen discount is the offer's current one. With `notify` vouchers are events and e-mailed.

    Raises OfferNotFound, InvalidInput and TooManyBatches.
    """
    discount = offers.read(offer_id).discount
    batch = create_for(
        audience if isinstance(audience, str) else ids_of(audience),
        offer_id,
        expires_at,
        pattern,
        count=count,
        max_redemptions=max_redemptions,
        frozen_discount=discount if freeze_discount else None,
        valid_for=valid_for,
        notify=notify,
        metadata=metadata,
    )
    terms = {"offer_id": offer_id, "expires_at": expires_at, "max_redemptions": max_redemptions}
    audit.record("batch.created", batch.id, after={**terms, "requested": batch.requested})
    # Last, so that requests wait for each other only until the commit.
    db.session.execute(lock_unfinished)
    if db.session.execute(count_unfinished).scalar_one() > most_unfinished:
        raise TooManyBatches
    return batch


def create_for(
    audience: str | Sequence[int],
    offer_id: int,
    expires_at: datetime | None,
    pattern: str,
    *,
    count: int = 1,
    max_redemptions: int = 1,
    frozen_discount: Decimal | None = None,
    valid_for: str | None = None,
    notify: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> Progress:
    """Create a batch for "pool", "all_customers", or the customers with these ids.

    Those who were erased get nothing. Schedules are never too many. Raises InvalidInput.
    """
    require_future(expires_at)
    terms = {
        "offer_id": offer_id,
        "requested": count,
        "expires_at": expires_at,
        "max_redemptions": max_redemptions,
        "pattern": pattern,
        "frozen_discount": frozen_discount,
        "valid_for": valid_for,
        "per_customer": None if audience == pool else count,
        "announced": notify,
        "metadata_": metadata,
    }
    batch_id = db.session.execute(insert(Batch).values(**terms).returning(Batch.id)).scalar_one()
    if audience != pool:
        _keep_customers(batch_id, count, None if isinstance(audience, str) else audience)
    return read(batch_id)


def read(batch_id: int) -> Progress:
    """Return a batch. Raises BatchNotFound."""
    batch = db.session.execute(batches.where(Batch.id == batch_id)).one_or_none()
    if batch is None:
        raise BatchNotFound
    return Progress(*batch)


def list_batches(offer_id: int, limit: int, after: Position | None = None) -> Page:
    """Return up to `limit` batches of an offer, the oldest first. Raises OfferNotFound."""
    offers.read(offer_id)
    return paging.fetch(batches.where(Batch.offer_id == offer_id), (Batch.id,), limit, after)


def newest(limit: int, offer_id: int | None = None) -> Sequence[Progress]:
    """Return up to `limit` batches, of all offers or of one, the newest first."""
    some = batches if offer_id is None else batches.where(Batch.offer_id == offer_id)
    rows = db.session.execute(some.order_by(Batch.id.desc()).limit(limit))
    return [Progress(*row) for row in rows]


def resume(batch_id: int) -> Progress:
    """Restart a batch if it has failed, and return it. Raises BatchNotFound."""
    this_failed = (Batch.id == batch_id, Batch.state == "failed")
    again = {"state": "running", "error": None, "finished_at": None}
    failed = update(Batch.__table__).where(*this_failed).values(**again).returning(Batch.id)
    if db.session.scalar(failed) is not None:
        audit.record("batch.resumed", batch_id)
    return read(batch_id)


def ids_of(emails: Sequence[str]) -> list[int]:
    """Return the ids of the customers. Raises InvalidInput that names the unknown ones."""
    spelt = {email_key(email): email for email in emails}
    found = db.session.execute(customers_of, {"keys": list(spelt)}).all()
    unknown = spelt.keys() - {customer.email_key for customer in found}
    if unknown:
        named = sorted(spelt[key] for key in unknown)[:most_named]
        rest = len(unknown) - len(named)
        more = f" and {rest} more" if rest else ""
        raise InvalidInput({"audience": [f"No customers: {', '.join(named)}{more}."]})
    return [customer.id for customer in found]


def _keep_customers(batch_id: int, each: int, wanted: Sequence[int] | None) -> None:
    # Millions of customers take longer than a request's usual timeout.
    db.session.execute(text("SET LOCAL statement_timeout = '20s'"))
    chosen = Customer.id == func.any(literal(wanted, ARRAY(BigInteger)))
    sizes = db.session.scalars(keep(true() if wanted is None else chosen), {"batch": batch_id})
    requested = each * sum(sizes)
    if not 1 <= requested <= most_vouchers:
        reason = f"Must result in 1 to {most_vouchers} vouchers, not {requested}."
        raise InvalidInput({"count": [reason]})
    this = update(Batch.__table__).where(Batch.id == batch_id)
    db.session.execute(this.values(requested=requested))


lock_unfinished = text("""
    SELECT pg_advisory_xact_lock(hashtextextended('unfinished batches', 0))""")
count_unfinished = select(func.count()).where(Batch.finished_at.is_(None))

customers_of = select(Customer.id, Customer.email_key).where(
    Customer.email_key == func.any(bindparam("keys", type_=ARRAY(Text)))
)


def keep(chosen: ColumnElement[bool]) -> Executable:
    """Build the statement that stores the chosen customers and returns the size of each page."""
    place = func.row_number().over(order_by=Customer.id) - 1
    page = cast(func.div(place, page_size), BigInteger).label("page")
    numbered = select(Customer.id, page).where(chosen, Customer.erased_at.is_(None)).subquery()
    pages = select(
        bindparam("batch", type_=BigInteger),
        numbered.c.page,
        func.array_agg(aggregate_order_by(numbered.c.id, numbered.c.id)),
    ).group_by(numbered.c.page)
    return (
        insert(BatchCustomers.__table__)
        .from_select(["batch_id", "page", "customer_ids"], pages)
        .returning(func.cardinality(BatchCustomers.customer_ids))
    )


_seconds = extract("epoch", func.now() - Batch.started_at)

_rate = cast(func.round(Batch.created / func.nullif(_seconds, 0)), BigInteger)

batches = select(
    *(Batch.id, Batch.offer_id, Batch.state, Batch.requested, Batch.created),
    case((Batch.state == "running", _rate)).label("rate"),
    *(Batch.valid_for, Batch.announced, Batch.metadata_.label("metadata")),
    *(Batch.created_at, Batch.started_at, Batch.finished_at, Batch.error),
)
"""The columns of a Progress."""

"""Generates the vouchers of batches, chunk by chunk.

A chunk is one transaction: it locks its batch, adds its rows and raises `created`. A kill at any
instant leaves whole chunks, and any number of processes may work at once.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from itertools import chain, islice, repeat

import psycopg2
from psycopg2.errors import ForeignKeyViolation
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    DateTime,
    Executable,
    Text,
    bindparam,
    case,
    cast,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import DBAPIError

from voucherpool.audit import service as audit
from voucherpool.batches.errors import BatchFinished
from voucherpool.batches.models import Batch, BatchCustomers
from voucherpool.batches.service import Progress, page_size, read
from voucherpool.database.model import db
from voucherpool.database.retries import LostRace, is_temporary, racing_for
from voucherpool.database.transactions import after_commit
from voucherpool.events import event_types, subscribers
from voucherpool.observability import metrics
from voucherpool.offers import counts
from voucherpool.vouchers import archived, codes, events
from voucherpool.vouchers.models import Voucher

log = logging.getLogger(__name__)

chunk_size = 20_000
most_rounds = 20  # collisions of codes are rare: this many in a row mean a broken generator
this = bindparam("this", type_=BigInteger)
added = bindparam("added", type_=BigInteger)

People = Sequence[int | None]
"""The customer id of each voucher of a chunk, None for the pool."""


def advance(batch_id: int | None = None) -> bool:
    """Add a chunk to an unfinished batch, or to this one; return whether there was one.

    It runs in the caller's transaction. A permanent error makes the batch `failed`; raises a
    temporary one, as retries.is_temporary() tells.
    """
    batch = db.session.scalars(claim, {"this": batch_id}).one_or_none()
    if batch is None:
        return False
    try:
        with db.session.begin_nested():
            _add_chunk(batch)
    except Exception as error:
        if is_temporary(error):
            raise
        # No other error may stop the next batch.
        _fail(batch, _reason(error))
    return True


def _add_chunk(batch: Batch) -> None:
    people = _next_people(batch)
    issued = _issue(batch, people)
    if batch.announced:
        events.record_announced(issued)
    _count(batch, len(people))


def _issue(batch: Batch, people: People) -> Collection[str]:
    """Add a voucher for each of the people, and return their codes in normal form.

    Generate new codes for those that are taken.
    """
    made: dict[str, str] = {}
    for _ in range(most_rounds):
        made |= codes.of_pattern(batch.pattern, len(people) - len(made))
        if batch.pattern.count("#") < codes.length:  # longer ones do not collide
            for key in archived.archived_codes(list(made)):
                del made[key]
        if len(made) < len(people):
            continue
        try:
            with racing_for("vouchers_pkey"), db.session.begin_nested():
                db.session.execute(add, _vouchers(batch, people, made))
            return made
        except LostRace:
            pass
        for key in db.session.scalars(taken, {"keys": ",".join(made)}):
            del made[key]
    raise RuntimeError(f"{most_rounds} rounds of generated codes in a row were taken")


def _vouchers(batch: Batch, people: People, made: Mapping[str, str]) -> Mapping[str, object]:
    terms = {name: getattr(batch, name) for name in columns[3:-1]}
    bound = ",".join(str(id_) for id_ in people if id_ is not None)
    lists = {"keys": ",".join(made), "codes": ",".join(made.values()), "people": bound}
    return {**lists, **terms, "batch_id": batch.id}


def _count(batch: Batch, issued: int) -> None:
    """Add the issued vouchers to the batch's progress and the offer's counts."""
    began, ended = db.session.execute(select(func.now(), func.clock_timestamp())).one()
    chunk = {"this": batch.id, "added": issued, "began": began, "ended": ended}
    state = db.session.scalar(progress, chunk)
    counts.count_issued(batch.offer_id, issued)
    after_commit(lambda: metrics.issued.inc(issued))
    if state == "done":
        _record_end(batch, state)
        # Its values now: after the commit it would be read again.
        after_commit(partial(log.info, "Batch %s is done: %s vouchers.", batch.id, batch.requested))


def _next_people(batch: Batch) -> People:
    size = min(chunk_size, batch.requested - batch.created)
    if batch.per_customer is None:
        return [None] * size
    customer, had = divmod(batch.created, batch.per_customer)
    page, place = divmod(customer, page_size)
    kept = select(BatchCustomers.customer_ids).where(
        BatchCustomers.batch_id == batch.id, BatchCustomers.page == page
    )
    ids = db.session.execute(kept).scalar_one()[place:]
    each = chain.from_iterable(repeat(id_, batch.per_customer) for id_ in ids)
    return list(islice(each, had, had + size))


def cancel(batch_id: int) -> Progress:
    """End a batch, which keeps the vouchers it has issued, and return it.

    A repeat changes nothing. Raises BatchNotFound, and BatchFinished if it was too late.
    """
    if db.session.scalars(end, {"this": batch_id}).one_or_none() is not None:
        _record_end(db.session.get_one(Batch, batch_id), "cancelled")
        audit.record("batch.cancelled", batch_id)
    batch = read(batch_id)
    if batch.state != "cancelled":
        raise BatchFinished
    return batch


def _fail(batch: Batch, reason: str) -> None:
    db.session.execute(fail, {"this": batch.id, "reason": reason})
    _record_end(batch, "failed")
    log.error("Batch %s failed: %s", batch.id, reason)


def _record_end(batch: Batch, state: str) -> None:
    ended = {
        "id": batch.id,
        "offer_id": batch.offer_id,
        "requested": batch.requested,
        "state": state,
        "metadata": batch.metadata_,
    }
    subscribers.record_fact(event_types.batch_finished, {"batch": ended})
    after_commit(metrics.batches.labels(state).inc)


def _reason(error: Exception) -> str:
    """Describe an error without its own text, which may hold codes."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, ForeignKeyViolation):
        return "Its offer or one of its customers no longer exists."
    broken = cause.diag.constraint_name if isinstance(cause, psycopg2.Error) else None
    return f"PostgreSQL refused the vouchers by {broken}." if broken else type(cause).__name__


columns = (
    *("code_key", "code", "customer_id"),
    *("offer_id", "expires_at", "max_redemptions", "frozen_discount", "valid_for", "batch_id"),
)

# The batch with the fewest created vouchers first: a small one does not wait for a large one.
claim = (
    select(Batch)
    .where(Batch.finished_at.is_(None))
    .where(or_(this.is_(None), Batch.id == this))
    .order_by(Batch.created, Batch.id)
    .limit(1)
    .with_for_update(skip_locked=True)
    .execution_options(populate_existing=True)
)

_began = bindparam("began", type_=DateTime(timezone=True))
_ended = bindparam("ended", type_=DateTime(timezone=True))
_all_are_there = Batch.created + added == Batch.requested

progress = (
    update(Batch.__table__)
    .where(Batch.id == this)
    .values(
        created=Batch.created + added,
        state=case((_all_are_there, "done"), else_="running"),
        started_at=func.coalesce(Batch.started_at, _began),
        finished_at=case((_all_are_there, _ended)),
    )
    .returning(Batch.state)
)

fail = (
    update(Batch.__table__)
    .where(Batch.id == this)
    .values(state="failed", error=bindparam("reason"), finished_at=func.statement_timestamp())
)

end = (
    update(Batch.__table__)
    .where(Batch.id == this, Batch.finished_at.is_(None))
    .values(state="cancelled", finished_at=func.statement_timestamp())
    .returning(Batch.id)
)


def _listed(name: str) -> ColumnElement[list[str]]:
    # PostgreSQL reads one text faster than a large array; no code has a comma.
    return func.string_to_array(bindparam(name, type_=Text), ",")


def _add() -> Executable:
    # A pool has no people: unnest fills the shorter list with NULLs.
    people = cast(_listed("people"), ARRAY(BigInteger))
    made = func.unnest(_listed("keys"), _listed("codes"), people)
    listed = made.table_valued(*columns[:3]).render_derived()
    terms = (bindparam(name, type_=Voucher.__table__.c[name].type) for name in columns[3:])
    return insert(Voucher.__table__).from_select(columns, select(*listed.c, *terms))


# As fast as COPY; with ON CONFLICT it would not be.
add = _add()

taken = select(Voucher.code_key).where(Voucher.code_key == func.any(_listed("keys")))

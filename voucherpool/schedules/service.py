"""Creates, reads, changes and deletes schedules, and previews their occurrences."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import islice, takewhile
from typing import Any

from sqlalchemy import delete, exists, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert

from voucherpool.audit import service as audit
from voucherpool.batches import service as batches
from voucherpool.customers.models import Customer
from voucherpool.database import paging
from voucherpool.database.model import AnyRow, db
from voucherpool.database.paging import Page, Position
from voucherpool.database.retries import racing_for
from voucherpool.input.times import latest
from voucherpool.offers import service as offers
from voucherpool.offers.models import Offer
from voucherpool.schedules import occurrences
from voucherpool.schedules.errors import ScheduleExists, ScheduleNotFound
from voucherpool.schedules.models import Schedule, ScheduleRun
from voucherpool.schedules.schemas import customers

previewed = 10
decide_next = ("cron", "timezone", "paused")


def create(**terms: Any) -> AnyRow:
    """Create a schedule and return it; the terms are named like the fields of a request.

    Raises OfferNotFound, ScheduleExists, and InvalidInput if the discount does not fit the offer
    or a customer is unknown.
    """
    columns = {"count": 1, "discount": None, **_columns(terms)}
    _check_discount(columns)
    columns["next_at"] = _next(columns)
    created = db.session.scalar(
        insert(Schedule)
        .values(**columns)
        .on_conflict_do_nothing(index_elements=[Schedule.name])
        .returning(Schedule.id)
    )
    if created is None:
        raise ScheduleExists
    audit.record("schedule.created", created, after=columns)
    return read(created)


def read(schedule_id: int) -> AnyRow:
    """Return a schedule. Raises ScheduleNotFound."""
    schedule = db.session.execute(schedules.where(Schedule.id == schedule_id)).one_or_none()
    if schedule is None:
        raise ScheduleNotFound
    return schedule


def list_schedules(limit: int, after: Position | None = None) -> Page:
    """Return up to `limit` schedules, the oldest first."""
    return paging.fetch(schedules, (Schedule.id,), limit, after)


def all_schedules() -> Sequence[AnyRow]:
    """Return all schedules, the oldest first."""
    return db.session.execute(schedules.order_by(Schedule.id)).all()


def change(schedule_id: int, **changes: Any) -> AnyRow:
    """Change a schedule and return it; a new expression, time zone or pause counts from now.

    Raises ScheduleNotFound, OfferNotFound, ScheduleExists, LostRace, and InvalidInput like
    create().
    """
    columns = select(*Schedule.__table__.columns).where(Schedule.id == schedule_id)
    schedule = db.session.execute(columns.with_for_update()).one_or_none()
    if schedule is None:
        raise ScheduleNotFound
    changed = _columns(changes)
    then = {**schedule._mapping, **changed}
    _check_discount(then)
    taken = exists().where(Schedule.name == then["name"], Schedule.id != schedule_id)
    if db.session.scalar(select(taken)):
        raise ScheduleExists
    if any(then[name] != getattr(schedule, name) for name in decide_next):
        changed["next_at"] = _next(then)
    before = {name: getattr(schedule, name) for name in changed}
    audit.record("schedule.changed", schedule_id, before, changed)
    this = update(Schedule).where(Schedule.id == schedule_id)
    with racing_for("schedules_name_key"):
        db.session.execute(this.values(updated_at=func.now(), **changed))
    return read(schedule_id)


def remove(schedule_id: int) -> None:
    """Delete a schedule and its runs; their batches stay. Raises ScheduleNotFound."""
    this = delete(Schedule).where(Schedule.id == schedule_id)
    deleted = db.session.execute(this.returning(*Schedule.__table__.columns)).one_or_none()
    if deleted is None:
        raise ScheduleNotFound
    audit.record("schedule.deleted", schedule_id, before=deleted._asdict())


def list_runs(schedule_id: int, limit: int, after: Position | None = None) -> Page:
    """Return up to `limit` runs of a schedule, the newest first. Raises ScheduleNotFound."""
    read(schedule_id)
    runs = select(*ScheduleRun.__table__.columns).where(ScheduleRun.schedule_id == schedule_id)
    return paging.fetch(runs, (ScheduleRun.occurrence,), limit, after, newest_first=True)


def preview(cron: str, timezone: str, after: datetime | None = None) -> Sequence[datetime]:
    """Return the next ten occurrences after a moment, or after now; fewer before the year 2200."""
    following = occurrences.after(after or _now(), cron, timezone)
    return list(takewhile(lambda it: it < latest, islice(following, previewed)))


def forget(customer_id: int) -> None:
    """Take a customer out of all schedules."""
    remaining = func.array_remove(Schedule.customer_ids, customer_id)
    named = update(Schedule).where(literal(customer_id) == func.any(Schedule.customer_ids))
    db.session.execute(named.values(customer_ids=remaining))


def _columns(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that the fields of a request set."""
    columns = dict(fields)
    if "offer_name" in columns:
        columns["offer_id"] = offers.id_of(columns.pop("offer_name"))
    if "audience" in columns:
        emails = columns["audience"]
        is_word = isinstance(emails, str)
        columns["customer_ids"] = [] if is_word else sorted(batches.ids_of(emails))
        columns["audience"] = emails if is_word else customers
    return columns


def _check_discount(columns: Mapping[str, Any]) -> None:
    if columns["discount"] is not None:
        offers.require_fitting(offers.read(columns["offer_id"]), columns["discount"])


def _next(columns: Mapping[str, Any]) -> datetime | None:
    if columns["paused"]:
        return None
    return next(occurrences.after(_now(), columns["cron"], columns["timezone"]), None)


def _now() -> datetime:
    return db.session.execute(select(func.now())).scalar_one()


_emails = (
    select(Customer.email)
    .where(Customer.id == func.any(Schedule.customer_ids), Customer.email.is_not(None))
    .order_by(Customer.id)
    .correlate(Schedule)
    .scalar_subquery()
)

schedules = select(
    *Schedule.__table__.columns, Offer.name.label("offer_name"), func.array(_emails).label("emails")
).join(Offer, Offer.id == Schedule.offer_id)

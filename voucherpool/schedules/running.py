"""Lets schedules happen when they are due.

One transaction locks a schedule, notes what became of its occurrences, makes the batch and sets the
next occurrence. So each occurrence happens once, however many processes run and are killed.
"""

import logging
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from itertools import chain, islice, takewhile
from typing import NamedTuple

from sqlalchemy import func, insert, select, update

from voucherpool.batches import service as batches
from voucherpool.batches.schemas import CodePattern
from voucherpool.database.model import db
from voucherpool.database.retries import is_temporary
from voucherpool.database.transactions import after_commit, transaction
from voucherpool.errors import VoucherPoolError
from voucherpool.input.errors import InvalidInput
from voucherpool.observability import metrics
from voucherpool.schedules import occurrences
from voucherpool.schedules.models import Schedule, ScheduleRun
from voucherpool.schedules.schemas import customers

log = logging.getLogger(__name__)

most_noted = 100


class Run(NamedTuple):
    """The result of an occurrence, named like the columns of its row."""

    occurrence: datetime
    state: str
    batch_id: int | None = None
    error: str | None = None


class Happened(NamedTuple):
    """A schedule that was due, and its runs, the newest first."""

    name: str
    runs: Sequence[Run]


def run_due() -> bool:
    """Let a schedule happen that is due; return whether there was one."""
    with transaction():
        return run_next() is not None


def run_next() -> Happened | None:
    """Let the schedule happen that is due for longest, if any, in the caller's transaction.

    If it missed several occurrences, only the newest happens. The others are noted as skipped, at
    most 100 of them. A permanent error makes the run `failed`; raises a temporary one, as
    retries.is_temporary() tells.
    """
    claimed = db.session.execute(claim).one_or_none()
    if claimed is None:
        return None
    schedule, now = claimed
    due = _due(schedule, now)
    runs = [_happen(schedule, now, occurrence) for occurrence in due[:1]]
    runs += [Run(occurrence, "skipped", error="It was missed.") for occurrence in due[1:]]
    if runs:
        rows = [{"schedule_id": schedule.id, **run._asdict()} for run in runs]
        db.session.execute(insert(ScheduleRun), rows)
    following = next(occurrences.after(now, schedule.cron, schedule.timezone), None)
    db.session.execute(update(Schedule).where(Schedule.id == schedule.id).values(next_at=following))
    after_commit(partial(_report, schedule.id, runs))
    return Happened(schedule.name, runs)


def _due(schedule: Schedule, now: datetime) -> Sequence[datetime]:
    """Return what is due and has no run yet, the newest first."""
    newest = occurrences.until(now, schedule.cron, schedule.timezone)
    oldest = schedule.next_at or now  # a claimed schedule has a next_at
    later = takewhile(lambda occurrence: occurrence > oldest, newest)
    due = list(islice(chain(later, [oldest]), most_noted + 1))
    # There is one if PostgreSQL's clock went back, as it may when a standby takes over.
    noted = select(ScheduleRun.occurrence).where(
        ScheduleRun.schedule_id == schedule.id, ScheduleRun.occurrence >= due[-1]
    )
    known = set(db.session.scalars(noted))
    return [occurrence for occurrence in due if occurrence not in known]


def _happen(schedule: Schedule, now: datetime, occurrence: datetime) -> Run:
    if now - occurrence > schedule.catch_up:
        return Run(occurrence, "skipped", error="It was missed for longer than catch_up.")
    if occurrence + schedule.valid_for <= now:
        return Run(occurrence, "skipped", error="It was missed until its vouchers had expired.")
    try:
        with db.session.begin_nested():
            return Run(occurrence, "done", _batch(schedule, occurrence))
    except Exception as error:
        if is_temporary(error):
            raise
        # No other error may stop the next schedule.
        if not isinstance(error, VoucherPoolError):
            log.exception("Schedule %s met a bug.", schedule.id)
        return Run(occurrence, "failed", error=_reason(error))


def _batch(schedule: Schedule, occurrence: datetime) -> int:
    """Create the batch of an occurrence, and return its id."""
    audience: str | Sequence[int] = schedule.audience
    if audience == customers:
        audience = schedule.customer_ids
        if not audience:
            raise InvalidInput({"audience": ["None of its customers is left."]})
    batch = batches.create_for(
        audience,
        schedule.offer_id,
        occurrence + schedule.valid_for,
        str(CodePattern().load({})),
        count=schedule.count,
        frozen_discount=schedule.discount,
        notify=schedule.notify,
    )
    return batch.id


def _reason(error: Exception) -> str:
    """Describe an error without texts of the database."""
    if isinstance(error, InvalidInput):
        return " ".join(reason for reasons in (error.errors or {}).values() for reason in reasons)
    return error.detail if isinstance(error, VoucherPoolError) else type(error).__name__


def _report(schedule_id: int, runs: Sequence[Run]) -> None:
    for run in runs:
        metrics.schedule_runs.labels(run.state).inc()
    if runs:
        run, level = runs[0], logging.WARNING if runs[0].state == "failed" else logging.INFO
        outcome = f"{run.state}: {run.error or f'batch {run.batch_id}'}"
        log.log(level, "Schedule %s at %s: %s", schedule_id, run.occurrence.isoformat(), outcome)


claim = (
    select(Schedule, func.now())
    .where(~Schedule.paused, Schedule.next_at <= func.now())
    .order_by(Schedule.next_at, Schedule.id)
    .limit(1)
    .with_for_update(skip_locked=True)
    .execution_options(populate_existing=True)
)

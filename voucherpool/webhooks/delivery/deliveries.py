"""Deliveries: takes those that are due, and records what became of them."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

from sqlalchemy import and_, bindparam, case, delete, func, null, select, text, update

from voucherpool.customers.models import Customer
from voucherpool.database.model import db
from voucherpool.database.transactions import after_commit
from voucherpool.events import backoff, event_types, numbering, subscribers
from voucherpool.events.models import Delivery, NumberedEvent, Webhook
from voucherpool.observability import metrics
from voucherpool.webhooks.delivery.sending import Outcome
from voucherpool.webhooks.models import Replay

log = logging.getLogger(__name__)

lease = timedelta(seconds=30)
"""How long a taken delivery is nobody else's: longer than sending may take."""
failing_for = timedelta(days=5)
"""After so long without a success an endpoint is switched off."""

failing, gone, requested = "failing", "gone", "requested"
"""Why a webhook is switched off."""


class Taken(NamedTuple):
    """A delivery that this process has to send; its event is None where nobody may get it.

    `attempted_at` is by PostgreSQL's clock.
    """

    webhook_id: int
    number: int
    attempts: int
    attempted_at: datetime
    url: str
    secrets: Sequence[bytes]
    event: numbering.Numbered | None


is_waiting = Delivery.state == "waiting"
is_sent_to = and_(Webhook.disabled_at.is_(None), Webhook.parks_through.is_(None))


def due(most: int) -> Sequence[tuple[int, int]]:
    """Return the webhooks that may get the deliveries due, and how many, up to `most`."""
    found = db.session.execute(count_due, {"most": most})
    return [(row.id, row.number) for row in found if row.number]


def take(webhook_id: int) -> Taken | None:
    """Take the delivery that has been due longest, if there is one and the webhook may get it."""
    attempt = {"attempts": Delivery.attempts + 1, "attempted_at": func.now()}
    first = _first_due.where(Delivery.webhook_id == webhook_id).scalar_subquery()
    taken = db.session.execute(
        update(Delivery)
        .where(Delivery.webhook_id == webhook_id, Delivery.event_number == first)
        .values(**attempt, due_at=func.now() + lease)
        .returning(Delivery.event_number, Delivery.attempts)
    ).one_or_none()
    if taken is None:
        return None
    row = db.session.execute(_to_send, {"webhook": webhook_id, "number": taken.event_number}).one()
    secrets = [secret for secret in (row.secret, row.previous_secret) if secret is not None]
    is_known = row.number is not None and row.erased_at is None
    event = numbering.shown(row) if is_known else None
    return Taken(webhook_id, *taken, row.attempted_at, row.url, secrets, event)


def cancel(taken: Taken) -> None:
    """Record that nobody may get the event: its customer was erased, or it is no longer kept."""
    _finish(taken, "cancelled", Outcome(None, None))


def record(taken: Taken, outcome: Outcome) -> None:
    """Record what became of an attempt; an endpoint that fails for too long is switched off."""
    if outcome.error is None:
        _recover(taken.webhook_id)
        _finish(taken, "delivered", outcome)
        return
    is_over = _note_failure(taken.webhook_id)
    seconds = backoff.pause_after(taken.attempts)
    if seconds is None:
        _finish(taken, "parked", outcome)
    else:
        due_at = func.now() + timedelta(seconds=seconds)
        _change(taken, status=outcome.status, error=outcome.error, due_at=due_at)
        _count(taken, "failed")
    if is_over or outcome.error == gone:
        switch_off(taken.webhook_id, gone if outcome.error == gone else failing)


def switch_off(webhook_id: int, reason: str) -> None:
    """Disable a webhook, let its waiting deliveries be parked, and end its replay.

    Record an event, unless a person disabled it.
    """
    this = update(Webhook).where(Webhook.id == webhook_id)
    values = {"disabled_at": func.now(), "disabled_reason": reason, "updated_at": func.now()}
    off = this.where(Webhook.disabled_at.is_(None)).values(values)
    if db.session.scalar(off.returning(Webhook.id)) is None:
        return
    # In a statement of its own: the first one may have waited until events were numbered.
    made = select(func.max(Delivery.event_number)).where(Delivery.webhook_id == webhook_id)
    db.session.execute(this.values(parks_through=made.scalar_subquery()))
    db.session.execute(delete(Replay).where(Replay.webhook_id == webhook_id))
    if reason != requested:
        webhook = {"id": webhook_id, "reason": reason}
        subscribers.record_fact(event_types.webhook_disabled, {"webhook": webhook})
    after_commit(partial(_tell, webhook_id, reason))


def _tell(webhook_id: int, reason: str) -> None:
    log.warning("Webhook %s is disabled: %s.", webhook_id, reason)
    metrics.webhooks_disabled.labels(reason).inc()


def _count(taken: Taken, outcome: str) -> None:
    after_commit(metrics.deliveries.labels(taken.webhook_id, outcome).inc)


def _recover(webhook_id: int) -> None:
    was_failing = Webhook.failing_since.is_not(None)
    this = update(Webhook).where(Webhook.id == webhook_id, was_failing)
    db.session.execute(this.values(failing_since=null()))


def _note_failure(webhook_id: int) -> bool:
    """Note that an endpoint fails, and tell whether it has failed for too long."""
    this = Webhook.id == webhook_id
    first = update(Webhook).where(this, Webhook.failing_since.is_(None))
    db.session.execute(first.values(failing_since=func.now()))
    too_long = select(Webhook.failing_since < func.now() - failing_for).where(this)
    return bool(db.session.scalar(too_long))


def _finish(taken: Taken, state: str, outcome: Outcome) -> None:
    results = {"status": outcome.status, "error": outcome.error}
    _change(taken, state=state, finished_at=func.now(), **results)
    _count(taken, state)


def _change(taken: Taken, **values: object) -> None:
    """Change a delivery that still waits; nothing brings back one that was parked meanwhile."""
    this = and_(
        Delivery.webhook_id == taken.webhook_id,
        Delivery.event_number == taken.number,
        is_waiting,
    )
    db.session.execute(update(Delivery).where(this).values(**values))


count_due = text("""
    SELECT id, (
        SELECT count(*) FROM (
            SELECT FROM deliveries
            WHERE webhook_id = webhooks.id AND state = 'waiting' AND due_at <= now() LIMIT :most
        ) AS due
    ) AS number
    FROM webhooks WHERE disabled_at IS NULL AND parks_through IS NULL""")

_first_due = (
    select(Delivery.event_number)
    .join(Webhook, Webhook.id == Delivery.webhook_id)
    .where(is_waiting, Delivery.due_at <= func.now(), is_sent_to)
    .order_by(Delivery.due_at)
    .limit(1)
    .with_for_update(skip_locked=True, of=Delivery)
)

_to_send = (
    select(
        *numbering.columns,
        Customer.erased_at,
        func.now().label("attempted_at"),
        Webhook.url,
        Webhook.secret,
        case((Webhook.previous_until > func.now(), Webhook.previous_secret)).label(
            "previous_secret"
        ),
    )
    .select_from(Webhook)
    .outerjoin(NumberedEvent, NumberedEvent.number == bindparam("number"))
    .outerjoin(Customer, Customer.id == NumberedEvent.customer_id)
    .where(Webhook.id == bindparam("webhook"))
)

"""Creates, reads, changes and deletes webhooks, rotates their secrets, and replays events.

What concerns many deliveries is left to the worker: see voucherpool.webhooks.backlog.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import func, insert, null, select, text, update

from voucherpool.audit import service as audit
from voucherpool.database import paging
from voucherpool.database.model import db
from voucherpool.database.paging import Page, Position
from voucherpool.database.transactions import expect_many_rows
from voucherpool.errors import Conflict
from voucherpool.events.models import Delivery, NumberedEvent, Webhook
from voucherpool.webhooks import backlog
from voucherpool.webhooks.delivery import deliveries, signing
from voucherpool.webhooks.errors import WebhookDisabled, WebhookNotFound


class TooManyWebhooks(Conflict):
    detail = "There are 100 webhooks, the most that there may be: delete one first."


class Shown(NamedTuple):
    """The columns that readers may see: never a secret, not even an encrypted one."""

    id: int
    url: str
    event_types: list[str]
    active_from: datetime
    created_at: datetime
    updated_at: datetime
    failing_since: datetime | None
    disabled_at: datetime | None
    disabled_reason: str | None


shown = tuple(getattr(Webhook, name) for name in Shown._fields)
is_kept = Webhook.deleted_at.is_(None)

most_webhooks = 100
take_turn = text("SELECT pg_advisory_xact_lock(hashtextextended('webhooks', 0))")
"""Lets one request create a webhook at a time, so that each counts those of the others."""


def create(url: str, event_types: Sequence[str], keys: Sequence[str]) -> Mapping[str, object]:
    """Create a webhook and return it with its secret.

    Raises SecretKeyNotConfigured, and TooManyWebhooks if there are 100.
    """
    db.session.execute(take_turn)
    kept = db.session.execute(select(func.count()).where(is_kept)).scalar_one()
    if kept >= most_webhooks:
        raise TooManyWebhooks
    secret = signing.new_secret()
    values = {"url": url, "event_types": event_types, "secret": signing.encrypt(keys, secret)}
    new = insert(Webhook).values(**values, active_from=func.statement_timestamp()).returning(*shown)
    made = db.session.execute(new).one()
    audit.record("webhook.created", made.id, after={"url": url, "event_types": event_types})
    return {**made._mapping, "secret": secret}


def read(webhook_id: int) -> Shown:
    """Return a webhook. Raises WebhookNotFound."""
    this = select(*shown).where(Webhook.id == webhook_id, is_kept)
    found = db.session.execute(this).one_or_none()
    if found is None:
        raise WebhookNotFound
    return Shown(*found)


def find(webhook_id: int, *, lock: bool = False, share: bool = False) -> Webhook:
    """Return a webhook with its encrypted secrets. Raises WebhookNotFound.

    A `lock` or `share` keeps others from changing it; several may `share` it.
    """
    statement = select(Webhook).where(Webhook.id == webhook_id, is_kept)
    if lock or share:
        locked = statement.with_for_update(read=share, key_share=not share)
        statement = locked.execution_options(populate_existing=True)
    webhook = db.session.scalars(statement).one_or_none()
    if webhook is None:
        raise WebhookNotFound
    return webhook


def list_webhooks(limit: int, after: Position | None = None) -> Page:
    """Return up to `limit` webhooks, the oldest first."""
    return paging.fetch(select(*shown).where(is_kept), (Webhook.id,), limit, after)


def everyone() -> Sequence[Shown]:
    """Return all webhooks, the oldest first."""
    them = select(*shown).where(is_kept).order_by(Webhook.id)
    return [Shown(*row) for row in db.session.execute(them)]


def change(
    webhook_id: int,
    url: str | None = None,
    event_types: Collection[str] | None = None,
    disabled: bool | None = None,
) -> Shown:
    """Change what is given, and return the webhook. Raises WebhookNotFound.

    `active_from` moves where it now gets events that it did not get before.
    """
    before = find(webhook_id, lock=True)
    _record_change(before, {"url": url, "event_types": event_types, "disabled": disabled})
    values: dict[str, object] = {}
    if url is not None and url != before.url:
        values |= {"url": url, "failing_since": null()}
    if event_types is not None:
        values["event_types"] = event_types
    if disabled is False and before.disabled_at is not None:
        off = ("disabled_at", "disabled_reason", "failing_since")
        values |= {"active_from": func.statement_timestamp(), **dict.fromkeys(off, null())}
    elif not set(event_types or ()) <= set(before.event_types):
        values["active_from"] = func.statement_timestamp()
    if disabled:
        deliveries.switch_off(webhook_id, deliveries.requested)
    return _update(webhook_id, values) if values else read(webhook_id)


def remove(webhook_id: int) -> None:
    """Delete a webhook; its deliveries follow. Raises WebhookNotFound."""
    off = {
        "disabled_at": func.least(Webhook.disabled_at, func.now()),  # which ignores NULL
        "disabled_reason": func.coalesce(Webhook.disabled_reason, deliveries.requested),
    }
    gone = _update(webhook_id, {"deleted_at": func.now(), "parks_through": null(), **off})
    terms = {"url": gone.url, "event_types": gone.event_types}
    audit.record("webhook.deleted", webhook_id, before=terms)


def rotate_secret(
    webhook_id: int, previous_valid_for_seconds: int, keys: Sequence[str]
) -> Mapping[str, object]:
    """Give a webhook a new secret, and return the webhook with it; the previous one signs on.

    Raises WebhookNotFound and SecretKeyNotConfigured.
    """
    secret = signing.new_secret()
    values: dict[str, object] = {"secret": signing.encrypt(keys, secret)}
    values |= {"previous_secret": null(), "previous_until": null()}
    if previous_valid_for_seconds:
        until = func.now() + timedelta(seconds=previous_valid_for_seconds)
        values |= {"previous_secret": Webhook.secret, "previous_until": until}
    audit.record("webhook.secret_rotated", webhook_id)
    return {**_update(webhook_id, values)._asdict(), "secret": secret}


def encrypt_again(keys: Sequence[str]) -> int:
    """Encrypt all secrets by the first key, so that the others can go; return how many webhooks.

    Raises SecretKeyNotConfigured and signing.SecretUnreadable.
    """
    webhooks = db.session.scalars(select(Webhook).order_by(Webhook.id).with_for_update()).all()
    for webhook in webhooks:
        webhook.secret = signing.encrypt_again(keys, webhook.secret)
        if webhook.previous_secret is not None:
            webhook.previous_secret = signing.encrypt_again(keys, webhook.previous_secret)
        audit.record("webhook.secret_encrypted", webhook.id)
    return len(webhooks)


def replay(webhook_id: int, since: datetime) -> int:
    """Let the events of a webhook's types that were numbered since then be sent again.

    Return about how many. Raises WebhookNotFound and WebhookDisabled.
    """
    webhook = find(webhook_id, share=True)
    if webhook.disabled_at is not None:
        raise WebhookDisabled
    audit.record("webhook.events_replayed", webhook_id, after={"since": since})
    return backlog.begin_replay(webhook, since)


def retry(webhook_id: int, numbers: Collection[int]) -> int:
    """Let deliveries be sent again now: those with the numbers, or without any all parked ones.

    Return how many. Raises WebhookNotFound, WebhookDisabled, and Conflict while deliveries that
    waited when it was switched off are still being parked.
    """
    webhook = find(webhook_id)
    if webhook.disabled_at is not None:
        raise WebhookDisabled
    if webhook.parks_through is not None:
        raise Conflict("A worker is still parking its deliveries: try again in a minute.")
    expect_many_rows()
    chosen = Delivery.event_number.in_(numbers) if numbers else Delivery.state == "parked"
    this = update(Delivery).where(Delivery.webhook_id == webhook_id, chosen)
    result: Any = db.session.execute(this.values(**backlog.again))
    queued = int(result.rowcount)
    if queued:
        audit.record("webhook.deliveries_retried", webhook_id, after={"queued": queued})
    return queued


def list_deliveries(
    webhook_id: int, limit: int, state: str | None = None, after: Position | None = None
) -> Page:
    """Return up to `limit` deliveries of a webhook, the newest first. Raises WebhookNotFound."""
    read(webhook_id)
    statement = logged.where(Delivery.webhook_id == webhook_id)
    if state is not None:
        statement = statement.where(Delivery.state == state)
    return paging.fetch(statement, (Delivery.event_number,), limit, after, newest_first=True)


logged = select(
    Delivery.event_number.label("number"),
    NumberedEvent.id.label("event_id"),
    NumberedEvent.type,
    *(Delivery.state, Delivery.attempts, Delivery.due_at, Delivery.attempted_at),
    *(Delivery.status, Delivery.error, Delivery.finished_at),
).outerjoin(NumberedEvent, NumberedEvent.number == Delivery.event_number)


def _record_change(webhook: Webhook, given: Mapping[str, object]) -> None:
    """Record a change by what the request gives; None is left out."""
    known = {"url": webhook.url, "event_types": webhook.event_types}
    before = {**known, "disabled": webhook.disabled_at is not None}
    after = {name: value for name, value in given.items() if value is not None}
    audit.record("webhook.changed", webhook.id, {name: before[name] for name in after}, after)


def _update(webhook_id: int, values: Mapping[str, object]) -> Shown:
    this = update(Webhook).where(Webhook.id == webhook_id, is_kept)
    changed = this.values(**values, updated_at=func.now()).returning(*shown)
    webhook = db.session.execute(changed).one_or_none()
    if webhook is None:
        raise WebhookNotFound
    return Shown(*webhook)

"""Numbers committed events, lets them wait for their receivers, and lists them."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import delete, func, select, text, tuple_

from voucherpool.customers.models import Customer
from voucherpool.database.model import AnyRow, db
from voucherpool.database.transactions import expect_many_rows
from voucherpool.events.models import Delivery, Event, Message, NumberedEvent

events_at_once = 500
lock = "SELECT pg_try_advisory_xact_lock(hashtextextended('events', 0))"


class Numbered(NamedTuple):
    """An event as its receivers see it."""

    number: int
    id: uuid.UUID
    type: str
    created_at: datetime
    data: dict[str, object]


class Events(NamedTuple):
    """Some events, and the number after which to go on."""

    items: Sequence[Numbered]
    next: int


def list_events(after: int, limit: int) -> Events:
    """Return up to `limit` events after a number, in the order of their numbers."""
    later = numbered.where(NumberedEvent.number > after).order_by(NumberedEvent.number)
    items = [shown(row) for row in db.session.execute(later.limit(limit))]
    return Events(items, items[-1].number if items else after)


def shown(row: AnyRow) -> Numbered:
    """Return the event of a row of `columns`, with the customer's e-mail."""
    data = {**row.data, "email": row.email}
    return Numbered(row.number, row.id, row.type, row.created_at, data)


def number(*, mail: bool = False) -> Sequence[tuple[str, uuid.UUID]]:
    """Copy some committed events under numbers, and return the keys of the originals.

    A webhook's deliveries and, with `mail`, a customer's e-mails are made in the same statement. It
    locks the webhooks, so that none is switched off or deleted while it gets deliveries. One
    process numbers at a time, so that a number is seen only after all smaller ones. Call forget()
    later, in a transaction of its own: until then no event is numbered twice.
    """
    if not db.session.scalar(text(lock)):
        return ()
    some = db.session.execute(waiting, {"most": events_at_once}).one()
    if some.events is None:
        return ()
    expect_many_rows()
    db.session.execute(number_some, {"events": some.events, "mail": mail})
    return [(event["code_key"], event["id"]) for event in some.keys]


def forget(keys: Sequence[tuple[str, uuid.UUID]]) -> None:
    """Delete the originals of numbered events."""
    db.session.execute(delete(Event).where(tuple_(Event.code_key, Event.id).in_(keys)))


def forget_old_events() -> int:
    """Delete what is older than 30 days; return the number of events."""
    for moment in (Delivery.finished_at, Message.finished_at):
        db.session.execute(delete(moment.class_).where(moment < _month_ago))
    old = delete(NumberedEvent).where(NumberedEvent.numbered_at < _month_ago)
    return len(db.session.execute(old.returning(NumberedEvent.number)).all())


columns = (
    *(NumberedEvent.number, NumberedEvent.id, NumberedEvent.type),
    *(NumberedEvent.created_at, NumberedEvent.data, Customer.email),
)
"""The columns of which shown() makes an event."""

numbered = select(*columns).outerjoin(Customer, Customer.id == NumberedEvent.customer_id)

# A text, which goes back to PostgreSQL as it came.
waiting = text("""
    SELECT json_agg(event ORDER BY created_at)::text AS events,
        json_agg(json_build_object('code_key', code_key, 'id', id)) AS keys
    FROM (SELECT * FROM events ORDER BY created_at LIMIT :most) AS event""")

number_some = text("""
    WITH waiting AS (
        SELECT * FROM json_to_recordset(CAST(:events AS json)) AS event (
            code_key text, id uuid, type text, customer_id bigint, announced boolean, data jsonb,
            created_at timestamptz
        )
    ),
    numbered AS (
        INSERT INTO numbered_events (id, type, customer_id, data, created_at)
        SELECT id, type, customer_id, data, created_at FROM waiting ORDER BY created_at
        ON CONFLICT (id) DO NOTHING
        RETURNING number, id, type
    ),
    listening AS (
        SELECT id, event_types FROM webhooks WHERE disabled_at IS NULL FOR SHARE
    ),
    delivery AS (
        INSERT INTO deliveries (webhook_id, event_number)
        SELECT listening.id, number FROM numbered JOIN listening ON type = ANY(event_types)
    ),
    message AS (
        INSERT INTO messages (kind, customer_id, batch_id, code_key)
        SELECT 'issued', customer_id, batch_id, CASE WHEN batch_id IS NULL THEN code_key END
        FROM numbered JOIN waiting USING (id),
            CAST(data->'voucher'->>'batch_id' AS bigint) AS batch_id
        WHERE :mail AND announced AND customer_id IS NOT NULL
        ON CONFLICT DO NOTHING
    )
    SELECT""")

_month_ago = func.now() - text("interval '30 days'")

"""Changes many deliveries, page by page: replays events, and parks or deletes what waits.

The worker does each page in a transaction of its own. So requests answer at once, and the numbering
of events waits for a page at most. A kill at any instant leaves whole pages.
"""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import delete, func, literal, null, select, text, update
from sqlalchemy.dialects.postgresql import insert

from voucherpool.database.model import db
from voucherpool.database.transactions import transaction
from voucherpool.events.models import Delivery, NumberedEvent, Webhook
from voucherpool.webhooks.models import Replay

page_size = 1_000
sample_size = 10_000
"""How many events a replay looks at to tell how many will be sent."""

again = {
    "state": "waiting",
    "attempts": 0,
    "due_at": func.now(),
    "status": null(),
    "error": null(),
    "finished_at": null(),
}
"""The values of a delivery that is to be sent again."""


def begin_replay(webhook: Webhook, since: datetime) -> int:
    """Let the events of a webhook's types that were numbered since then be sent again.

    Those that wait already are left as they are. Return how many others there are: an estimate if
    more than 10 000 events of any type were numbered since then. A replay that is under way goes
    back to the earlier of both places.
    """
    wanted = {"webhook_id": webhook.id, "event_types": webhook.event_types, "since": since}
    parked = {"parks_through": webhook.parks_through or 0, "most": sample_size}
    found = db.session.execute(numbered_since, wanted | parked).one()
    if found.first is None:
        return 0
    new = insert(Replay).values(
        webhook_id=webhook.id, next_number=found.first, last_number=found.last
    )
    places = {
        "next_number": func.least(Replay.next_number, new.excluded.next_number),
        "last_number": new.excluded.last_number,
    }
    db.session.execute(new.on_conflict_do_update(index_elements=[Replay.webhook_id], set_=places))
    return int(found.wanted * (found.last - found.first + 1) // (found.looked - found.first + 1))


def replay_some() -> bool:
    """Let a page of a replay's events wait to be sent, and return whether there was one.

    A replay rests while a page of its webhook's deliveries is due, so that events that happen
    meanwhile are sent soon, too.
    """
    with transaction():
        replay = db.session.execute(next_replay, {"most": page_size}).one_or_none()
        if replay is None:
            return False
        page = {"next": replay.next_number, "last": replay.last_number, "others": page_size - 1}
        last = db.session.scalar(end_of_page, page)
        if last is None:
            last = replay.last_number
        _queue(replay.webhook_id, replay.event_types, replay.next_number, last)
        this = Replay.webhook_id == replay.webhook_id
        is_over = last == replay.last_number
        moved = update(Replay).where(this).values(next_number=last + 1)
        db.session.execute(delete(Replay).where(this) if is_over else moved)
    return True


def park_some() -> bool:
    """Park a page of what waited for a webhook when it was switched off; tell if there was one."""
    with transaction():
        webhook = db.session.execute(next_to_park).one_or_none()
        if webhook is None:
            return False
        if db.session.scalar(park, {**webhook._mapping, "most": page_size}) < page_size:
            this = update(Webhook).where(Webhook.id == webhook.id)
            db.session.execute(this.values(parks_through=null()))
    return True


def delete_some() -> bool:
    """Delete a page of a deleted webhook's deliveries, or at last itself; tell if there was one."""
    with transaction():
        webhook_id = db.session.scalar(next_to_delete)
        if webhook_id is None:
            return False
        if not db.session.scalar(delete_deliveries, {"id": webhook_id, "most": page_size}):
            db.session.execute(delete(Webhook).where(Webhook.id == webhook_id))
    return True


def _queue(webhook_id: int, event_types: Collection[str], first: int, last: int) -> None:
    wanted = select(literal(webhook_id), NumberedEvent.number, func.now()).where(
        NumberedEvent.type.in_(event_types), NumberedEvent.number.between(first, last)
    )
    new = insert(Delivery).from_select(["webhook_id", "event_number", "due_at"], wanted)
    queued = new.on_conflict_do_update(
        index_elements=[Delivery.webhook_id, Delivery.event_number],
        # excluded.due_at is now().
        set_=again | {"due_at": new.excluded.due_at},
        where=Delivery.state != "waiting",
    )
    db.session.execute(queued)


# A delivery is found by its key, whatever PostgreSQL knows of the table: no other index will do.
numbered_since = text("""
    WITH sample AS (
        SELECT number, type FROM numbered_events
        WHERE number >= (
            SELECT number FROM numbered_events WHERE numbered_at >= :since
            ORDER BY numbered_at, number LIMIT 1
        )
        ORDER BY number LIMIT :most
    )
    SELECT min(number) AS first, (SELECT max(number) FROM numbered_events) AS last,
        max(number) AS looked,
        count(*) FILTER (WHERE type = ANY (:event_types) AND (number <= :parks_through OR (
            SELECT state FROM deliveries WHERE webhook_id = :webhook_id AND event_number = number
        ) IS DISTINCT FROM 'waiting')) AS wanted
    FROM sample""")

# The lock on the webhook is the one that numbering takes, too: both go on at the same time, and
# switching off waits for them. Nothing here waits for a lock.
next_replay = text("""
    SELECT webhook_id, next_number, last_number, event_types
    FROM replays JOIN webhooks ON webhooks.id = webhook_id
    WHERE disabled_at IS NULL AND parks_through IS NULL AND (
        SELECT count(*) FROM (
            SELECT FROM deliveries
            WHERE webhook_id = webhooks.id AND state = 'waiting' AND due_at <= now() LIMIT :most
        ) AS due
    ) < :most
    ORDER BY last_number - next_number LIMIT 1
    FOR UPDATE OF replays SKIP LOCKED FOR SHARE OF webhooks SKIP LOCKED""")

end_of_page = text("""
    SELECT number FROM numbered_events WHERE number BETWEEN :next AND :last
    ORDER BY number OFFSET :others LIMIT 1""")

next_to_park = text("""
    SELECT id, parks_through FROM webhooks WHERE parks_through IS NOT NULL
    ORDER BY id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED""")

# It locks first, so that a page is full as long as any is left.
park = text("""
    WITH parked AS (
        UPDATE deliveries SET state = 'parked', finished_at = now()
        WHERE webhook_id = :id AND event_number IN (
            SELECT event_number FROM deliveries
            WHERE webhook_id = :id AND state = 'waiting' AND event_number <= :parks_through
            LIMIT :most FOR UPDATE
        )
        RETURNING event_number
    )
    SELECT count(*) FROM parked""")

next_to_delete = text("""
    SELECT id FROM webhooks WHERE deleted_at IS NOT NULL
    ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED""")

delete_deliveries = text("""
    WITH deleted AS (
        DELETE FROM deliveries WHERE webhook_id = :id AND event_number IN (
            SELECT event_number FROM deliveries WHERE webhook_id = :id LIMIT :most
        )
        RETURNING event_number
    )
    SELECT count(*) FROM deleted""")

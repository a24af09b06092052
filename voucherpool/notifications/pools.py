"""Watches the pools of offers: an event says when one falls below its mark."""

from sqlalchemy import text

from voucherpool.database.model import db
from voucherpool.vouchers import event_types, events


def watch() -> None:
    """Note which pools fell below their mark or rose above it; record those that fell."""
    for offer in db.session.execute(mark):
        if offer.pool_is_low:
            low = {"id": offer.id, "name": offer.name, "pool_low_at": offer.pool_low_at}
            events.record_fact(event_types.pool_low, {"offer": low})


# Counts no further than the mark, so that a pool of millions costs no more than a small one.
mark = text("""
    UPDATE offers SET pool_is_low = pool.is_low
    FROM (
        SELECT id, pool_low_at > (SELECT count(*) FROM (
            SELECT FROM vouchers
            WHERE offer_id = offers.id AND customer_id IS NULL AND used_at IS NULL
            AND expires_at > now() AND disabled_at IS NULL
            LIMIT offers.pool_low_at
        ) AS unclaimed) AS is_low
        FROM offers WHERE pool_low_at IS NOT NULL
    ) AS pool
    WHERE offers.id = pool.id AND offers.pool_is_low <> pool.is_low
    RETURNING offers.id, name, pool_low_at, pool_is_low""")

"""Watches the pools of offers: an event says when one falls below its mark."""

from sqlalchemy import text

from voucherpool.claims import pool
from voucherpool.database.model import db
from voucherpool.database.transactions import expect_many_rows
from voucherpool.events import event_types, subscribers
from voucherpool.vouchers.eligibility import rules


def watch() -> None:
    """Note which pools fell below their mark or rose above it; record those that fell.

    An offer that is not active hands out nothing, so its pool stays as it was noted.
    """
    expect_many_rows()  # a mark may be a million
    for offer in db.session.execute(marked).all():
        this = {"id": offer.id, "mark": offer.pool_low_at}
        is_low = db.session.scalar(below, this)
        if is_low == offer.pool_is_low or not db.session.scalar(note, {**this, "is_low": is_low}):
            continue
        if is_low:
            low = {"id": offer.id, "name": offer.name, "pool_low_at": offer.pool_low_at}
            low |= {"metadata": offer.metadata}
            subscribers.record_fact(event_types.pool_low, {"offer": low})


marked = text(f"""
    SELECT id, name, pool_low_at, pool_is_low, metadata FROM offers
    WHERE pool_low_at IS NOT NULL AND {rules.offer_is_active} ORDER BY id""")

# Counts no further than the mark, so that a pool of millions costs no more than a small one.
below = text(f"""
    SELECT count(*) < :mark FROM (
        SELECT 1 FROM vouchers JOIN offers ON offers.id = vouchers.offer_id
        WHERE vouchers.offer_id = :id
        AND {pool.claimable}
        LIMIT :mark
    ) AS claimable""")

note = text("""
    UPDATE offers SET pool_is_low = :is_low WHERE id = :id AND pool_is_low <> :is_low
    RETURNING id""")

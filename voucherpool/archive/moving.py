"""Moves used up and expired vouchers with their redemptions into the archive.

One transaction moves whole vouchers and adds them to the totals, so readers never see half of one
and a kill leaves only whole batches.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from sqlalchemy import Integer, Table, text

from voucherpool.archive import partitions
from voucherpool.database.model import db
from voucherpool.vouchers.models import Redemption, Voucher, open_holds

blocks_a_batch = 4
"""The blocks that one transaction walks: about 250 vouchers, locked for milliseconds."""


def blocks() -> range:
    """Return the first block of each batch in the hot table.

    It creates the month's partitions before any voucher moves: a statement planned without them
    would not find the moved vouchers.
    """
    partitions.ensure()
    size: int = db.session.execute(_size).scalar_one()
    return range(0, size, blocks_a_batch)


@contextmanager
def gently() -> Iterator[None]:
    """Rest twice as long as the block worked, to leave most of the time to the shop."""
    begun = time.monotonic()
    yield
    time.sleep(2 * (time.monotonic() - begun))


def archive(older_than: timedelta, first: int) -> int:
    """Archive one batch's vouchers that ended before `older_than` ago; return how many.

    They end when used up or expired. A voucher locked by another transaction waits for the next
    walk.
    """
    partitions.ensure()
    batch = {"age": older_than, "first": f"({first},0)", "end": f"({first + blocks_a_batch},0)"}
    moved = db.session.scalars(move, batch).all()
    if moved:
        for statement in (add_to_archived_totals, add_to_customer_totals):
            db.session.execute(statement, {"keys": list(moved)})
    return len(moved)


_size = text("SELECT pg_relation_size('vouchers') / current_setting('block_size')::bigint").columns(
    blocks=Integer
)


def _names(table: Table) -> str:
    return ", ".join(column.name for column in table.columns)


_vouchers, _redemptions = _names(Voucher.__table__), _names(Redemption.__table__)

# Walking by ctid needs no index, which every redemption would have to maintain.
move = text(f"""
    WITH picked AS (
        SELECT code_key FROM vouchers
        WHERE ctid >= CAST(:first AS tid) AND ctid < CAST(:end AS tid)
        AND (used_at < now() - :age OR expires_at < now() - :age)
        AND NOT EXISTS (SELECT FROM {open_holds})
        FOR UPDATE SKIP LOCKED
    ),
    redemption AS (
        DELETE FROM redemptions WHERE code_key = ANY(ARRAY(SELECT code_key FROM picked))
        RETURNING {_redemptions}
    ),
    voucher AS (
        DELETE FROM vouchers WHERE code_key = ANY(ARRAY(SELECT code_key FROM picked))
        RETURNING {_vouchers}
    ),
    entered AS (
        INSERT INTO archived_redemptions ({_redemptions}, archived_at)
        SELECT {_redemptions}, now() FROM redemption
    )
    INSERT INTO archived_vouchers ({_vouchers}, archived_at)
    SELECT {_vouchers}, now() FROM voucher
    RETURNING code_key""")

events = """
    SELECT offer_id, redeemed_at AS moment, coalesce(currency, '') AS currency, 1 AS redeemed,
        coalesce(discount_amount, 0) AS discounted, 0 AS reversed, 0 AS given_back,
        0 AS used_up, 0 AS expired
    FROM archived_redemptions {where}
    UNION ALL SELECT offer_id, reversed_at, coalesce(currency, ''), 0, 0, 1,
        coalesce(discount_amount, 0), 0, 0
    FROM archived_redemptions {where} AND reversed_at IS NOT NULL
    UNION ALL SELECT offer_id, coalesce(used_at, expires_at), '', 0, 0, 0, 0,
        (used_at IS NOT NULL)::int, (used_at IS NULL)::int
    FROM archived_vouchers {where}"""
"""The daily events of archived vouchers, one row each."""

totals = """
    SELECT offer_id, (moment AT TIME ZONE 'UTC')::date AS day, currency, sum(redeemed) AS redeemed,
        sum(discounted) AS discounted, sum(reversed) AS reversed, sum(given_back) AS given_back,
        sum(used_up) AS used_up, sum(expired) AS expired
    FROM ({events}) AS event
    GROUP BY 1, 2, 3"""

_moved_now = "WHERE archived_at = now() AND code_key = ANY(CAST(:keys AS text[]))"

# Sorted, so that two archivers do not deadlock.
add_to_archived_totals = text(f"""
    INSERT INTO archived_totals AS total
    {totals.format(events=events.format(where=_moved_now))}
    ORDER BY 1, 2, 3
    ON CONFLICT (offer_id, day, currency) DO UPDATE SET
        redeemed = total.redeemed + excluded.redeemed,
        discounted = total.discounted + excluded.discounted,
        reversed = total.reversed + excluded.reversed,
        given_back = total.given_back + excluded.given_back,
        used_up = total.used_up + excluded.used_up,
        expired = total.expired + excluded.expired""")

add_to_customer_totals = text(f"""
    INSERT INTO customer_totals AS total (customer_id, offer_id, redemption_count)
    SELECT customer_id, offer_id, count(*) FROM archived_redemptions
    {_moved_now} AND reversed_at IS NULL
    GROUP BY 1, 2
    ORDER BY 1, 2
    ON CONFLICT (customer_id, offer_id) DO UPDATE SET
        redemption_count = total.redemption_count + excluded.redemption_count""")

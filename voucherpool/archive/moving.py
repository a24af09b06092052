"""Moves used up and expired vouchers with their redemptions into the archive.

One transaction moves whole vouchers and adds them to the totals, so readers never see half of one
and a kill leaves only whole batches.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from sqlalchemy import Table, func, select, text

from voucherpool.archive import on_cluster, partitions, picking
from voucherpool.database import cluster
from voucherpool.database.model import db
from voucherpool.vouchers.models import Redemption, Voucher


def blocks() -> range:
    """Return the first block of each batch in the hot table.

    It creates the month's partitions before any voucher moves: a statement planned without them
    would not find the moved vouchers.
    """
    partitions.ensure()
    return on_cluster.blocks() if cluster.is_cluster() else picking.blocks()


@contextmanager
def resting() -> Iterator[None]:
    """Rest afterwards twice as long as the block worked, to leave most of the time to the shop."""
    begun = time.monotonic()
    yield
    time.sleep(2 * (time.monotonic() - begun))


def archive(older_than: timedelta, first: int) -> int:
    """Archive one batch's vouchers that ended before `older_than` ago; return how many."""
    partitions.ensure()
    pick = on_cluster.pick if cluster.is_cluster() else picking.pick
    keys = pick(older_than, first)
    if keys:
        clock = db.session.execute(select(func.now(), func.current_setting("TimeZone"))).one()
        batch = {"keys": list(keys), "now": clock[0], "timezone": clock[1]}
        for statement in (*enter, *leave, add_to_archived_totals, add_to_customer_totals):
            db.session.execute(statement, batch)
    return len(keys)


def _names(table: Table) -> str:
    return ", ".join(column.name for column in table.columns)


_vouchers, _redemptions = _names(Voucher.__table__), _names(Redemption.__table__)

_picked = "WHERE code_key = ANY(CAST(:keys AS text[]))"
enter = tuple(
    text(f"""
        INSERT INTO archived_{table} ({columns}, archived_at)
        SELECT {columns}, CAST(:now AS timestamptz) FROM {table} {_picked}""")
    for table, columns in (("redemptions", _redemptions), ("vouchers", _vouchers))
)
leave = tuple(text(f"DELETE FROM {table} {_picked}") for table in ("redemptions", "vouchers"))

events = """
    SELECT offer_id, redeemed_at AS moment, coalesce(currency, '') AS currency, 1 AS redeemed,
        coalesce(discount_amount, 0) AS discounted, coalesce(order_amount, 0) AS turnover,
        0 AS reversed, 0 AS given_back, 0 AS turnover_given_back, 0 AS used_up, 0 AS expired
    FROM archived_redemptions {where}
    UNION ALL SELECT offer_id, reversed_at, coalesce(currency, ''), 0, 0, 0, 1,
        coalesce(discount_amount, 0), coalesce(order_amount, 0), 0, 0
    FROM archived_redemptions {where} AND reversed_at IS NOT NULL
    UNION ALL SELECT offer_id, coalesce(used_at, expires_at), '', 0, 0, 0, 0, 0, 0,
        (used_at IS NOT NULL)::int, (used_at IS NULL)::int
    FROM archived_vouchers {where}"""
"""The daily events of archived vouchers, one row each."""

summed = (
    *("redeemed", "discounted", "turnover"),
    *("reversed", "given_back", "turnover_given_back", "used_up", "expired"),
)
"""The columns of the events, and of the daily totals."""

sums = ", ".join(f"sum({name}) AS {name}" for name in summed)

_moved_now = f"{_picked} AND archived_at = CAST(:now AS timestamptz)"

# Sorted, so that two archivers do not deadlock.
add_to_archived_totals = text(f"""
    INSERT INTO archived_totals AS total (offer_id, day, currency, {", ".join(summed)})
    SELECT offer_id, (moment AT TIME ZONE :timezone)::date, currency, {sums}
    FROM ({events.format(where=_moved_now)}) AS event
    GROUP BY 1, 2, 3
    ORDER BY 1, 2, 3
    ON CONFLICT (offer_id, day, currency) DO UPDATE SET
        {", ".join(f"{name} = total.{name} + excluded.{name}" for name in summed)}""")

nobody = 0
"""The customer in the totals of redemptions by nobody who is known."""

add_to_customer_totals = text(f"""
    INSERT INTO customer_totals AS total (customer_id, offer_id, redemption_count)
    SELECT coalesce(customer_id, {nobody}), offer_id, count(*) FROM archived_redemptions
    {_moved_now} AND reversed_at IS NULL
    GROUP BY 1, 2
    ORDER BY 1, 2
    ON CONFLICT (customer_id, offer_id) DO UPDATE SET
        redemption_count = total.redemption_count + excluded.redemption_count""")

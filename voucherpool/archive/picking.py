"""Picks vouchers to archive, and locks them until the transaction ends."""

from collections.abc import Collection
from datetime import timedelta

from sqlalchemy import Integer, text

from voucherpool.database import cluster
from voucherpool.database.model import db
from voucherpool.vouchers import limits
from voucherpool.vouchers.models import open_holds

blocks_a_batch = 4
"""The blocks that one transaction walks, with about 250 vouchers; on a cluster, in each shard."""
vouchers_at_once = 250
"""The vouchers that one transaction takes on a cluster, where it locks them one after the other."""


def blocks() -> range:
    """Return the first block of each batch in the hot table; of a cluster, in its largest shard."""
    size: int = db.session.execute(_size_of_shards if cluster.is_cluster() else _size).scalar_one()
    return range(0, size, blocks_a_batch)


def pick(older_than: timedelta, first: int) -> Collection[str]:
    """Lock a batch's vouchers that ended before `older_than` ago, and return their keys.

    They end when used up or expired. A voucher that another transaction has locked waits for the
    next walk. After `vouchers_at_once` or more, the batch may have others: pick it again.
    """
    batch = {"age": older_than, "first": f"({first},0)", "end": f"({first + blocks_a_batch},0)"}
    if cluster.is_cluster():
        return _pick_of_shards(batch)
    return db.session.scalars(of_blocks, batch).all()


def _pick_of_shards(batch: dict[str, object]) -> Collection[str]:
    """Pick from all shards, without the locks of one snapshot.

    A redeemer that counts towards a limit asks one machine after the other, so it must not see a
    redemption leave the ledger before it enters the totals. It waits for the limit's lock. The rows
    are locked one by one, because only what names its code can skip what is locked.
    """
    found = db.session.scalars(_of_shards, {**batch, "query": _query_of_shard})
    keys = found.all()[:vouchers_at_once]
    if not keys:
        return ()
    for limit in db.session.execute(_limits, {"keys": keys}):
        db.session.execute(text(limits.lock(*limit)))
    these = ({"age": batch["age"], "key": key} for key in keys)
    return [key for this in these for key in db.session.scalars(_lock_voucher, this)]


_size = text("SELECT pg_relation_size('vouchers') / current_setting('block_size')::bigint").columns(
    blocks=Integer
)
_size_of_shards = text("""
    SELECT coalesce(max(result::bigint), 0) / current_setting('block_size')::bigint
    FROM run_command_on_shards('vouchers', $$ SELECT pg_relation_size('%s') $$)""")

_is_over = f"""
    (used_at < now() - {{age}} OR expires_at < now() - {{age}})
    AND NOT EXISTS (SELECT FROM {open_holds})"""

# Walking by ctid needs no index, which every redemption would have to maintain.
of_blocks = text(f"""
    SELECT code_key FROM vouchers
    WHERE ctid >= CAST(:first AS tid) AND ctid < CAST(:end AS tid)
    AND {_is_over.format(age="CAST(:age AS interval)")}
    FOR UPDATE SKIP LOCKED""")

_of_shards = text("""
    SELECT json_array_elements_text(result::json)
    FROM run_command_on_shards('vouchers', format(:query, :age, :first, :end))
    WHERE result <> ''""")
_query_of_shard = f"""
    SELECT json_agg(code_key) FROM %%s AS vouchers
    WHERE ctid >= %2$L::tid AND ctid < %3$L::tid AND {_is_over.format(age="%1$L::interval")}"""

_limits = text("""
    SELECT DISTINCT redemptions.offer_id, redemptions.customer_id
    FROM redemptions JOIN offers ON offers.id = redemptions.offer_id
    WHERE code_key = ANY(CAST(:keys AS text[])) AND max_redemptions_per_customer IS NOT NULL
    ORDER BY 1, 2""")

_lock_voucher = text(f"""
    SELECT code_key FROM vouchers
    WHERE code_key = :key AND {_is_over.format(age="CAST(:age AS interval)")}
    FOR UPDATE SKIP LOCKED""")

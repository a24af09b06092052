"""Picks vouchers to archive on a Citus cluster: finds them in all shards, locks each by its code.

A redeemer that counts towards a limit asks one machine after the other, so it must not see a
redemption leave the ledger before it enters the totals: the archiver takes the limit's lock first.
"""

from collections.abc import Collection
from datetime import timedelta

from sqlalchemy import text

from voucherpool.archive import picking
from voucherpool.database.model import db
from voucherpool.vouchers.eligibility import limits


def blocks() -> range:
    """Return the first block of each batch in the largest shard of the hot table."""
    return range(0, db.session.execute(_size).scalar_one(), picking.blocks_a_batch)


def pick(older_than: timedelta, first: int) -> Collection[str]:
    """Pick the batch of picking.pick() from all shards, up to `vouchers_at_once` of its vouchers.

    The rows are locked one by one: Citus skips what is locked only if the code is named.
    """
    batch = {**picking.batch(older_than, first), "query": _query_of_shard}
    keys = db.session.scalars(_of_shards, batch).all()[: picking.vouchers_at_once]
    if not keys:
        return ()
    for limit in db.session.execute(_limits, {"keys": keys}):
        db.session.execute(text(limits.lock(*limit)))
    these = ({"age": older_than, "key": key} for key in keys)
    return [key for this in these for key in db.session.scalars(_lock_voucher, this)]


_size = text("""
    SELECT coalesce(max(result::bigint), 0) / current_setting('block_size')::bigint
    FROM run_command_on_shards('vouchers', $$ SELECT pg_relation_size('%s') $$)""")

_of_shards = text("""
    SELECT json_array_elements_text(result::json)
    FROM run_command_on_shards('vouchers', format(:query, :age, :first, :end))
    WHERE result <> ''""")
_query_of_shard = f"""
    SELECT json_agg(code_key) FROM %%s AS vouchers
    WHERE ctid >= %2$L::tid AND ctid < %3$L::tid
    AND {picking.is_over.format(age="%1$L::interval")}"""

_limits = text("""
    SELECT DISTINCT redemptions.offer_id, redemptions.customer_id
    FROM redemptions JOIN offers ON offers.id = redemptions.offer_id
    WHERE code_key = ANY(CAST(:keys AS text[])) AND max_redemptions_per_customer IS NOT NULL
    ORDER BY 1, 2""")

_lock_voucher = text(f"""
    SELECT code_key FROM vouchers
    WHERE code_key = :key AND {picking.is_over.format(age="CAST(:age AS interval)")}
    FOR UPDATE SKIP LOCKED""")

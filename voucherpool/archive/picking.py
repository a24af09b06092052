"""Picks vouchers to archive, and locks them until the transaction ends."""

from collections.abc import Collection, Mapping
from datetime import timedelta

from sqlalchemy import Integer, text

from voucherpool.database.model import db
from voucherpool.vouchers.models import open_holds

blocks_a_batch = 4
"""The blocks that one transaction walks, with about 250 vouchers."""
vouchers_at_once = 250
"""A batch with so many vouchers may have others, and is picked again."""


def blocks() -> range:
    """Return the first block of each batch in the hot table."""
    return range(0, db.session.execute(_size).scalar_one(), blocks_a_batch)


def pick(older_than: timedelta, first: int) -> Collection[str]:
    """Lock a batch's vouchers that ended before `older_than` ago, and return their keys.

    They end when used up or expired. A voucher that another transaction has locked waits for the
    next walk.
    """
    return db.session.scalars(of_blocks, batch(older_than, first)).all()


def batch(older_than: timedelta, first: int) -> Mapping[str, object]:
    """Return the parameters of a batch: its age, and its first block and that after its last."""
    return {"age": older_than, "first": f"({first},0)", "end": f"({first + blocks_a_batch},0)"}


_size = text("SELECT pg_relation_size('vouchers') / current_setting('block_size')::bigint").columns(
    blocks=Integer
)

is_over = f"""
    (used_at < now() - {{age}} OR expires_at < now() - {{age}})
    AND NOT EXISTS (SELECT FROM {open_holds})"""

# Walking by ctid needs no index, which every redemption would have to maintain.
of_blocks = text(f"""
    SELECT code_key FROM vouchers
    WHERE ctid >= CAST(:first AS tid) AND ctid < CAST(:end AS tid)
    AND {is_over.format(age="CAST(:age AS interval)")}
    FOR UPDATE SKIP LOCKED""")

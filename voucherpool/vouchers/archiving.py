"""Moves vouchers that are over out of the hot tables with their ledger, and back when needed.

One statement moves a voucher and its family, so whoever looks finds all of it in one place, and a
kill leaves whole batches.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from sqlalchemy import ARRAY, Integer, Table, Text, TextClause, any_, bindparam, select, text

from voucherpool.db import db
from voucherpool.vouchers import partitions
from voucherpool.vouchers.archive import archived_vouchers
from voucherpool.vouchers.models import Redemption, Voucher

blocks_a_batch = 4
"""How much of the hot table one transaction walks: some 250 vouchers, locked for milliseconds."""


attempts = 10
"""How often a change that the archiver got ahead of is tried; once more is nearly always enough."""


def blocks() -> range:
    """Return where in the hot table each batch begins, in PostgreSQL's blocks.

    The month's partitions are made in this transaction, before any voucher moves: a statement that
    was planned without them would not find what has moved there by the time it runs.
    """
    partitions.ensure()
    size: int = db.session.execute(_size).scalar_one()
    return range(0, size, blocks_a_batch)


@contextmanager
def gently() -> Iterator[None]:
    """Rest twice as long as the block worked, so that most of the time is the shop's alone."""
    begun = time.monotonic()
    yield
    time.sleep(2 * (time.monotonic() - begun))


def archive(older_than: timedelta, first: int) -> int:
    """Move the vouchers of one batch of blocks that are over so long; return how many.

    Over is what was used up or has expired. A voucher that somebody is busy with stays for the
    next time.
    """
    partitions.ensure()
    batch = {"age": older_than, "first": f"({first},0)", "end": f"({first + blocks_a_batch},0)"}
    return len(db.session.execute(_archive_batch, batch).all())


def bring_back(keys: Sequence[str]) -> None:
    """Move the archived ones of these vouchers back to where they can be changed."""
    for found in db.session.execute(_archived, {"keys": list(keys)}).all():
        db.session.execute(_bring_back_one, found._asdict())


def taken(keys: Sequence[str]) -> set[str]:
    """Return which of the codes, in normal form, archived vouchers have.

    Ask after the codes were inserted, in the same transaction: an insert that waited for the
    archiver is done when the archive has the voucher.
    """
    return {found.code_key for found in db.session.execute(_archived, {"keys": list(keys)})}


_size = text("SELECT pg_relation_size('vouchers') / current_setting('block_size')::bigint").columns(
    blocks=Integer
)

_archived = (
    select(archived_vouchers.c.code_key, archived_vouchers.c.archived_at)
    .where(archived_vouchers.c.code_key == any_(bindparam("keys", type_=ARRAY(Text))))
    .order_by(archived_vouchers.c.code_key)
)


def _names(table: Table) -> str:
    return ", ".join(column.name for column in table.columns)


def _move(
    picked: str, source: str, target: str, also: tuple[str, str], where: str, expired: int
) -> TextClause:
    """Build the statement that moves the picked vouchers with their ledger.

    `also` is a further column of the target and its value; `expired` says by how much a voucher
    without use changes the figure of the archived ones, under the day of its issue, which nobody
    else counts on any more. Foreign keys are checked at the statement's end, when the family is
    together again.
    """
    column, value = also
    vouchers, redemptions = _names(Voucher.__table__), _names(Redemption.__table__)
    these = f"code_key = ANY(ARRAY(SELECT code_key FROM picked)) {where}"
    return text(f"""
        WITH picked AS ({picked}),
        redemption AS (
            DELETE FROM {source}redemptions WHERE {these} RETURNING {redemptions}
        ),
        voucher AS (
            DELETE FROM {source}vouchers WHERE {these} RETURNING {vouchers}
        ),
        entered AS (
            INSERT INTO {target}redemptions ({redemptions}{column})
            SELECT {redemptions}{value} FROM redemption
        ),
        counted AS (
            INSERT INTO offer_figures AS figures (offer_id, day, slot, expired_archived)
            SELECT offer_id, (created_at AT TIME ZONE 'UTC')::date, 0, count(*)
            FROM voucher WHERE used_at IS NULL GROUP BY 1, 2 ORDER BY 1, 2
            ON CONFLICT (offer_id, day, slot) DO UPDATE SET
                expired_archived = figures.expired_archived + {expired} * excluded.expired_archived
        )
        INSERT INTO {target}vouchers ({vouchers}{column}) OVERRIDING SYSTEM VALUE
        SELECT {vouchers}{value} FROM voucher
        RETURNING code_key""")


# A walk by place needs no index that every redemption would have to maintain.
_archive_batch = _move(
    picked="""
        SELECT code_key FROM vouchers
        WHERE ctid >= CAST(:first AS tid) AND ctid < CAST(:end AS tid)
        AND (used_at < now() - :age OR expires_at < now() - :age)
        AND NOT EXISTS (
            SELECT FROM jsonb_each(holds) AS hold(id, terms)
            WHERE (terms->>'until')::timestamptz > now()
        )
        FOR UPDATE SKIP LOCKED""",
    source="",
    target="archived_",
    also=(", archived_at", ", now()"),
    where="",
    expired=1,
)

# The moment of archiving names the partition, so that a purge of others stops nobody.
_bring_back_one = _move(
    picked="""
        SELECT code_key FROM archived_vouchers
        WHERE code_key = :code_key AND archived_at = :archived_at
        FOR UPDATE""",
    source="archived_",
    target="",
    also=("", ""),
    where="AND archived_at = :archived_at",
    expired=-1,
)

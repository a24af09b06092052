"""The archive's partitions, one a month of UTC: made when missing, dropped when old.

Who makes and drops them must own the schema.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Table, func, select, text

from voucherpool.db import db
from voucherpool.vouchers.archive import archived_redemptions, archived_vouchers

archives = (archived_vouchers, archived_redemptions)
lock = 706202612  # any number that no other program on this database uses


def ensure() -> None:
    """Make the partitions of this transaction's now() unless they are there."""
    if (month := db.session.scalars(_missing).one_or_none()) is None:
        return
    _wait_for_others()
    if db.session.scalars(_missing).one_or_none() is not None:
        for archive in archives:
            _make(archive, month)


def months(older_than: timedelta) -> Sequence[datetime]:
    """Return the archive's months whose last moment was so long ago, the oldest first."""
    return db.session.scalars(_months, {"age": older_than}).all()


def purge(month: datetime) -> int:
    """Drop what was archived in a month, keep its totals, and return how many vouchers it was.

    Nothing can come back out of the month meanwhile; the archive is read until the very drop.
    """
    _wait_for_others()
    vouchers, redemptions = (_name(archive, month) for archive in archives)
    if db.session.scalar(select(func.to_regclass(vouchers))) is None:
        return 0  # by another purge
    db.session.execute(text(f"LOCK TABLE {vouchers}, {redemptions} IN SHARE ROW EXCLUSIVE MODE"))
    count: int = db.session.scalar(text(f"SELECT count(*) FROM {vouchers}"))
    for statement in (_total_vouchers, _total_redemptions, _forget_in_claims):
        db.session.execute(text(statement.format(vouchers=vouchers, redemptions=redemptions)))
    db.session.execute(text(f"DROP TABLE {vouchers}, {redemptions}"))
    return count


def _wait_for_others() -> None:
    db.session.execute(select(func.pg_advisory_xact_lock(lock)))


def _name(archive: Table, month: datetime) -> str:
    return f"{archive.name}_{month:%Y_%m}"


def _make(archive: Table, month: datetime) -> None:
    """Make a partition aside and attach it, which lets others read the archive meanwhile."""
    partition = _name(archive, month)
    following = (month + timedelta(days=31)).replace(day=1)
    db.session.execute(text(f"CREATE TABLE {partition} (LIKE {archive.name} INCLUDING INDEXES)"))
    db.session.execute(
        text(
            f"ALTER TABLE {archive.name} ATTACH PARTITION {partition}"
            f" FOR VALUES FROM ('{month:%Y-%m-%d}Z') TO ('{following:%Y-%m-%d}Z')"
        )
    )


_missing = text("""
    SELECT month FROM (SELECT date_trunc('month', now() AT TIME ZONE 'UTC')) AS this(month)
    WHERE to_regclass('archived_vouchers_' || to_char(month, 'YYYY_MM')) IS NULL""")

_months = text("""
    SELECT month
    FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid,
        CAST(to_date(right(relname, 7), 'YYYY_MM') AS timestamp) AS month
    WHERE inhparent = to_regclass('archived_vouchers')
    AND month + interval '1 month' <= now() AT TIME ZONE 'UTC' - :age
    ORDER BY month""")

happened = """
    SELECT offer_id, (moment AT TIME ZONE 'UTC')::date AS day, sum(issued) AS issued,
        sum(claimed) AS claimed, sum(redeemed) AS redeemed, sum(reversed) AS reversed,
        sum(used_up) AS used_up, sum(expired) AS expired
    FROM (
        SELECT offer_id, created_at, 1, 0, 0, 0,
            (used_at IS NOT NULL)::int, (used_at IS NULL)::int FROM {vouchers}
        UNION ALL SELECT offer_id, claimed_at, 0, 1, 0, 0, 0, 0
        FROM {vouchers} WHERE claimed_at IS NOT NULL
        UNION ALL SELECT offer_id, redeemed_at, 0, 0, 1, 0, 0, 0
        FROM {redemptions} JOIN {vouchers} USING (code_key)
        UNION ALL SELECT offer_id, reversed_at, 0, 0, 0, 1, 0, 0
        FROM {redemptions} JOIN {vouchers} USING (code_key) WHERE reversed_at IS NOT NULL
    ) AS happened (offer_id, moment, issued, claimed, redeemed, reversed, used_up, expired)
    GROUP BY 1, 2"""
"""What happened to the vouchers of a table on each day, by offer."""

_total_vouchers = f"""
    INSERT INTO purged_vouchers AS purged {happened}
    ON CONFLICT (offer_id, day) DO UPDATE SET
        issued = purged.issued + excluded.issued,
        claimed = purged.claimed + excluded.claimed,
        redeemed = purged.redeemed + excluded.redeemed,
        reversed = purged.reversed + excluded.reversed,
        used_up = purged.used_up + excluded.used_up,
        expired = purged.expired + excluded.expired"""

_total_redemptions = """
    INSERT INTO purged_redemptions AS purged (offer_id, customer_id, redemption_count)
    SELECT offer_id, ledger.customer_id, count(*)
    FROM {redemptions} AS ledger JOIN {vouchers} USING (code_key)
    WHERE reversed_at IS NULL
    GROUP BY offer_id, ledger.customer_id
    ON CONFLICT (offer_id, customer_id) DO UPDATE SET
        redemption_count = purged.redemption_count + excluded.redemption_count"""

# A claim_ref stays taken, so that its repeat does not get another voucher.
_forget_in_claims = """
    UPDATE claims SET code_key = NULL
    FROM {vouchers} AS gone WHERE gone.code_key = claims.code_key"""

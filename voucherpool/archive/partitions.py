"""The archive's partitions, one per month in UTC: created when missing, dropped by a purge.

The database role must own the tables.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Table, func, select, text

from voucherpool.audit import service as audit
from voucherpool.database.model import db
from voucherpool.vouchers.archived import archived_redemptions, archived_vouchers

archives = (archived_vouchers, archived_redemptions)
lock = 706202612  # any number that no other program on this database uses


def ensure() -> None:
    """Create the partitions for this transaction's now() if they are missing."""
    if (month := db.session.scalars(_missing).one_or_none()) is None:
        return
    _wait_for_others()
    if db.session.scalars(_missing).one_or_none() is not None:
        for archive in archives:
            _make(archive, month)


def months(older_than: timedelta) -> Sequence[datetime]:
    """Return the archive's months that ended before `older_than` ago, the oldest first."""
    return db.session.scalars(_months, {"age": older_than}).all()


def purge(month: datetime) -> int:
    """Drop the partitions of a month and return how many vouchers they held."""
    _wait_for_others()
    vouchers, redemptions = (_name(archive, month) for archive in archives)
    if db.session.scalar(select(func.to_regclass(vouchers))) is None:
        return 0  # another purge dropped them
    count: int = db.session.scalar(text(f"SELECT count(*) FROM {vouchers}"))
    db.session.execute(text(f"DROP TABLE {vouchers}, {redemptions}"))
    audit.record("archive.purged", f"{month:%Y-%m}", before={"vouchers": count})
    return count


def _wait_for_others() -> None:
    db.session.execute(select(func.pg_advisory_xact_lock(lock)))


def _name(archive: Table, month: datetime) -> str:
    return f"{archive.name}_{month:%Y_%m}"


def _make(archive: Table, month: datetime) -> None:
    """Create a partition and attach it, so that others can read the archive meanwhile."""
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

"""Spreads the tables of a migrated database over the machines of a Citus cluster.

A voucher and all that belongs to it are on one machine, found by the code. What is small and read
beside vouchers is on every machine. Queues stay on the coordinator, to which the service connects.

Sources: https://docs.citusdata.com/en/stable/develop/reference_ddl.html.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import text

from voucherpool.database import cluster
from voucherpool.database.model import db
from voucherpool.errors import Conflict

copied = (
    *("offers", "customers"),
    # Written by the archive alone.
    *("archived_totals", "customer_totals"),
)
"""Each machine has a copy: small tables, read beside the vouchers of any machine."""

spread = {
    **dict.fromkeys(("vouchers", "redemptions", "refused_attempts"), "code_key"),
    **dict.fromkeys(("archived_vouchers", "archived_redemptions"), "code_key"),
    **dict.fromkeys(("events", "reminders"), "code_key"),
    "idempotency_keys": "key",
    "claims": "claim_ref",
    "claim_counts": "customer_id",
    # Not copied: requests write them, and writers of a copied table wait for each other.
    **dict.fromkeys(("offer_counts", "offer_budgets", "budget_holds"), "offer_id"),
}
"""The column by whose value a row finds its machine. Equal codes are on one machine."""

managed = (
    *("batches", "batch_customers", "changes", "change_vouchers"),
    *("schedules", "schedule_runs"),
    *("webhooks", "replays", "numbered_events", "deliveries", "messages"),
    *("reminder_progress", "opt_outs", "audit_log"),
)
"""On the coordinator, and known to Citus: what commits with vouchers of another machine commits as
one (https://docs.citusdata.com/en/stable/develop/api_udf.html)."""

plain = ("api_keys", "console_users", "failed_attempts", "alembic_version")
"""On the coordinator, unknown to Citus: a lost count of failed attempts does no harm."""


class ForeignKey(NamedTuple):
    """A foreign key of the database, and the statements' parts that drop and add it."""

    table: str
    name: str
    definition: str


def distribute() -> Iterator[str]:
    """Place every table that has no place yet, and tell each step; a repeat changes nothing.

    It runs in the open transaction and locks all tables. Raises Conflict where there is no cluster.
    """
    if not cluster.is_cluster():
        raise Conflict(
            "This PostgreSQL is no coordinator of a Citus cluster: create the extension citus and"
            " add the workers first (docs/scale.md)."
        )
    placed = set(db.session.scalars(_placed))
    missing = [name for name in (*copied, *spread, *managed) if name not in placed]
    if not missing:
        yield "Every table has its place already."
        return
    keys = _drop_foreign_keys()
    for name in missing:
        yield _place(name)
    for key in keys:
        db.session.execute(
            text(f"ALTER TABLE {key.table} ADD CONSTRAINT {key.name} {key.definition}")
        )


def clear_coordinator() -> None:
    """Remove the rows that distribute() left behind on the coordinator, after its commit."""
    for name in (*copied, *spread):
        db.session.execute(_clear, {"name": name})


def _place(name: str) -> str:
    """Give the table its place, and say which."""
    if name in copied:
        db.session.execute(_copy, {"name": name})
        return f"{name}: a copy on every machine"
    if name in managed:
        db.session.execute(_manage, {"name": name})
        return f"{name}: on the coordinator"
    column = spread[name]
    beside = "vouchers" if column == "code_key" and name != "vouchers" else "none"
    db.session.execute(_spread, {"name": name, "column": column, "beside": beside})
    return f"{name}: spread by {column}"


def _drop_foreign_keys() -> Sequence[ForeignKey]:
    """Drop all foreign keys and return them.

    A table with one to a copied table is managed at once, and one with an identity column cannot be
    spread after that (https://github.com/citusdata/citus/issues/7888).
    """
    keys = [ForeignKey(*row) for row in db.session.execute(_foreign_keys)]
    for key in keys:
        db.session.execute(text(f"ALTER TABLE {key.table} DROP CONSTRAINT {key.name}"))
    return keys


_placed = text("SELECT logicalrelid::text FROM pg_dist_partition")
_foreign_keys = text("""
    SELECT conrelid::regclass::text, quote_ident(conname), pg_get_constraintdef(oid)
    FROM pg_constraint
    WHERE contype = 'f' AND conparentid = 0 AND connamespace = 'public'::regnamespace
    ORDER BY 1, 2""")
_copy = text("SELECT create_reference_table(CAST(:name AS regclass))")
_spread = text("""
    SELECT create_distributed_table(CAST(:name AS regclass), :column, colocate_with => :beside)""")
_manage = text("SELECT citus_add_local_table_to_metadata(CAST(:name AS regclass))")
_clear = text("SELECT truncate_local_data_after_distributing_table(CAST(:name AS regclass))")

"""Vouchers that were redeemed are marked, and leave the index of the pools for good.

The earlier release may go on serving. Its claims out of large pools are slow until it is replaced,
because the index that they used is gone; what it redeems is only not marked.
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0019"

rows_a_batch = 1_000

# Only those that claims would still pass: unbound, with uses left.
unmarked = sa.text("""
    SELECT code_key FROM vouchers
    WHERE code_key > :last AND customer_id IS NULL AND used_at IS NULL AND was_redeemed IS NULL
    AND (
        redemption_count > 0
        OR EXISTS (SELECT FROM redemptions WHERE redemptions.code_key = vouchers.code_key)
    )
    ORDER BY code_key LIMIT :rows""")

mark = sa.text("UPDATE vouchers SET was_redeemed = true WHERE code_key = ANY(:keys)")

claimable = """ON vouchers (offer_id, expires_at, issue_number)
    WHERE customer_id IS NULL AND used_at IS NULL AND was_redeemed IS NULL
    AND disabled_at IS NULL"""

unbound = """ON vouchers (offer_id, expires_at, issue_number)
    WHERE customer_id IS NULL AND used_at IS NULL"""


def upgrade() -> None:
    for table in ("vouchers", "archived_vouchers"):
        op.execute(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS was_redeemed boolean")
    with op.get_context().autocommit_block():
        # The shop waits for none of this; it may itself wait for long transactions.
        op.execute("SET statement_timeout = 0; SET lock_timeout = 0")
        mark_all()
        build("vouchers_claimable_idx", claimable, instead_of="vouchers_pool_idx")
        op.execute("SET statement_timeout = '60s'; SET lock_timeout = '2s'")


def mark_all() -> None:
    """Mark the vouchers, a few at a time, so that no redemption waits long for their locks."""
    last = ""
    while keys := op.get_bind().scalars(unmarked, {"last": last, "rows": rows_a_batch}).all():
        op.get_bind().execute(mark, {"keys": list(keys)})
        last = keys[-1]


def build(name: str, definition: str, instead_of: str) -> None:
    """Build an index, and then drop the other."""
    # An interrupted run leaves an invalid index behind.
    op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
    op.execute(f"CREATE INDEX CONCURRENTLY {name} {definition}")
    op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {instead_of}")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("SET statement_timeout = 0; SET lock_timeout = 0")
        build("vouchers_pool_idx", unbound, instead_of="vouchers_claimable_idx")
        op.execute("SET statement_timeout = '60s'; SET lock_timeout = '2s'")
    for table in ("vouchers", "archived_vouchers"):
        op.drop_column(table, "was_redeemed")

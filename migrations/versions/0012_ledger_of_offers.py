"""The ledger names the offer, its kind of discount and the currency; indexes to count by offer.

The earlier release may go on serving: it leaves the new columns empty, and 0013 fills them.
"""

import uuid

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

columns = {"offer_id": sa.BigInteger, "discount_type": sa.Text, "currency": sa.Text}
rows_a_batch = 5_000

indexes = {
    "redemptions_offer_id_redeemed_at_idx": """
        ON redemptions (offer_id, redeemed_at) INCLUDE (discount_amount, currency)""",
    "redemptions_offer_id_reversed_at_idx": """
        ON redemptions (offer_id, reversed_at) INCLUDE (discount_amount, currency)
        WHERE reversed_at IS NOT NULL""",
    "vouchers_used_up_idx": "ON vouchers (offer_id) WHERE used_at IS NOT NULL",
    "offers_limited_idx": "ON offers (id) WHERE max_redemptions_per_customer IS NOT NULL",
}

# By months of the archive, whose vouchers and redemptions were moved together.
months = (
    "SELECT right(relname, 8) FROM pg_inherits JOIN pg_class ON oid = inhrelid"
    " WHERE inhparent = 'archived_redemptions'::regclass"
)

# Walks by id, so that no batch reads again what an earlier one filled, and no code has too many. It
# waits for no row, so that it is in no deadlock: 0013 fills what it passes over.
fill_some = """
    WITH batch AS (
        SELECT id FROM {redemptions} WHERE id > :last ORDER BY id LIMIT :rows
        FOR NO KEY UPDATE SKIP LOCKED
    ), filled AS (
        UPDATE {redemptions} AS ledger SET (offer_id, discount_type, currency) = (
            SELECT offers.id, offers.discount_type, offers.currency
            FROM {vouchers} AS voucher JOIN offers ON offers.id = voucher.offer_id
            WHERE voucher.code_key = ledger.code_key
        )
        WHERE id = ANY(ARRAY(SELECT id FROM batch)) AND offer_id IS NULL
    )
    SELECT id FROM batch ORDER BY id DESC LIMIT 1"""


def upgrade() -> None:
    for table in ("redemptions", "archived_redemptions"):
        for name, type_ in columns.items():
            op.add_column(table, sa.Column(name, type_), if_not_exists=True)
    with op.get_context().autocommit_block():
        # The shop waits for none of this; it may itself wait for long transactions.
        op.execute("SET statement_timeout = 0; SET lock_timeout = 0")
        fill("redemptions", "vouchers")
        for month in op.get_bind().scalars(sa.text(months)).all():
            fill(f"archived_redemptions{month}", f"archived_vouchers{month}")
        for name, definition in indexes.items():
            # An interrupted run leaves an invalid index behind.
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY {name} {definition}")
        op.execute("SET statement_timeout = '60s'; SET lock_timeout = '2s'")


def fill(redemptions: str, vouchers: str) -> None:
    statement = sa.text(fill_some.format(redemptions=redemptions, vouchers=vouchers))
    last = uuid.UUID(int=0)
    while last is not None:
        last = op.get_bind().scalar(statement, {"last": last, "rows": rows_a_batch})


def downgrade() -> None:
    for name in ("vouchers_used_up_idx", "offers_limited_idx"):
        op.execute(f"DROP INDEX {name}")
    for archive in ("", "archived_"):
        for name in columns:
            op.drop_column(f"{archive}redemptions", name)

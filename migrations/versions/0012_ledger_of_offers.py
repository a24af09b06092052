"""The ledger names the offer, its kind of discount and the currency; indexes to count by offer.

The earlier release may go on serving: it leaves the new columns empty, and 0013 fills them.
"""

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

# Walks by code, so that no batch reads again what an earlier one filled.
fill_some = """
    WITH batch AS (
        SELECT code_key, id FROM {archive}redemptions WHERE code_key > :last
        ORDER BY code_key LIMIT :rows
    ), filled AS (
        UPDATE {archive}redemptions AS ledger SET offer_id = offers.id,
            discount_type = offers.discount_type, currency = offers.currency
        FROM batch JOIN {archive}vouchers AS voucher USING (code_key)
            JOIN offers ON offers.id = voucher.offer_id
        WHERE ledger.code_key = batch.code_key AND ledger.id = batch.id
            AND ledger.offer_id IS NULL
    )
    SELECT max(code_key) FROM batch"""

# A batch may end within the redemptions of one code; these are the rest of them.
fill_rest_of_code = """
    UPDATE {archive}redemptions AS ledger SET offer_id = offers.id,
        discount_type = offers.discount_type, currency = offers.currency
    FROM {archive}vouchers AS voucher JOIN offers ON offers.id = voucher.offer_id
    WHERE ledger.code_key = :last AND voucher.code_key = :last AND ledger.offer_id IS NULL"""


def upgrade() -> None:
    for archive in ("", "archived_"):
        for name, type_ in columns.items():
            op.add_column(f"{archive}redemptions", sa.Column(name, type_))
    with op.get_context().autocommit_block():
        for archive in ("", "archived_"):
            fill(archive)
        for name, definition in indexes.items():
            # What an interrupted run left behind would not be valid.
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY {name} {definition}")


def fill(archive: str) -> None:
    last = ""
    while last is not None:
        values = {"last": last, "rows": rows_a_batch}
        last = run(fill_some.format(archive=archive), values).scalar()
        if last is not None:
            run(fill_rest_of_code.format(archive=archive), {"last": last})


def run(statement: str, values: dict[str, object]) -> sa.CursorResult:
    return op.get_bind().execute(sa.text(statement), values)


def downgrade() -> None:
    for name in ("vouchers_used_up_idx", "offers_limited_idx"):
        op.execute(f"DROP INDEX {name}")
    for archive in ("", "archived_"):
        for name in columns:
            op.drop_column(f"{archive}redemptions", name)

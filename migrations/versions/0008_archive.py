"""The archive of vouchers that are over, and the totals of what was purged."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0008"
down_revision = "0007"

vouchers = {
    "code_key": sa.Text,
    "code": sa.Text,
    "issue_number": sa.BigInteger,
    "offer_id": sa.BigInteger,
    "customer_id": sa.BigInteger,
    "expires_at": sa.DateTime(timezone=True),
    "max_redemptions": sa.BigInteger,
    "redemption_count": sa.BigInteger,
    "used_at": sa.DateTime(timezone=True),
    "frozen_discount": sa.Numeric,
    "disabled_at": sa.DateTime(timezone=True),
    "holds": JSONB,
    "created_at": sa.DateTime(timezone=True),
    "batch_id": sa.BigInteger,
    "claimed_at": sa.DateTime(timezone=True),
}
redemptions = {
    "code_key": sa.Text,
    "id": sa.Uuid,
    "customer_id": sa.BigInteger,
    "order_ref": sa.Text,
    "discount": sa.Numeric,
    "order_amount": sa.Numeric,
    "discount_amount": sa.Numeric,
    "redeemed_at": sa.DateTime(timezone=True),
    "reversed_at": sa.DateTime(timezone=True),
}
optional = {
    "vouchers": {
        "customer_id",
        "used_at",
        "frozen_discount",
        "disabled_at",
        "holds",
        "batch_id",
        "claimed_at",
    },
    "redemptions": {"order_ref", "order_amount", "discount_amount", "reversed_at"},
}

# What comes back unused is counted where it is again.
uncount = """
    UPDATE offer_figures AS figures SET expired_archived = expired_archived - back.count
    FROM (
        SELECT offer_id, (created_at AT TIME ZONE 'UTC')::date AS day, count(*)
        FROM archived_vouchers WHERE used_at IS NULL GROUP BY 1, 2
    ) AS back
    WHERE (figures.offer_id, figures.day, figures.slot) = (back.offer_id, back.day, 0)"""

figures = ("issued", "claimed", "redeemed", "reversed", "used_up", "expired")


def upgrade() -> None:
    op.drop_constraint("refused_attempts_code_key_fkey", "refused_attempts")
    archive_of("vouchers", vouchers)
    archive_of("redemptions", redemptions)
    op.create_index("archived_redemptions_id_idx", "archived_redemptions", ["id"])
    op.create_index(
        "archived_redemptions_customer_id_redeemed_at_id_idx",
        "archived_redemptions",
        ["customer_id", "redeemed_at", "id"],
    )
    op.create_index(
        "archived_redemptions_order_ref_idx",
        "archived_redemptions",
        ["order_ref"],
        postgresql_where=sa.text("order_ref IS NOT NULL"),
    )
    op.create_table(
        "purged_vouchers",
        sa.Column("offer_id", sa.BigInteger, primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in figures),
    )
    op.create_table(
        "purged_redemptions",
        sa.Column("offer_id", sa.BigInteger, primary_key=True),
        sa.Column("customer_id", sa.BigInteger, primary_key=True),
        sa.Column("redemption_count", sa.BigInteger, nullable=False),
    )


def archive_of(table: str, columns: dict[str, object]) -> None:
    op.create_table(
        f"archived_{table}",
        *(sa.Column(name, columns[name], nullable=name in optional[table]) for name in columns),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=False),
        postgresql_partition_by="RANGE (archived_at)",
    )
    op.create_index(f"archived_{table}_code_key_idx", f"archived_{table}", ["code_key"])


def downgrade() -> None:
    """Bring the archived back; what was purged is gone, and so are its totals."""
    op.execute(uncount)
    for table, columns in {"vouchers": vouchers, "redemptions": redemptions}.items():
        names = ", ".join(columns)
        op.execute(
            f"INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE"  # noqa: S608
            f" SELECT {names} FROM archived_{table}"
        )
        op.drop_table(f"archived_{table}")
    op.drop_table("purged_redemptions")
    op.drop_table("purged_vouchers")
    op.execute(
        "DELETE FROM refused_attempts"
        " WHERE NOT EXISTS (SELECT FROM vouchers WHERE code_key = refused_attempts.code_key)"
    )
    op.create_foreign_key(
        "refused_attempts_code_key_fkey", "refused_attempts", "vouchers", ["code_key"], ["code_key"]
    )

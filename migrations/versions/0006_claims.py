"""Claims, and the figures of offers."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

# What is counted from here on, counted of what was before. It must not change meanwhile: the lock
# on vouchers, which the new column takes, is kept until the end.
count_what_is_there = """
    INSERT INTO offer_figures (offer_id, day, slot, issued, redeemed, reversed, used_up)
    SELECT offer_id, (moment AT TIME ZONE 'UTC')::date, 0,
        sum(issued), sum(redeemed), sum(reversed), sum(used_up)
    FROM (
        SELECT offer_id, created_at, 1, 0, 0, 0 FROM vouchers
        UNION ALL SELECT offer_id, used_at, 0, 0, 0, 1 FROM vouchers WHERE used_at IS NOT NULL
        UNION ALL SELECT offer_id, redeemed_at, 0, 1, 0, 0
        FROM redemptions JOIN vouchers USING (code_key)
        UNION ALL SELECT offer_id, reversed_at, 0, 0, 1, 0
        FROM redemptions JOIN vouchers USING (code_key) WHERE reversed_at IS NOT NULL
    ) AS happened (offer_id, moment, issued, redeemed, reversed, used_up)
    GROUP BY 1, 2"""


def upgrade() -> None:
    op.add_column("vouchers", moment("claimed_at"))
    op.create_check_constraint(
        "claimed_at", "vouchers", "claimed_at IS NULL OR customer_id IS NOT NULL"
    )
    op.create_index(
        "vouchers_pool_idx",
        "vouchers",
        ["offer_id", "expires_at", "issue_number"],
        postgresql_where=sa.text("customer_id IS NULL AND used_at IS NULL"),
    )
    op.create_index(
        "vouchers_unused_idx",
        "vouchers",
        ["offer_id", "expires_at"],
        postgresql_where=sa.text("used_at IS NULL"),
    )
    op.create_table(
        "claims",
        sa.Column("offer_id", sa.BigInteger, sa.ForeignKey("offers.id"), primary_key=True),
        sa.Column("claim_ref", sa.Text, primary_key=True),
        sa.Column("customer_id", sa.BigInteger, sa.ForeignKey("customers.id"), nullable=False),
        sa.Column("code_key", sa.Text),
        moment("claimed_at", nullable=False, server_default=sa.func.now()),
        sa.CheckConstraint("claim_ref <> ''", name="claim_ref"),
    )
    create_figures()
    op.execute(count_what_is_there)


def create_figures() -> None:
    counts = ("issued", "claimed", "redeemed", "reversed", "used_up", "expired_archived")
    op.create_table(
        "offer_figures",
        sa.Column("offer_id", sa.BigInteger, sa.ForeignKey("offers.id"), primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("slot", sa.BigInteger, primary_key=True, autoincrement=False),
        *(sa.Column(name, sa.BigInteger, nullable=False, server_default="0") for name in counts),
        sa.CheckConstraint(
            "issued >= 0 AND claimed >= 0 AND redeemed >= 0 AND reversed >= 0"
            " AND expired_archived >= 0",
            name="counts",
        ),
    )


def downgrade() -> None:
    op.drop_table("offer_figures")
    op.drop_table("claims")
    op.drop_index("vouchers_unused_idx", "vouchers")
    op.drop_index("vouchers_pool_idx", "vouchers")
    op.drop_column("vouchers", "claimed_at")


def moment(name: str, **options: object) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), **options)

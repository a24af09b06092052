"""Batches of vouchers."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "batches",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("offer_id", sa.BigInteger, sa.ForeignKey("offers.id"), nullable=False),
        sa.Column("requested", sa.BigInteger, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False, server_default="0"),
        moment("expires_at", nullable=False),
        sa.Column("max_redemptions", sa.BigInteger, nullable=False),
        sa.Column("pattern", sa.Text, nullable=False),
        sa.Column("frozen_discount", sa.Numeric),
        sa.Column("per_customer", sa.BigInteger),
        sa.Column("state", sa.Text, nullable=False, server_default="pending"),
        sa.Column("error", sa.Text),
        moment("created_at", nullable=False, server_default=sa.func.now()),
        moment("started_at"),
        moment("finished_at"),
        sa.CheckConstraint("requested BETWEEN 1 AND 5000000", name="requested"),
        sa.CheckConstraint("created BETWEEN 0 AND requested", name="created"),
        sa.CheckConstraint("isfinite(expires_at)", name="expires_at"),
        sa.CheckConstraint("max_redemptions > 0", name="max_redemptions"),
        sa.CheckConstraint("pattern ~ '^[#0-9A-Za-z -]{10,80}$'", name="pattern"),
        sa.CheckConstraint("frozen_discount > 0", name="frozen_discount"),
        sa.CheckConstraint("per_customer > 0", name="per_customer"),
        sa.CheckConstraint("state IN ('pending', 'running', 'done', 'failed')", name="state"),
        sa.CheckConstraint("(state = 'done') = (created = requested)", name="done"),
        sa.CheckConstraint("(state = 'failed') = (error IS NOT NULL)", name="failed"),
        sa.CheckConstraint(
            "(state IN ('done', 'failed')) = (finished_at IS NOT NULL)", name="finished_at"
        ),
    )
    op.create_index("batches_offer_id_id_idx", "batches", ["offer_id", "id"])
    op.create_index(
        "batches_unfinished_idx",
        "batches",
        ["created", "id"],
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_table(
        "batch_customers",
        sa.Column("batch_id", sa.BigInteger, sa.ForeignKey("batches.id"), primary_key=True),
        sa.Column("page", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("customer_ids", ARRAY(sa.BigInteger), nullable=False),
    )
    op.add_column("vouchers", sa.Column("batch_id", sa.BigInteger))
    op.create_index(
        "vouchers_batch_idx",
        "vouchers",
        ["batch_id", "issue_number"],
        postgresql_where=sa.text("batch_id IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("vouchers_batch_idx", "vouchers")
    op.drop_column("vouchers", "batch_id")
    op.drop_table("batch_customers")
    op.drop_table("batches")


def moment(name: str, **options: object) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), **options)

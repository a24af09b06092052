"""Counts of wrong guesses."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "misses",
        sa.Column("subject", sa.LargeBinary, primary_key=True),
        sa.Column("miss_count", sa.BigInteger, nullable=False),
        sa.Column("miss_limit", sa.BigInteger, nullable=False),
        sa.Column(
            "since", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()
        ),
        sa.CheckConstraint("octet_length(subject) = 32", name="subject"),
        sa.CheckConstraint("miss_count > 0", name="miss_count"),
    )


def downgrade() -> None:
    op.drop_table("misses")

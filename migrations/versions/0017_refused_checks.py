"""What was refused, and for which order.

The earlier release may go on serving: it leaves both out.
"""

from alembic import op

revision = "0017"
down_revision = "0016"

columns = ("action", "order_ref")


def upgrade() -> None:
    for column in columns:
        op.execute(f"ALTER TABLE refused_attempts ADD COLUMN {column} text")


def downgrade() -> None:
    op.execute("DELETE FROM refused_attempts WHERE action = 'check'")
    for column in columns:
        op.drop_column("refused_attempts", column)

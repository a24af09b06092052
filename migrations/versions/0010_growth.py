"""How often the vouchers are vacuumed; why stands beside the model.

It takes a SHARE UPDATE EXCLUSIVE lock, which the shop's reads and writes do not meet.
"""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.execute("ALTER TABLE vouchers SET (autovacuum_vacuum_scale_factor = 0.02)")


def downgrade() -> None:
    op.execute("ALTER TABLE vouchers RESET (autovacuum_vacuum_scale_factor)")

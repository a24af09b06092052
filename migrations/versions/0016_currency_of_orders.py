"""Orders name their currency, unless their offer says that they need not; discounts can be locked.

The earlier release may go on serving: it asks for no currency.
"""

from alembic import op

revision = "0016"
down_revision = "0015"

flags = ("currency_optional", "discount_locked")


def upgrade() -> None:
    for flag in flags:
        op.execute(f"ALTER TABLE offers ADD COLUMN {flag} boolean NOT NULL DEFAULT false")
    # The shops of these offers send amounts without a currency.
    op.execute("UPDATE offers SET currency_optional = true")


def downgrade() -> None:
    for flag in flags:
        op.drop_column("offers", flag)

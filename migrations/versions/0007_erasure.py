"""Customers that were erased, and what their limits remember of them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.alter_column("customers", "email", nullable=True)
    op.alter_column("customers", "email_key", nullable=True)
    op.add_column(
        "customers",
        sa.Column("former_emails", ARRAY(sa.Text), nullable=False, server_default=sa.text("'{}'")),
    )
    op.add_column("customers", sa.Column("erased_at", sa.DateTime(timezone=True)))
    op.create_check_constraint(
        "erased_at",
        "customers",
        "CASE WHEN erased_at IS NULL THEN num_nulls(email, email_key) = 0"
        " ELSE num_nonnulls(email, email_key, name) = 0 AND former_emails = '{}' END",
    )
    op.add_column(
        "customer_redemptions",
        sa.Column("carried", sa.BigInteger, nullable=False, server_default="0"),
    )
    op.create_check_constraint("carried", "customer_redemptions", "carried >= 0")
    op.create_table(
        "erased_redemptions",
        sa.Column("person", sa.LargeBinary, primary_key=True),
        sa.Column("offer_id", sa.BigInteger, sa.ForeignKey("offers.id"), primary_key=True),
        sa.Column("redemption_count", sa.BigInteger, nullable=False),
        sa.CheckConstraint("octet_length(person) = 32", name="person"),
        sa.CheckConstraint("redemption_count > 0", name="redemption_count"),
    )


def downgrade() -> None:
    op.drop_table("erased_redemptions")
    op.drop_column("customer_redemptions", "carried")
    op.drop_constraint("erased_at", "customers", type_="check")
    # Who was erased stays so: the older schema asks for an e-mail, and this is nobody's.
    op.execute(
        "UPDATE customers SET email = 'erased-' || id || '@invalid',"
        " email_key = 'erased-' || id || '@invalid' WHERE erased_at IS NOT NULL"
    )
    op.drop_column("customers", "erased_at")
    op.drop_column("customers", "former_emails")
    op.alter_column("customers", "email_key", nullable=False)
    op.alter_column("customers", "email", nullable=False)

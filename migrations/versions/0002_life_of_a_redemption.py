"""Discount kinds, holds, per-customer limits, idempotency keys and refused attempts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    extend_offers()
    extend_vouchers()
    extend_redemptions()
    op.create_table(
        "customer_redemptions",
        sa.Column("offer_id", sa.BigInteger, sa.ForeignKey("offers.id"), primary_key=True),
        sa.Column("customer_id", sa.BigInteger, sa.ForeignKey("customers.id"), primary_key=True),
        sa.Column("redemption_count", sa.BigInteger, nullable=False),
        sa.CheckConstraint("redemption_count >= 0", name="redemption_count"),
    )
    op.execute(
        "INSERT INTO customer_redemptions"
        " SELECT offer_id, redemptions.customer_id, count(*) FROM redemptions"
        " JOIN vouchers USING (code_key) WHERE reversed_at IS NULL GROUP BY 1, 2"
    )
    op.create_table(
        "refused_attempts",
        sa.Column("code_key", sa.Text, sa.ForeignKey("vouchers.code_key"), primary_key=True),
        sa.Column("id", sa.Uuid, server_default=sa.func.gen_random_uuid(), primary_key=True),
        sa.Column("customer_id", sa.BigInteger, sa.ForeignKey("customers.id")),
        sa.Column("reason", sa.Text, nullable=False),
        moment("attempted_at", nullable=False, server_default=sa.func.now()),
    )
    op.create_index("refused_attempts_attempted_at_idx", "refused_attempts", ["attempted_at"])
    op.create_table(
        "idempotency_keys",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("fingerprint", sa.LargeBinary, nullable=False),
        sa.Column("status", sa.BigInteger),
        sa.Column("body", sa.Text),
        moment("used_at", nullable=False, server_default=sa.func.now()),
        sa.CheckConstraint("key ~ '^[!-~]{1,255}$'", name="key"),
        sa.CheckConstraint("octet_length(fingerprint) = 32", name="fingerprint"),
        sa.CheckConstraint("status BETWEEN 200 AND 299", name="status"),
    )
    op.create_index("idempotency_keys_used_at_idx", "idempotency_keys", ["used_at"])


def extend_offers() -> None:
    op.add_column(
        "offers",
        sa.Column("discount_type", sa.Text, nullable=False, server_default="percentage"),
    )
    op.add_column("offers", sa.Column("currency", sa.Text))
    op.add_column(
        "offers", sa.Column("currency_decimals", sa.BigInteger, nullable=False, server_default="2")
    )
    op.add_column("offers", sa.Column("min_order_amount", sa.Numeric))
    op.add_column("offers", sa.Column("max_discount_amount", sa.Numeric))
    op.add_column("offers", moment("starts_at"))
    op.add_column("offers", moment("ends_at"))
    op.add_column("offers", sa.Column("max_redemptions_per_customer", sa.BigInteger))
    op.drop_constraint("discount_range", "offers", type_="check")
    op.drop_constraint("discount_scale", "offers", type_="check")
    for name, condition in {
        "discount_type": "discount_type IN ('percentage', 'fixed_amount')",
        "currency": "currency ~ '^[A-Z]{3}$'",
        "currency_needed": "discount_type = 'percentage' OR currency IS NOT NULL",
        "currency_decimals": "currency_decimals BETWEEN 0 AND 4",
        "discount_range": "discount > 0 AND (discount <= 100 OR discount_type = 'fixed_amount')",
        "discount_scale": "discount = round(discount, CASE discount_type"
        " WHEN 'percentage' THEN 2 ELSE currency_decimals::integer END)",
        "min_order_amount": "min_order_amount > 0",
        "max_discount_amount": "max_discount_amount > 0",
        "window": "starts_at < ends_at",
        "max_redemptions_per_customer": "max_redemptions_per_customer > 0",
    }.items():
        op.create_check_constraint(name, "offers", condition)


def extend_vouchers() -> None:
    op.add_column("vouchers", sa.Column("frozen_discount", sa.Numeric))
    op.add_column("vouchers", moment("disabled_at"))
    op.add_column("vouchers", sa.Column("holds", JSONB))
    op.create_check_constraint("frozen_discount", "vouchers", "frozen_discount > 0")
    op.create_check_constraint(
        "holds", "vouchers", "jsonb_typeof(holds) = 'object' AND holds <> '{}'"
    )
    op.create_index(
        "vouchers_holds_idx",
        "vouchers",
        ["holds"],
        postgresql_using="gin",
        postgresql_where=sa.text("holds IS NOT NULL"),
    )


def extend_redemptions() -> None:
    op.add_column("redemptions", sa.Column("order_amount", sa.Numeric))
    op.add_column("redemptions", sa.Column("discount_amount", sa.Numeric))
    op.create_check_constraint("order_amount", "redemptions", "order_amount >= 0")
    op.create_check_constraint(
        "discount_amount",
        "redemptions",
        "discount_amount >= 0 AND discount_amount <= order_amount",
    )
    op.create_index("redemptions_id_idx", "redemptions", ["id"])
    op.create_index(
        "redemptions_customer_id_redeemed_at_id_idx",
        "redemptions",
        ["customer_id", "redeemed_at", "id"],
    )
    op.create_index(
        "redemptions_order_ref_idx",
        "redemptions",
        ["order_ref"],
        postgresql_where=sa.text("order_ref IS NOT NULL"),
    )


def downgrade() -> None:
    for table in ("idempotency_keys", "refused_attempts", "customer_redemptions"):
        op.drop_table(table)
    op.drop_index("redemptions_order_ref_idx", "redemptions")
    op.drop_index("redemptions_customer_id_redeemed_at_id_idx", "redemptions")
    op.drop_index("redemptions_id_idx", "redemptions")
    for column in ("order_amount", "discount_amount"):
        op.drop_column("redemptions", column)
    op.drop_index("vouchers_holds_idx", "vouchers")
    for column in ("holds", "disabled_at", "frozen_discount"):
        op.drop_column("vouchers", column)
    shrink_offers()


def shrink_offers() -> None:
    op.drop_constraint("discount_range", "offers", type_="check")
    op.drop_constraint("discount_scale", "offers", type_="check")
    for column in (
        "max_redemptions_per_customer",
        "ends_at",
        "starts_at",
        "max_discount_amount",
        "min_order_amount",
        "currency_decimals",
        "currency",
        "discount_type",
    ):
        op.drop_column("offers", column)
    op.create_check_constraint("discount_range", "offers", "discount > 0 AND discount <= 100")
    op.create_check_constraint("discount_scale", "offers", "discount = round(discount, 2)")


def moment(name: str, **options: object) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), **options)

"""Customers, offers, vouchers, redemptions and API keys."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "customers",
        identity(),
        sa.Column("email", sa.Text, nullable=False),
        sa.Column("email_key", sa.Text, nullable=False, unique=True),
        sa.Column("name", sa.Text),
        moment("created_at", nullable=False, server_default=sa.func.now()),
        sa.CheckConstraint("email <> '' AND email_key <> ''", name="email"),
        sa.CheckConstraint("name <> ''", name="name"),
    )
    op.create_table(
        "offers",
        identity(),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("discount", sa.Numeric, nullable=False),
        moment("created_at", nullable=False, server_default=sa.func.now()),
        moment("updated_at", nullable=False, server_default=sa.func.now()),
        sa.CheckConstraint("name <> '' AND length(name) <= 200", name="name"),
        sa.CheckConstraint("discount > 0 AND discount <= 100", name="discount_range"),
        sa.CheckConstraint("discount = round(discount, 2)", name="discount_scale"),
    )
    op.create_table(
        "vouchers",
        sa.Column("code_key", sa.Text, primary_key=True),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("issue_number", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("offer_id", sa.BigInteger, sa.ForeignKey("offers.id"), nullable=False),
        sa.Column("customer_id", sa.BigInteger, sa.ForeignKey("customers.id")),
        moment("expires_at", nullable=False),
        sa.Column("max_redemptions", sa.BigInteger, nullable=False, server_default="1"),
        sa.Column("redemption_count", sa.BigInteger, nullable=False, server_default="0"),
        moment("used_at"),
        moment("created_at", nullable=False, server_default=sa.func.now()),
        sa.CheckConstraint("code_key ~ '^[0-9A-HJKMNP-Z]{4,64}$'", name="code_key"),
        sa.CheckConstraint(
            "code_key = translate(upper(translate(code, ' -', '')), 'OIL', '011')", name="code"
        ),
        sa.CheckConstraint("max_redemptions > 0", name="max_redemptions"),
        sa.CheckConstraint(
            "redemption_count >= 0 AND redemption_count <= max_redemptions",
            name="redemption_count",
        ),
        sa.CheckConstraint(
            "(used_at IS NOT NULL) = (redemption_count = max_redemptions)", name="used_at"
        ),
        sa.CheckConstraint("isfinite(expires_at)", name="expires_at"),
    )
    op.create_index(
        "vouchers_redeemable_idx",
        "vouchers",
        ["customer_id", "expires_at", "issue_number"],
        postgresql_where=sa.text("used_at IS NULL"),
    )
    op.create_table(
        "redemptions",
        sa.Column("code_key", sa.Text, sa.ForeignKey("vouchers.code_key"), primary_key=True),
        sa.Column("id", sa.Uuid, server_default=sa.func.gen_random_uuid(), primary_key=True),
        sa.Column("customer_id", sa.BigInteger, sa.ForeignKey("customers.id"), nullable=False),
        sa.Column("order_ref", sa.Text),
        sa.Column("discount", sa.Numeric, nullable=False),
        moment("redeemed_at", nullable=False, server_default=sa.func.now()),
        moment("reversed_at"),
        sa.UniqueConstraint("code_key", "order_ref"),
        sa.CheckConstraint("order_ref <> ''", name="order_ref"),
        sa.CheckConstraint("discount > 0", name="discount"),
        sa.CheckConstraint("reversed_at >= redeemed_at", name="reversed_at"),
    )
    op.create_table(
        "api_keys",
        identity(),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("digest", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("scopes", ARRAY(sa.Text), nullable=False),
        moment("created_at", nullable=False, server_default=sa.func.now()),
        moment("revoked_at"),
        sa.CheckConstraint("octet_length(digest) = 32", name="digest"),
        sa.CheckConstraint(
            "cardinality(scopes) > 0 AND scopes <@ ARRAY['issue', 'redeem', 'read', 'admin']",
            name="scopes",
        ),
    )


def downgrade() -> None:
    for table in ("api_keys", "redemptions", "vouchers", "offers", "customers"):
        op.drop_table(table)


def identity() -> sa.Column:
    return sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True)


def moment(name: str, **options: object) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), **options)

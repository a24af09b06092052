"""When API keys were last used, and a scope for those that only read metrics."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

before = ["issue", "redeem", "read", "admin"]


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("last_used_at", sa.DateTime(timezone=True)))
    allow([*before, "metrics"])


def downgrade() -> None:
    op.execute("UPDATE api_keys SET revoked_at = now() WHERE scopes = ARRAY['metrics']")
    op.execute("UPDATE api_keys SET scopes = ARRAY['read'] WHERE scopes = ARRAY['metrics']")
    op.execute("UPDATE api_keys SET scopes = array_remove(scopes, 'metrics')")
    allow(before)
    op.drop_column("api_keys", "last_used_at")


def allow(scopes: list[str]) -> None:
    names = ", ".join(f"'{scope}'" for scope in scopes)
    op.drop_constraint("api_keys_scopes_check", "api_keys")
    op.create_check_constraint(
        "scopes", "api_keys", f"cardinality(scopes) > 0 AND scopes <@ ARRAY[{names}]"
    )

"""Replays in pages, and webhooks whose deliveries are parked or deleted in pages.

The earlier release may go on serving: it queues, parks and deletes all at once.
"""

from alembic import op

revision = "0019"
down_revision = "0017"

columns = {"parks_through": "bigint", "deleted_at": "timestamptz"}


def upgrade() -> None:
    for column, type_ in columns.items():
        op.execute(f"ALTER TABLE webhooks ADD COLUMN {column} {type_}")
    op.execute("""
        CREATE TABLE replays (
            webhook_id bigint PRIMARY KEY REFERENCES webhooks ON DELETE CASCADE,
            next_number bigint NOT NULL,
            last_number bigint NOT NULL
        )""")


def downgrade() -> None:
    op.drop_table("replays")
    op.execute("""
        UPDATE deliveries SET state = 'parked', finished_at = now() FROM webhooks
        WHERE webhooks.id = webhook_id AND event_number <= parks_through AND state = 'waiting'""")
    op.execute("DELETE FROM webhooks WHERE deleted_at IS NOT NULL")
    for column in columns:
        op.drop_column("webhooks", column)

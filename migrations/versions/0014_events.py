"""Events, their webhooks and e-mails; reminders; the pool's lower mark.

The earlier release may go on serving: it records no events.
"""

from alembic import op

revision = "0014"
down_revision = "0013"

tables = {
    "events": """
        code_key text NOT NULL,
        id uuid NOT NULL DEFAULT gen_random_uuid(),
        type text NOT NULL,
        customer_id bigint,
        announced boolean NOT NULL DEFAULT false,
        data jsonb NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (code_key, id)""",
    "numbered_events": """
        number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        id uuid NOT NULL UNIQUE,
        type text NOT NULL,
        customer_id bigint,
        data jsonb NOT NULL,
        created_at timestamptz NOT NULL,
        numbered_at timestamptz NOT NULL DEFAULT now()""",
    "webhooks": """
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        url text NOT NULL,
        event_types text[] NOT NULL,
        secret bytea NOT NULL,
        previous_secret bytea,
        previous_until timestamptz,
        active_from timestamptz NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        failing_since timestamptz,
        disabled_at timestamptz,
        disabled_reason text,
        CONSTRAINT webhooks_event_types_check CHECK (cardinality(event_types) > 0),
        CONSTRAINT webhooks_previous_secret_check
            CHECK ((previous_secret IS NULL) = (previous_until IS NULL)),
        CONSTRAINT webhooks_disabled_at_check
            CHECK ((disabled_at IS NULL) = (disabled_reason IS NULL))""",
    "deliveries": """
        webhook_id bigint NOT NULL REFERENCES webhooks ON DELETE CASCADE,
        event_number bigint NOT NULL,
        state text NOT NULL DEFAULT 'waiting',
        attempts bigint NOT NULL DEFAULT '0',
        due_at timestamptz NOT NULL DEFAULT now(),
        attempted_at timestamptz,
        status bigint,
        error text,
        finished_at timestamptz,
        PRIMARY KEY (webhook_id, event_number),
        CONSTRAINT deliveries_state_check
            CHECK (state IN ('waiting', 'delivered', 'parked', 'cancelled')),
        CONSTRAINT deliveries_finished_at_check
            CHECK ((state = 'waiting') = (finished_at IS NULL)),
        CONSTRAINT deliveries_attempts_check CHECK (attempts >= 0)""",
    "messages": """
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        kind text NOT NULL,
        customer_id bigint NOT NULL REFERENCES customers,
        batch_id bigint,
        code_key text,
        state text NOT NULL DEFAULT 'waiting',
        attempts bigint NOT NULL DEFAULT '0',
        due_at timestamptz NOT NULL DEFAULT now(),
        created_at timestamptz NOT NULL DEFAULT now(),
        finished_at timestamptz,
        CONSTRAINT messages_kind_check CHECK (kind IN ('issued', 'expiring')),
        CONSTRAINT messages_state_check
            CHECK (state IN ('waiting', 'sent', 'parked', 'skipped')),
        CONSTRAINT messages_finished_at_check
            CHECK ((state = 'waiting') = (finished_at IS NULL)),
        CONSTRAINT messages_attempts_check CHECK (attempts >= 0)""",
    "reminders": """
        code_key text NOT NULL,
        days_before bigint NOT NULL,
        customer_id bigint NOT NULL REFERENCES customers,
        expires_at timestamptz NOT NULL,
        message_id uuid,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (code_key, days_before)""",
    "reminder_progress": """
        offer_id bigint NOT NULL REFERENCES offers,
        days_before bigint NOT NULL,
        expires_until timestamptz NOT NULL,
        issue_number bigint NOT NULL DEFAULT '0',
        PRIMARY KEY (offer_id, days_before)""",
    "opt_outs": """
        customer_id bigint PRIMARY KEY REFERENCES customers,
        created_at timestamptz NOT NULL DEFAULT now()""",
}

indexes = (
    "INDEX events_created_at_idx ON events (created_at)",
    "INDEX numbered_events_numbered_at_idx ON numbered_events (numbered_at)",
    "INDEX deliveries_due_idx ON deliveries (webhook_id, due_at) WHERE state = 'waiting'",
    "UNIQUE INDEX messages_batch_id_customer_id_key ON messages (batch_id, customer_id)"
    " WHERE batch_id IS NOT NULL",
    "UNIQUE INDEX messages_code_key_key ON messages (code_key) WHERE code_key IS NOT NULL",
    "UNIQUE INDEX messages_expiring_key ON messages (customer_id)"
    " WHERE kind = 'expiring' AND state = 'waiting' AND attempts = 0",
    "INDEX messages_due_idx ON messages (due_at) WHERE state = 'waiting'",
    "INDEX messages_customer_id_idx ON messages (customer_id)",
    "INDEX reminders_customer_id_idx ON reminders (customer_id) WHERE message_id IS NULL",
    "INDEX reminders_message_id_idx ON reminders (message_id)",
)

columns = {
    "batches": ("announced boolean NOT NULL DEFAULT false",),
    "customers": (
        "language text CONSTRAINT customers_language_check CHECK (language ~ '^[a-z]{2}$')",
    ),
    "offers": (
        "reminder_days bigint[] CONSTRAINT offers_reminder_days_check"
        " CHECK (cardinality(reminder_days) > 0 AND 0 < ALL(reminder_days))",
        "pool_low_at bigint CONSTRAINT offers_pool_low_at_check CHECK (pool_low_at > 0)",
        "pool_is_low boolean NOT NULL DEFAULT false",
    ),
}


def upgrade() -> None:
    for table, definition in tables.items():
        op.execute(f"CREATE TABLE {table} ({definition})")
    for index in indexes:
        op.execute(f"CREATE {index}")
    for table, added in columns.items():
        for column in added:
            op.execute(f"ALTER TABLE {table} ADD COLUMN {column}")


def downgrade() -> None:
    for table, added in columns.items():
        for column in added:
            op.drop_column(table, column.split()[0])
    for table in reversed(tables):
        op.drop_table(table)

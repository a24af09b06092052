"""Schedules and their runs."""

from alembic import op

revision = "0015"
down_revision = "0014"

tables = {
    "schedules": """
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name text NOT NULL UNIQUE,
        offer_id bigint NOT NULL REFERENCES offers,
        cron text NOT NULL,
        timezone text NOT NULL,
        audience text NOT NULL,
        customer_ids bigint[] NOT NULL DEFAULT '{}',
        count bigint NOT NULL,
        valid_for interval NOT NULL,
        discount numeric,
        notify boolean NOT NULL,
        paused boolean NOT NULL,
        catch_up interval NOT NULL,
        next_at timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT schedules_name_check CHECK (name <> ''),
        CONSTRAINT schedules_audience_check
            CHECK (audience IN ('pool', 'all_customers', 'customers')),
        CONSTRAINT schedules_count_check CHECK (count > 0),
        CONSTRAINT schedules_valid_for_check CHECK (valid_for > interval '0'),
        CONSTRAINT schedules_catch_up_check CHECK (catch_up >= interval '0'),
        CONSTRAINT schedules_discount_check CHECK (discount > 0)""",
    "schedule_runs": """
        schedule_id bigint NOT NULL REFERENCES schedules ON DELETE CASCADE,
        occurrence timestamptz NOT NULL,
        state text NOT NULL,
        batch_id bigint REFERENCES batches,
        error text,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (schedule_id, occurrence),
        CONSTRAINT schedule_runs_state_check CHECK (state IN ('done', 'skipped', 'failed')),
        CONSTRAINT schedule_runs_batch_id_check
            CHECK ((state = 'done') = (batch_id IS NOT NULL))""",
}


def upgrade() -> None:
    for table, definition in tables.items():
        op.execute(f"CREATE TABLE {table} ({definition})")
    op.execute("CREATE INDEX schedules_next_at_idx ON schedules (next_at) WHERE NOT paused")


def downgrade() -> None:
    for table in reversed(tables):
        op.drop_table(table)

"""What counts as an open hold, in functions that a statement without a hold need not plan."""

from alembic import op

revision = "0009"
down_revision = "0008"

holds_of_others = """
    FROM jsonb_each(holds) AS hold(id, terms)
    JOIN customers AS holder ON holder.id = (terms->>'customer')::bigint
    WHERE holder.erased_at IS NULL
    AND (terms->>'until')::timestamptz > now()
    AND holder.id <> customer_id"""

# Without BEGIN ATOMIC, whose dependencies would stop later changes of the customers' table.
functions = f"""
    CREATE FUNCTION other_holds(holds jsonb, customer_id bigint) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT jsonb_object_agg(hold.id, terms) {holds_of_others} $$;
    CREATE FUNCTION other_holds_count(holds jsonb, customer_id bigint) RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT count(*) {holds_of_others} $$;
"""


def upgrade() -> None:
    op.execute(functions)


def downgrade() -> None:
    op.execute("DROP FUNCTION other_holds(jsonb, bigint), other_holds_count(jsonb, bigint)")

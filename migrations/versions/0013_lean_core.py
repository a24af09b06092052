"""Redemptions write the voucher and the ledger alone; the archive keeps totals; domains.

The service and its workers must be stopped for it. It fills the rows that 0012 left empty.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

domains = {
    "positive_count": ("bigint", "VALUE > 0"),
    "positive_amount": ("numeric", "VALUE > 0"),
    "finite_moment": ("timestamp with time zone", "isfinite(VALUE)"),
    "reference": ("text", "VALUE <> ''"),
    "spelled_code": ("text", "VALUE ~ '^[ -]*([0-9A-Za-z][ -]*){4,64}$'"),
    "holds": ("jsonb", "jsonb_typeof(VALUE) = 'object' AND VALUE <> '{}'"),
}
of_columns = {
    "vouchers": {
        "code": "spelled_code",
        "expires_at": "finite_moment",
        "max_redemptions": "positive_count",
        "frozen_discount": "positive_amount",
        "holds": "holds",
    },
    "redemptions": {"order_ref": "reference", "discount": "positive_amount"},
}
# Of the same types, so that PostgreSQL reads both as one.
of_columns |= {f"archived_{table}": columns for table, columns in of_columns.items()}
checks_before = {
    "vouchers": {
        "code_key": "code_key ~ '^[0-9A-HJKMNP-Z]{4,64}$'",
        "max_redemptions": "max_redemptions > 0",
        "redemption_count": "redemption_count >= 0 AND redemption_count <= max_redemptions",
        "used_at": "(used_at IS NOT NULL) = (redemption_count = max_redemptions)",
        "claimed_at": "claimed_at IS NULL OR customer_id IS NOT NULL",
        "expires_at": "isfinite(expires_at)",
        "frozen_discount": "frozen_discount > 0",
        "holds": "jsonb_typeof(holds) = 'object' AND holds <> '{}'",
    },
    "redemptions": {
        "order_ref": "order_ref <> ''",
        "discount": "discount > 0",
        "order_amount": "order_amount >= 0",
        "discount_amount": "discount_amount >= 0 AND discount_amount <= order_amount",
    },
}
checks = {
    "vouchers": {
        "uses": "redemption_count BETWEEN 0 AND max_redemptions"
        " AND (used_at IS NOT NULL) = (redemption_count = max_redemptions)"
        " AND (claimed_at IS NULL OR customer_id IS NOT NULL)",
    },
    "redemptions": {
        "amounts": "order_amount >= 0 AND discount_amount >= 0 AND discount_amount <= order_amount",
    },
}

misses = ("misses", "miss_count", "miss_limit")
failed_attempts = ("failed_attempts", "failed_count", "attempt_limit")
copy_rows = "INSERT INTO {table} SELECT * FROM {before}"

filled = ("offer_id", "discount_type")
fill_the_rest = """
    UPDATE {archive}redemptions AS ledger SET offer_id = offers.id,
        discount_type = offers.discount_type, currency = offers.currency
    FROM {archive}vouchers AS voucher JOIN offers ON offers.id = voucher.offer_id
    WHERE ledger.code_key = voucher.code_key AND ledger.offer_id IS NULL"""

convert_holds = """
    UPDATE vouchers SET holds = (
        SELECT jsonb_object_agg(hold.id, terms || jsonb_build_object(
            'until', extract(epoch FROM (terms->>'until')::timestamptz)))
        FROM jsonb_each(holds) AS hold(id, terms)
        JOIN customers ON customers.id = (terms->>'customer')::bigint
        WHERE (terms->>'until')::timestamptz > now() AND customers.erased_at IS NULL
    ) WHERE holds IS NOT NULL"""

totals_of_archive = """
    INSERT INTO archived_totals
    SELECT offer_id, (moment AT TIME ZONE 'UTC')::date, currency, sum(redeemed), sum(discounted),
        sum(reversed), sum(given_back), sum(used_up), sum(expired)
    FROM (
        SELECT offer_id, redeemed_at, coalesce(currency, ''), 1, coalesce(discount_amount, 0),
            0, 0, 0, 0 FROM archived_redemptions
        UNION ALL SELECT offer_id, reversed_at, coalesce(currency, ''), 0, 0,
            1, coalesce(discount_amount, 0), 0, 0
        FROM archived_redemptions WHERE reversed_at IS NOT NULL
        UNION ALL SELECT offer_id, coalesce(used_at, expires_at), '', 0, 0, 0, 0,
            (used_at IS NOT NULL)::int, (used_at IS NULL)::int FROM archived_vouchers
        UNION ALL SELECT offer_id, day::timestamp AT TIME ZONE 'UTC', '', redeemed, 0,
            reversed, 0, used_up, expired FROM purged_vouchers
    ) AS event (offer_id, moment, currency, redeemed, discounted, reversed, given_back, used_up,
        expired)
    GROUP BY 1, 2, 3"""

totals_of_customers = """
    INSERT INTO customer_totals
    SELECT customer_id, offer_id, sum(uses) FROM (
        SELECT customer_id, offer_id, 1 FROM archived_redemptions WHERE reversed_at IS NULL
        UNION ALL SELECT customer_id, offer_id, redemption_count FROM purged_redemptions
    ) AS live (customer_id, offer_id, uses)
    GROUP BY 1, 2"""


def upgrade() -> None:
    op.execute("SET LOCAL statement_timeout = 0")
    for archive in ("", "archived_"):
        op.execute(fill_the_rest.format(archive=archive))
        alter(f"{archive}redemptions", dict.fromkeys(filled, "SET NOT NULL"))
    make_totals()
    make_counts()
    for table in (
        *("customer_redemptions", "erased_redemptions"),
        *("purged_vouchers", "purged_redemptions", "offer_figures"),
    ):
        op.drop_table(table)
    op.execute(convert_holds)
    op.execute("UPDATE archived_vouchers SET holds = NULL WHERE holds IS NOT NULL")
    op.execute("DROP FUNCTION other_holds(jsonb, bigint), other_holds_count(jsonb, bigint)")
    use_domains()
    rename_attempts(misses, failed_attempts)


def make_totals() -> None:
    numbers = ("redeemed", "discounted", "reversed", "given_back", "used_up", "expired")
    amounts = ("discounted", "given_back")
    op.create_table(
        "archived_totals",
        sa.Column("offer_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("currency", sa.Text, primary_key=True),
        *(
            sa.Column(name, sa.Numeric if name in amounts else sa.BigInteger, nullable=False)
            for name in numbers
        ),
    )
    op.create_table(
        "customer_totals",
        sa.Column("customer_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("offer_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("redemption_count", sa.BigInteger, nullable=False),
    )
    op.execute(totals_of_archive)
    op.execute(totals_of_customers)


def make_counts() -> None:
    op.create_table(
        "offer_counts",
        *key_of_counts(),
        *(counter(name) for name in ("issued", "claimed")),
        sa.CheckConstraint("issued >= 0 AND claimed >= 0", name="counts"),
    )
    op.execute(
        "INSERT INTO offer_counts SELECT offer_id, day, slot, issued, claimed FROM offer_figures"
        " WHERE issued > 0 OR claimed > 0"
    )


def key_of_counts() -> tuple[sa.Column, ...]:
    return (
        sa.Column("offer_id", sa.BigInteger, sa.ForeignKey("offers.id"), primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("slot", sa.BigInteger, primary_key=True, autoincrement=False),
    )


def counter(name: str) -> sa.Column:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default="0")


def use_domains() -> None:
    """Let domains hold the rules of single columns; the rows are not rewritten, nor read again."""
    for table, names in checks_before.items():
        for name in names:
            op.drop_constraint(f"{table}_{name}_check", table)
    for name, (base, _) in domains.items():
        op.execute(f"CREATE DOMAIN {name} AS {base}")
    for table, columns in of_columns.items():
        alter(table, {column: f"TYPE {domain}" for column, domain in columns.items()})
    for name, (_, rule) in domains.items():
        op.execute(f"ALTER DOMAIN {name} ADD CONSTRAINT {name}_check CHECK ({rule}) NOT VALID")
    for table, rules in checks.items():
        for name, rule in rules.items():
            op.create_check_constraint(name, table, rule)


def rename_attempts(before: tuple[str, str, str], after: tuple[str, str, str]) -> None:
    """Copy the table, because its constraints are named after it and its columns."""
    table, count, limit = after
    op.create_table(
        table,
        sa.Column("subject", sa.LargeBinary, primary_key=True),
        sa.Column(count, sa.BigInteger, nullable=False),
        sa.Column(limit, sa.BigInteger, nullable=False),
        sa.Column(
            "since", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()
        ),
        sa.CheckConstraint("octet_length(subject) = 32", name="subject"),
        sa.CheckConstraint(f"{count} > 0", name=count),
    )
    op.execute(copy_rows.format(table=table, before=before[0]))
    op.drop_table(before[0])


def alter(table: str, columns: dict[str, str]) -> None:
    """Change the columns in one pass over the table."""
    changes = ", ".join(f"ALTER COLUMN {column} {change}" for column, change in columns.items())
    op.execute(f"ALTER TABLE {table} {changes}")


def downgrade() -> None:
    """Count again what is derived from the rows and the totals.

    Only the sums of discounts of purged redemptions are lost.
    """
    op.execute("SET LOCAL statement_timeout = 0")
    rename_attempts(failed_attempts, misses)
    drop_domains()
    op.execute(functions_before)
    op.execute(convert_holds_back)
    make_tables_again()
    for statement in (
        *(purged_vouchers_again, purged_redemptions_again),
        *(customers_again, figures_again, claims_of_purged_again),
    ):
        op.execute(statement)
    for table in ("offer_counts", "archived_totals", "customer_totals"):
        op.drop_table(table)
    for archive in ("", "archived_"):
        alter(f"{archive}redemptions", dict.fromkeys(filled, "DROP NOT NULL"))


def drop_domains() -> None:
    for table, rules in checks.items():
        for name in rules:
            op.drop_constraint(f"{table}_{name}_check", table)
    for table, columns in of_columns.items():
        alter(table, {column: f"TYPE {domains[domain][0]}" for column, domain in columns.items()})
    for name in domains:
        op.execute(f"DROP DOMAIN {name}")
    for table, rules in checks_before.items():
        for name, rule in rules.items():
            op.create_check_constraint(name, table, rule)


def make_tables_again() -> None:
    numbers = ("issued", "claimed", "redeemed", "reversed", "used_up", "expired")
    op.create_table(
        "purged_vouchers",
        sa.Column("offer_id", sa.BigInteger, primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in numbers),
    )
    op.create_table(
        "purged_redemptions",
        sa.Column("offer_id", sa.BigInteger, primary_key=True),
        sa.Column("customer_id", sa.BigInteger, primary_key=True),
        sa.Column("redemption_count", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "erased_redemptions",
        sa.Column("person", sa.LargeBinary, primary_key=True),
        sa.Column("offer_id", sa.BigInteger, sa.ForeignKey("offers.id"), primary_key=True),
        sa.Column("redemption_count", sa.BigInteger, nullable=False),
        sa.CheckConstraint("octet_length(person) = 32", name="person"),
        sa.CheckConstraint("redemption_count > 0", name="redemption_count"),
    )
    op.create_table(
        "customer_redemptions",
        sa.Column("offer_id", sa.BigInteger, sa.ForeignKey("offers.id"), primary_key=True),
        sa.Column("customer_id", sa.BigInteger, sa.ForeignKey("customers.id"), primary_key=True),
        sa.Column("redemption_count", sa.BigInteger, nullable=False),
        counter("carried"),
        sa.CheckConstraint("redemption_count >= 0", name="redemption_count"),
        sa.CheckConstraint("carried >= 0", name="carried"),
    )
    names = ("issued", "claimed", "redeemed", "reversed", "used_up", "expired_archived")
    op.create_table(
        "offer_figures",
        *key_of_counts(),
        *(counter(name) for name in names),
        sa.CheckConstraint(
            "issued >= 0 AND claimed >= 0 AND redeemed >= 0 AND reversed >= 0"
            " AND expired_archived >= 0",
            name="counts",
        ),
    )


holds_of_others = """
    FROM jsonb_each(holds) AS hold(id, terms)
    JOIN customers AS holder ON holder.id = (terms->>'customer')::bigint
    WHERE holder.erased_at IS NULL
    AND (terms->>'until')::timestamptz > now()
    AND holder.id <> customer_id"""

functions_before = f"""
    CREATE OR REPLACE FUNCTION other_holds(holds jsonb, customer_id bigint) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT jsonb_object_agg(hold.id, terms) {holds_of_others} $$;
    CREATE OR REPLACE FUNCTION other_holds_count(holds jsonb, customer_id bigint) RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT count(*) {holds_of_others} $$;
"""

convert_holds_back = """
    UPDATE vouchers SET holds = (
        SELECT jsonb_object_agg(id, terms || jsonb_build_object(
            'until', to_timestamp((terms->>'until')::numeric)))
        FROM jsonb_each(holds) AS hold(id, terms)
    ) WHERE holds IS NOT NULL"""

# A purged voucher is in the counts and the totals but in no table.
purged_vouchers_again = """
    INSERT INTO purged_vouchers
    SELECT offer_id, (moment AT TIME ZONE 'UTC')::date, sum(issued), sum(claimed), sum(redeemed),
        sum(reversed), sum(used_up), sum(expired)
    FROM (
        SELECT offer_id, day::timestamp AT TIME ZONE 'UTC', issued, claimed, 0, 0, 0, 0
        FROM offer_counts
        UNION ALL SELECT offer_id, day::timestamp AT TIME ZONE 'UTC', 0, 0, redeemed, reversed,
            used_up, expired FROM archived_totals
        UNION ALL SELECT offer_id, created_at, -1, 0, 0, 0, 0, 0 FROM vouchers
        UNION ALL SELECT offer_id, claimed_at, 0, -1, 0, 0, 0, 0 FROM vouchers
        UNION ALL SELECT offer_id, created_at, -1, 0, 0, 0, 0, 0 FROM archived_vouchers
        UNION ALL SELECT offer_id, claimed_at, 0, -1, 0, 0, 0, 0 FROM archived_vouchers
        UNION ALL SELECT offer_id, coalesce(used_at, expires_at), 0, 0, 0, 0,
            -(used_at IS NOT NULL)::int, -(used_at IS NULL)::int FROM archived_vouchers
        UNION ALL SELECT offer_id, redeemed_at, 0, 0, -1, 0, 0, 0 FROM archived_redemptions
        UNION ALL SELECT offer_id, reversed_at, 0, 0, 0, -1, 0, 0 FROM archived_redemptions
    ) AS event (offer_id, moment, issued, claimed, redeemed, reversed, used_up, expired)
    WHERE moment IS NOT NULL
    GROUP BY 1, 2
    HAVING greatest(sum(issued), sum(claimed), sum(redeemed), sum(reversed), sum(used_up),
        sum(expired)) > 0"""

purged_redemptions_again = """
    INSERT INTO purged_redemptions
    SELECT offer_id, customer_id, redemption_count - coalesce(there, 0) FROM customer_totals
    LEFT JOIN (
        SELECT offer_id, customer_id, count(*) FROM archived_redemptions
        WHERE reversed_at IS NULL GROUP BY 1, 2
    ) AS archived (offer_id, customer_id, there) USING (offer_id, customer_id)
    WHERE redemption_count > coalesce(there, 0)"""

claims_of_purged_again = """
    UPDATE claims SET code_key = NULL WHERE NOT EXISTS (
        SELECT FROM vouchers
        WHERE (code_key, claimed_at) = (claims.code_key, claims.claimed_at)
        UNION ALL SELECT FROM archived_vouchers
        WHERE (code_key, claimed_at) = (claims.code_key, claims.claimed_at)
    )"""

customers_again = """
    INSERT INTO customer_redemptions (offer_id, customer_id, redemption_count)
    SELECT offer_id, customer_id, sum(uses) FROM (
        SELECT offer_id, customer_id, 1 FROM redemptions WHERE reversed_at IS NULL
        UNION ALL SELECT offer_id, customer_id, 1 FROM archived_redemptions
        WHERE reversed_at IS NULL
        UNION ALL SELECT offer_id, customer_id, redemption_count FROM purged_redemptions
    ) AS live (offer_id, customer_id, uses)
    GROUP BY 1, 2"""

figures_again = """
    WITH voucher AS (
        SELECT offer_id, created_at, claimed_at, used_at, false AS is_archived FROM vouchers
        UNION ALL SELECT offer_id, created_at, claimed_at, used_at, true FROM archived_vouchers
    ), ledger AS (
        SELECT offer_id, redeemed_at, reversed_at FROM redemptions
        UNION ALL SELECT offer_id, redeemed_at, reversed_at FROM archived_redemptions
    )
    INSERT INTO offer_figures (offer_id, day, slot, issued, claimed, redeemed, reversed, used_up,
        expired_archived)
    SELECT offer_id, (moment AT TIME ZONE 'UTC')::date, 0, sum(issued), sum(claimed), sum(redeemed),
        sum(reversed), sum(used_up), sum(expired)
    FROM (
        SELECT offer_id, created_at, 1, 0, 0, 0, 0, (is_archived AND used_at IS NULL)::int
        FROM voucher
        UNION ALL SELECT offer_id, claimed_at, 0, 1, 0, 0, 0, 0 FROM voucher
        UNION ALL SELECT offer_id, used_at, 0, 0, 0, 0, 1, 0 FROM voucher
        UNION ALL SELECT offer_id, redeemed_at, 0, 0, 1, 0, 0, 0 FROM ledger
        UNION ALL SELECT offer_id, reversed_at, 0, 0, 0, 1, 0, 0 FROM ledger
        UNION ALL SELECT offer_id, day::timestamp AT TIME ZONE 'UTC', issued, claimed, redeemed,
            reversed, used_up, expired FROM purged_vouchers
    ) AS event (offer_id, moment, issued, claimed, redeemed, reversed, used_up, expired)
    WHERE moment IS NOT NULL
    GROUP BY 1, 2"""

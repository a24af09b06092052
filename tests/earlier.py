"""A database as the release before the lean core left it, at one of the revisions 0008 to 0011."""

import flask_migrate
from sqlalchemy import text

from voucherpool.database.model import db

many = 7000
"""Redemptions of one code: more than a batch of revision 0012 takes."""

people_and_offers = """
    INSERT INTO customers (email, email_key)
    SELECT email, email FROM (SELECT 'c' || n || '@example.org' AS email
        FROM generate_series(1, 6) AS n) AS new;
    UPDATE customers SET email = NULL, email_key = NULL, erased_at = now() WHERE id = 6;
    INSERT INTO offers (name, discount, discount_type, currency, max_redemptions_per_customer)
    VALUES ('KOI', 10, 'percentage', NULL, 3), ('Euro', 5, 'fixed_amount', 'EUR', NULL);
    INSERT INTO erased_redemptions VALUES (sha256('c6'), 1, 2);"""

# 1 to 200 of each: used once by an order, or not at all; the last ones are past their expiry.
vouchers = """
    INSERT INTO vouchers (code_key, code, offer_id, customer_id, expires_at, created_at,
        redemption_count, used_at)
    SELECT code, code, 1 + n % 2, 1 + n % 6, now() + (150 - n) * interval '1 day',
        now() - interval '200 days', n % 2, CASE WHEN n % 2 = 1 THEN now() - interval '9 days' END
    FROM generate_series(1, 200) AS n, to_char(n, 'FM00000') AS code;
    INSERT INTO redemptions (code_key, customer_id, order_ref, discount, order_amount,
        discount_amount, redeemed_at)
    SELECT code_key, customer_id, 'o' || issue_number % 60, 5, 50, 5, used_at FROM vouchers
    WHERE used_at IS NOT NULL;
    INSERT INTO redemptions (code_key, customer_id, order_ref, discount, order_amount,
        discount_amount, redeemed_at, reversed_at)
    SELECT code_key, customer_id, 'back' || code_key, 5, 50, 5, now() - interval '8 days', now()
    FROM vouchers WHERE used_at IS NULL AND issue_number % 10 = 0;"""

used_often = f"""
    INSERT INTO vouchers (code_key, code, offer_id, expires_at, max_redemptions, redemption_count)
    VALUES ('MANY', 'm-a-n-y', 2, now() + interval '9 days', 10000, {many} - 100);
    INSERT INTO redemptions (code_key, customer_id, discount, redeemed_at, reversed_at)
    SELECT 'MANY', 1 + n % 5, 5, now() - n * interval '1 hour', CASE WHEN n <= 100 THEN now() END
    FROM generate_series(1, {many}) AS n;"""

holds = """
    INSERT INTO vouchers (code_key, code, offer_id, expires_at, max_redemptions, holds)
    SELECT code, code, 2, now() + interval '9 days', 3, jsonb_object_agg(gen_random_uuid()::text,
        jsonb_build_object('customer', customer, 'until', now() + minutes * interval '1 minute'))
    FROM (VALUES ('HE1D0PEN', 1, 30), ('HE1D0PEN', 2, -30), ('HE1D0PEN', 6, 30),
        ('HE1D0VER', 1, -1), ('HE1DERASED', 6, 30)) AS hold (code, customer, minutes)
    GROUP BY code;"""

claims = """
    INSERT INTO vouchers (code_key, code, offer_id, customer_id, expires_at, claimed_at)
    VALUES ('C1A1MED', 'CLAIMED', 1, 1, now() + interval '9 days', now() - interval '2 days');
    INSERT INTO claims (offer_id, claim_ref, customer_id, code_key, claimed_at)
    VALUES (1, 'hot', 1, 'C1A1MED', now() - interval '2 days'),
        (1, 'archived', 2, 'AC00002', '2026-01-03'), (1, 'purged', 3, NULL, '2025-01-03');"""

archive = """
    CREATE TABLE archived_{table}_2026_{month} PARTITION OF archived_{table}
    FOR VALUES FROM ('2026-{month}-01Z') TO ('2026-{next}-01Z');"""

# Every third was never used; one had a hold.
archived = """
    INSERT INTO archived_vouchers (code_key, code, issue_number, offer_id, customer_id, expires_at,
        max_redemptions, redemption_count, used_at, holds, created_at, claimed_at, archived_at)
    SELECT 'AC' || code, 'AC' || code, 1000 + n, 1 + n % 2, 2, '2026-02-03 23:30Z', 2,
        CASE WHEN n % 3 > 0 THEN 2 ELSE 0 END, CASE WHEN n % 3 > 0 THEN '2026-01-20'::date END,
        CASE WHEN n = 5 THEN '{{"h": {{"customer": 2, "until": "2026-01-03T10:00:00+00:00"}}}}'
            ::jsonb END,
        '2026-01-02', CASE WHEN n = 2 THEN '2026-01-03'::date END,
        CASE WHEN n > 40 THEN '2026-06-01Z' ELSE '2026-05-31 23:59Z' END::timestamptz
    FROM generate_series(1, 80) AS n, to_char(n, 'FM00000') AS code;
    INSERT INTO archived_redemptions (code_key, id, customer_id, order_ref, discount, order_amount,
        discount_amount, redeemed_at, reversed_at, archived_at)
    SELECT code_key, gen_random_uuid(), 2, 'a' || issue_number || n, 5, 40, 5, '2026-01-20',
        CASE WHEN n = 3 THEN '2026-01-21'::date END, archived_at
    FROM archived_vouchers, generate_series(1, 3) AS n WHERE used_at IS NOT NULL;"""

purged = """
    INSERT INTO purged_vouchers VALUES (1, '2025-01-02', 20, 1, 0, 0, 12, 8),
        (1, '2025-01-20', 0, 0, 14, 2, 0, 0), (2, '2026-01-02', 5, 0, 5, 0, 5, 0);
    INSERT INTO purged_redemptions VALUES (1, 3, 12), (2, 6, 5);"""

# Counted as it counted, on the way of each write.
counts = """
    INSERT INTO customer_redemptions (offer_id, customer_id, redemption_count, carried)
    SELECT offer_id, customer_id, sum(uses), CASE customer_id WHEN 4 THEN 2 ELSE 0 END FROM (
        SELECT offer_id, ledger.customer_id, 1 FROM redemptions AS ledger
        JOIN vouchers USING (code_key) WHERE reversed_at IS NULL
        UNION ALL SELECT offer_id, ledger.customer_id, 1 FROM archived_redemptions AS ledger
        JOIN archived_vouchers USING (code_key) WHERE reversed_at IS NULL
        UNION ALL SELECT offer_id, customer_id, redemption_count FROM purged_redemptions
    ) AS live (offer_id, customer_id, uses) GROUP BY 1, 2;
    WITH voucher AS (
        SELECT code_key, offer_id, created_at, claimed_at, used_at, 0 AS old FROM vouchers
        UNION ALL SELECT code_key, offer_id, created_at, claimed_at, used_at, 1
        FROM archived_vouchers
    ), ledger AS (
        SELECT code_key, redeemed_at, reversed_at FROM redemptions
        UNION ALL SELECT code_key, redeemed_at, reversed_at FROM archived_redemptions
    )
    INSERT INTO offer_figures (offer_id, day, slot, issued, claimed, redeemed, reversed, used_up,
        expired_archived)
    SELECT offer_id, (moment AT TIME ZONE 'UTC')::date, 7, sum(issued), sum(claimed), sum(redeemed),
        sum(reversed), sum(used_up), sum(expired)
    FROM (
        SELECT offer_id, created_at, 1, 0, 0, 0, 0, CASE WHEN used_at IS NULL THEN old ELSE 0 END
        FROM voucher
        UNION ALL SELECT offer_id, claimed_at, 0, 1, 0, 0, 0, 0 FROM voucher
        UNION ALL SELECT offer_id, used_at, 0, 0, 0, 0, 1, 0 FROM voucher
        UNION ALL SELECT offer_id, redeemed_at, 0, 0, 1, 0, 0, 0
        FROM ledger JOIN voucher USING (code_key)
        UNION ALL SELECT offer_id, reversed_at, 0, 0, 0, 1, 0, 0
        FROM ledger JOIN voucher USING (code_key)
        UNION ALL SELECT offer_id, day::timestamp AT TIME ZONE 'UTC', issued, claimed, redeemed,
            reversed, used_up, expired FROM purged_vouchers
    ) AS event (offer_id, moment, issued, claimed, redeemed, reversed, used_up, expired)
    WHERE moment IS NOT NULL GROUP BY 1, 2;"""


def build(revision):
    """Take the current database back to the revision and fill it."""
    flask_migrate.downgrade(revision=revision)
    partitions = [
        archive.format(table=table, month=month, next=following)
        for table in ("vouchers", "redemptions")
        for month, following in (("05", "06"), ("06", "07"))
    ]
    statements = (people_and_offers, vouchers, used_often, holds, claims, *partitions)
    with db.engine.begin() as connection:
        for statement in (*statements, archived.format(), purged, counts):
            connection.execute(text(statement))


def run(statement, **values):
    """Run a statement and return its rows."""
    with db.engine.begin() as connection:
        result = connection.execute(text(statement), values)
        return result.all() if result.returns_rows else None


figures = """
    SELECT day::text, sum(issued), sum(claimed), sum(redeemed), sum(reversed)
    FROM offer_figures WHERE offer_id = :offer_id GROUP BY 1
    HAVING sum(issued + claimed + redeemed + reversed) > 0 ORDER BY 1 DESC"""
used_up_and_expired = """
    SELECT sum(used_up), sum(expired_archived) + (
        SELECT count(*) FROM vouchers
        WHERE offer_id = :offer_id AND used_at IS NULL AND expires_at <= now()
    ) FROM offer_figures WHERE offer_id = :offer_id"""
names = ("issued", "claimed", "redeemed", "reversed")


def statistics(offer_id):
    """Return what the figures say of an offer, as the route answers it."""
    days = run(figures, offer_id=offer_id)
    [(used_up, expired)] = run(used_up_and_expired, offer_id=offer_id)
    totals = dict(zip(names, map(sum, list(zip(*days, strict=True))[1:]), strict=True))
    shown = [dict(zip(("day", *names), row, strict=True)) for row in days]
    left = totals["issued"] - used_up - expired
    return {**totals, "expired": expired, "open": left, "days": shown}


def limits():
    """Return how often each customer has redeemed each offer, but for what it carried along."""
    return run(
        "SELECT offer_id, customer_id, redemption_count FROM customer_redemptions"
        " WHERE redemption_count > 0 ORDER BY 1, 2"
    )


def open_holds():
    """Return the holds that neither their time nor their customer's erasure has ended."""
    return run(
        "SELECT code_key, hold.id, customers.id,"
        " extract(epoch FROM (terms->>'until')::timestamptz)"
        " FROM vouchers, jsonb_each(holds) AS hold(id, terms)"
        " JOIN customers ON customers.id = (terms->>'customer')::bigint"
        " WHERE erased_at IS NULL AND (terms->>'until')::timestamptz > now() ORDER BY 1, 2"
    )

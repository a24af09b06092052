"""How PostgreSQL runs the searches: each reads its vouchers by an index."""

import re

import pytest
from sqlalchemy import text

from tests.builders import in_days
from voucherpool.support import search

pytestmark = pytest.mark.one_machine("reads the plans of one PostgreSQL")

fill = """
    INSERT INTO customers (email, email_key)
    SELECT email, email FROM (SELECT 'c' || n || '@example.org' AS email
        FROM generate_series(1, 3000) AS n) AS new;
    INSERT INTO offers (name, discount) SELECT 'offer ' || n, 10 FROM generate_series(1, 200) AS n;
    INSERT INTO vouchers (code_key, code, offer_id, customer_id, expires_at, batch_id, is_chosen,
        redemption_count, used_at)
    SELECT code, code, 1 + n % 200, CASE WHEN n % 2 = 0 THEN 1 + n % 3000 END,
        now() + n % 1000 * interval '1 hour', 1 + n % 200, CASE WHEN n % 100 = 0 THEN true END,
        (n % 10 = 0)::int, CASE WHEN n % 10 = 0 THEN now() END
    FROM generate_series(1, {count}) AS n, to_char(n, 'FM00000000') AS code;
    INSERT INTO redemptions (code_key, customer_id, offer_id, discount, discount_type, order_ref,
        redeemed_at, order_amount, discount_amount, currency)
    SELECT code_key, coalesce(customer_id, 1), offer_id, 10, 'percentage', 'o' || code_key,
        now() - issue_number * interval '1 minute', 10, 1, 'EUR'
    FROM vouchers WHERE used_at IS NOT NULL"""

soon = {"expires_from": in_days(1), "expires_to": in_days(2)}
searches = [
    {},
    {"customer_id": 7},
    {"customer_id": 7, "state": "voucher_already_redeemed"},
    {"offer_id": 3},
    {"offer_id": 3, **soon},
    {"offer_id": 3, "state": "voucher_already_redeemed"},
    {"batch_id": 3},
    {"batch_id": 3, "state": "redeemable"},
    {"code_part": "0012"},
    {"state": "redeemable"},
    {"state": "voucher_expired"},
    soon,
]


@pytest.mark.parametrize(
    "count", [20_000, pytest.param(1_000_000, marks=pytest.mark.fault)], ids=str
)
def test_each_search_reads_its_vouchers_by_an_index(app, explain, sql, count):
    sql(fill.format(count=count))
    sql("ANALYZE")
    for criteria in searches:
        for descending in (False, True):
            for place in ({}, {"expiry": in_days(10), "issue_number": 7}):
                given = criteria | {"descending": descending}
                with app.app_context():
                    statement = text(search.query(given, is_first=not place))
                plan = explain(statement, **criteria, **place, count=101)
                scanned = re.findall(r"Seq Scan on (\S+)", plan)
                large = {"vouchers", "redemptions"} & set(scanned)
                assert not large, f"{given} {place}\n{plan}"

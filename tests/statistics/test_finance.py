"""Finance's month: the file of redemptions and the statistics say the same."""

import csv
import io
from collections import defaultdict
from dataclasses import replace
from decimal import Decimal

import pytest

from tests.conftest import config
from tests.shop import open_shop
from voucherpool import create_app
from voucherpool.database.model import db

october = {"from": "2025-10-01", "to": "2025-10-31"}  # 744 hours and one more, in Berlin

offers = """
    INSERT INTO offers (name, discount) SELECT 'offer ' || n, 10 FROM generate_series(1, 7) AS n"""
customers = """
    INSERT INTO customers (email, email_key)
    SELECT email, email FROM (SELECT 'c' || n || '@example.org' AS email
        FROM generate_series(1, 50) AS n) AS new"""
vouchers = """
    INSERT INTO vouchers (code_key, code, offer_id, expires_at, redemption_count, used_at)
    SELECT code, code, 1 + n % 7, 'infinity', (n % 5 > 0)::int, CASE WHEN n % 5 > 0 THEN now() END
    FROM generate_series(1, :count) AS n, to_char(n, 'FM00000000') AS code"""
# From 29 September to 2 November, the hours around each midnight of Berlin more often. Every
# fifth is given back some days later, and every eleventh order has no amount.
redemptions = """
    INSERT INTO redemptions (code_key, customer_id, offer_id, discount, discount_type, order_ref,
        redeemed_at, reversed_at, order_amount, discount_amount, currency)
    SELECT code_key, 1 + n % 50, offer_id, 10, 'percentage', 'o' || code_key, redeemed_at,
        CASE WHEN redemption_count = 0 THEN redeemed_at + n % 20 * interval '11 hours' END,
        CASE WHEN n % 11 > 0 THEN 20 + n % 9973 / 100.0 END,
        CASE WHEN n % 11 > 0 THEN round((20 + n % 9973 / 100.0) / 10, 2) END,
        CASE WHEN n % 11 > 0 THEN CASE WHEN n % 3 = 0 THEN 'SEK' ELSE 'EUR' END END
    FROM (
        SELECT *, code::int AS n, '2025-09-29 20:00Z'::timestamptz
            + code::int % 35 * interval '1 day' + code::int % 311 * interval '1 minute'
            + code::int % 4 / 3 * code::int % 997 * interval '1 minute' AS redeemed_at
        FROM vouchers
    ) AS voucher"""


@pytest.fixture
def berlin(database_url, key):
    """Return a client of a shop in Berlin."""
    app = create_app(replace(config(database_url), timezone="Europe/Berlin"))
    yield open_shop(app, key)
    with app.app_context():
        db.engine.dispose()


def of_file(berlin, by, columns):
    """Return the numbers and sums of a file, by offer and currency; each row is of October."""
    found = defaultdict(lambda: [0, *(Decimal(0) for _ in columns)])
    with berlin.post("/redemptions/export", json={**october, "by": by}) as file:
        for row in csv.DictReader(io.StringIO(file.get_data(as_text=True))):
            assert row[by].startswith("2025-10-"), row
            line = found[row["offer_name"], row["currency"]]
            line[0] += 1
            for place, column in enumerate(columns, 1):
                line[place] += Decimal(row[column] or 0)
    return found


def of_statistics(berlin, number, names):
    """Return the same of the statistics of all offers, and of each one."""
    answer = berlin.get("/stats", query_string=october).json
    sums = defaultdict(lambda: [Decimal(0) for _ in names])
    for offer in answer["offers"]:
        one = berlin.get(f"/offers/{offer['offer_id']}/stats", query_string=october).json
        for place, name in enumerate(names):
            for each in offer[name]:
                sums[offer["offer_name"], each["currency"]][place] = Decimal(str(each["amount"]))
            in_days = sum(Decimal(str(s["amount"])) for day in one["days"] for s in day[name])
            assert in_days == sum(Decimal(str(each["amount"])) for each in offer[name])
        assert sum(day[number] for day in one["days"]) == offer[number]
    numbers = {offer["offer_name"]: offer[number] for offer in answer["offers"]}
    return numbers, sums


@pytest.mark.parametrize("count", [2_000, pytest.param(100_000, marks=pytest.mark.long)], ids=str)
def test_the_sum_of_a_months_file_is_the_statistics_of_its_offers(berlin, sql, count):
    for statement in (offers, customers):
        sql(statement)
    sql(vouchers, count=count)
    sql(redemptions)
    for by, number, names in (
        ("redeemed_at", "redeemed", ("discounted", "turnover")),
        ("reversed_at", "reversed", ("given_back", "turnover_given_back")),
    ):
        found = of_file(berlin, by, ("discount_amount", "order_amount"))
        numbers, sums = of_statistics(berlin, number, names)
        assert len(numbers) == 7
        assert {currency for _, currency in found} == {"EUR", "SEK", ""}
        for name, counted in numbers.items():
            assert sum(line[0] for (of, _), line in found.items() if of == name) == counted
        paid = {where: line[1:] for where, line in found.items() if where[1]}
        assert paid == sums
    [(outside,)] = sql(
        "SELECT count(*) FROM redemptions WHERE to_char(redeemed_at AT TIME ZONE 'UTC', 'MM') <>"
        " to_char(redeemed_at AT TIME ZONE 'Europe/Berlin', 'MM')"
    )
    assert outside > count / 200

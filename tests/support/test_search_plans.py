"""How PostgreSQL runs the searches: each reads its vouchers by an index."""

import pytest
from sqlalchemy import text

from tests.builders import in_days
from tests.population import fill, require_indexes
from voucherpool.support import search

pytestmark = pytest.mark.one_machine("reads the plans of one PostgreSQL")

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
    "count", [20_000, pytest.param(1_000_000, marks=pytest.mark.long)], ids=str
)
def test_each_search_reads_its_vouchers_by_an_index(app, explain, count):
    with app.app_context():
        fill(count)
    for criteria in searches:
        for descending in (False, True):
            for place in ({}, {"expiry": in_days(10), "issue_number": 7}):
                given = criteria | {"descending": descending}
                with app.app_context():
                    statement = text(search.query(given, is_first=not place))
                plan = explain(statement, **criteria, **place, count=101)
                require_indexes(f"{given} {place}", plan)

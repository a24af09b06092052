"""How PostgreSQL finds what is archived: by indexes alone."""

import re
import uuid
from datetime import timedelta

import pytest
from sqlalchemy import text, tuple_

from tests.builders import ana
from voucherpool.archive import moving, picking
from voucherpool.claims import service as claiming
from voucherpool.database import paging
from voucherpool.database.transactions import transaction
from voucherpool.redemptions import ledger
from voucherpool.redemptions import service as redemptions
from voucherpool.support import service as support
from voucherpool.vouchers import archived
from voucherpool.vouchers.eligibility import state
from voucherpool.vouchers.models import Redemption

fill = """
    WITH made AS (
        INSERT INTO {0}vouchers (code_key, code, issue_number, offer_id, customer_id, expires_at,
            redemption_count, max_redemptions, used_at, created_at {1})
        OVERRIDING SYSTEM VALUE
        SELECT code, code, n, 1, 1, now(), 1, 1, now(), now() {2}
        FROM generate_series({3}, {3} + 4999) AS n, to_char(n, 'FM000000000000') AS code
        RETURNING code_key
    )
    INSERT INTO {0}redemptions (code_key, id, customer_id, offer_id, discount, discount_type,
        redeemed_at, order_ref {1})
    SELECT code_key, gen_random_uuid(), 1, 1, 1, 'percentage', now() - n * interval '1 minute',
        'o' || n {2}
    FROM made, CAST(code_key AS bigint) AS n"""

pytestmark = pytest.mark.one_machine("reads the plans of one PostgreSQL")


@pytest.fixture(autouse=True)
def filled(app, make, sql):
    """Fill both with 5 000 used vouchers of one customer."""
    make.customer(ana)
    sql("INSERT INTO offers (name, discount) VALUES ('KOI', 5)")
    make.voucher(days=-100)
    with app.app_context(), transaction():
        moving.archive(timedelta(90), 0)
    sql(fill.format("", "", "", 0))
    sql(fill.format("archived_", ", archived_at", ", now()", 5_000))
    sql("ANALYZE")


key = "000000007000"
page = ledger.redemptions.where(Redemption.customer_id == 1)
order = (Redemption.redeemed_at, Redemption.id)


asked = [
    (state.for_redemption.of_customer_including_archive, state.request(key, ana, "o")),
    (support.record, {"key": key}),
    (
        paging.first_of(
            ledger.redemptions.where(Redemption.code_key == key),
            *(support.newest, support.history_shown, None),
            newest_first=True,
        ),
        {},
    ),
    (claiming.claimed_before, {"key": key, "claimed_at": "2026-01-01"}),
    (redemptions.given_redemptions, {"this": uuid.uuid4(), "order": None}),
    (redemptions.given_redemptions, {"this": None, "order": "o7000"}),
    (archived.of_archive, {"keys": [key, "ZZZZ"]}),
]


def test_what_is_asked_of_hot_tables_and_archive_reads_neither_whole(explain):
    for statement, values in asked:
        found = explain(statement, **values)
        assert not re.search("Seq Scan on (archived_)?(vouchers|redemptions)", found), found
    after = tuple_(*order) > tuple_(text("now() - interval '9 days'"), uuid.UUID(int=0))
    for part_of_the_ledger in (page, page.where(after)):
        found = explain(part_of_the_ledger.order_by(*order).limit(101))
        assert "Merge Append" in found, found
        assert not re.search("Sort Method|Seq Scan on (archived_)?(vouchers|redemp)", found), found


def test_a_batch_is_found_by_its_place(explain):
    found = explain(picking.of_blocks, age=timedelta(90), first="(0,0)", end="(8,0)")
    assert "Tid Range Scan on vouchers" in found
    assert "Seq Scan" not in found


def test_what_a_batch_moves_is_found_by_its_codes(explain):
    for statement in (*moving.enter, *moving.leave):
        found = explain(statement, keys=[key], now="2026-01-01Z")
        assert re.search("Index Scan|Bitmap Index Scan", found), found
        assert "Seq Scan" not in found, found

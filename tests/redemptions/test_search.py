"""Searching the ledger, and the file of what a search finds."""

import csv
import re
import tracemalloc
from collections import Counter
from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from tempfile import TemporaryFile

import pytest
from sqlalchemy import text

from tests.builders import ana, ben, in_days
from voucherpool.archive import moving
from voucherpool.database import csv_files
from voucherpool.database.model import db
from voucherpool.database.transactions import long_transaction, transaction
from voucherpool.redemptions import search


@pytest.fixture
def ledger(client, make, sql):
    """Redeem eight vouchers of two offers and customers, an hour apart; give two back."""
    codes = []
    for number in range(8):
        email, offer = (ana, ben)[number % 2], ("KOI", "SPRING")[number // 2 % 2]
        code = make.voucher(email, offer, "10", code=f"FISH-{number}")
        order = {"order_ref": f"A-{number // 3}", "order_amount": 10 + number, "currency": "EUR"}
        client.redeemed(code, email=email, **order)
        codes.append(code)
    for order in ("A-1", "A-2"):
        client.post("/redemptions/reverse", json={"order_ref": order})
    sql(
        f"UPDATE redemptions SET redeemed_at = {earlier('now()', 'hour')},"
        f" reversed_at = {earlier('reversed_at', 'minute')}"
    )
    return codes


def earlier(column, unit):
    """Return the SQL of a moment that is earlier by so many units as the order was below 18.

    It is in UTC, because a cluster refuses what depends on a connection's time zone.
    """
    since = f"(18 - order_amount) * interval '1 {unit}'"
    return f"({column} AT TIME ZONE 'UTC' - {since}) AT TIME ZONE 'UTC'"


def found(client, limit=3, **criteria):
    """Return the codes that a search finds, page by page."""
    codes, body = [], {"limit": limit, **criteria}
    while True:
        answer = client.post("/redemptions/search", json=body)
        assert answer.status_code == 200, answer.text
        assert len(answer.json["items"]) <= limit
        codes += [each["code"] for each in answer.json["items"]]
        if answer.json["next"] is None:
            return codes
        body["cursor"] = answer.json["next"]


def exported(client, **criteria):
    """Return the rows of the file of what a search finds."""
    answer = client.post("/redemptions/export", json=criteria, buffered=True)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Disposition"] == 'attachment; filename="redemptions.csv"'
    return list(csv.DictReader(StringIO(answer.text)))


def numbers(*chosen):
    return [f"FISH-{number}" for number in chosen]


def criteria():
    """Return criteria, and the numbers of what meets them."""
    return [
        ({}, range(8)),
        ({"code": "fish 3"}, [3]),
        ({"offer_name": "SPRING"}, [2, 3, 6, 7]),
        ({"offer_id": 1}, [0, 1, 4, 5]),
        ({"email": ben}, [1, 3, 5, 7]),
        ({"email": ben, "offer_name": "SPRING"}, [3, 7]),
        ({"order_ref": "A-1"}, [3, 4, 5]),
        ({"from": in_days(-5.5 / 24), "to": in_days(-2.5 / 24)}, [3, 4, 5]),
        ({"from": in_days(-5.5 / 24), "email": ana}, [4, 6]),
        ({"by": "reversed_at"}, range(3, 8)),
        ({"by": "reversed_at", "from": in_days(-3.5 / 1440)}, [5, 6, 7]),
        ({"from": in_days(1)}, []),
    ]


def test_a_search_finds_what_meets_all_criteria_and_its_file_has_the_same(client, ledger):
    for wanted, expected in criteria():
        codes = numbers(*expected)
        assert found(client, **wanted) == codes, wanted
        assert found(client, order="descending", **wanted) == codes[::-1], wanted
        assert [row["code"] for row in exported(client, **wanted)] == codes, wanted


def test_archived_redemptions_are_found_too(app, client, ledger, sql):
    sql("UPDATE vouchers SET expires_at = now() WHERE code_key > 'F1SH3'")
    with app.app_context():
        with transaction():
            blocks = moving.blocks()
        for first in blocks:
            with transaction():
                moving.archive(timedelta(0), first)
    assert sql("SELECT count(*) FROM redemptions") != [(8,)]
    assert sql("SELECT count(*) FROM archived_redemptions") != [(0,)]
    for wanted, expected in criteria():
        assert found(client, **wanted) == numbers(*expected), wanted
        assert [row["code"] for row in exported(client, **wanted)] == numbers(*expected), wanted


def test_a_batch_has_the_redemptions_of_its_vouchers(client, ledger, sql):
    sql(
        "INSERT INTO batches (offer_id, requested, expires_at, max_redemptions, pattern)"
        " VALUES (1, 3, now(), 1, '############')"
    )
    sql("UPDATE vouchers SET batch_id = 1 WHERE offer_id = 1 AND code_key > 'F1SH1'")
    assert found(client, batch_id=1) == numbers(4, 5)
    assert [row["batch_id"] for row in exported(client, batch_id=1)] == ["1", "1"]


def test_a_period_of_the_file_has_the_sums_of_the_statistics(client, ledger):
    sums = Counter()
    for row in exported(client):
        sums["discounted"] += Decimal(row["discount_amount"])
        sums["redeemed"] += 1
    for row in exported(client, by="reversed_at"):
        sums["given_back"] += Decimal(row["discount_amount"])
        sums["reversed"] += 1
    told = Counter()
    for offer in (1, 2):
        shown = client.get(f"/offers/{offer}/stats").json
        for name in ("redeemed", "reversed"):
            told[name] += shown[name]
        for name in ("discounted", "given_back"):
            [money] = shown[name]
            assert money["currency"] == "EUR"
            told[name] += Decimal(str(money["amount"]))
    assert sums == told
    assert sums["discounted"] == Decimal("10.8")  # a tenth of 10 + 11 + … + 17


def test_a_row_of_the_file_says_who_what_and_how_much(client, ledger, sql):
    [row] = exported(client, code="FISH-3")
    [(id_,)] = sql("SELECT id FROM redemptions WHERE code_key = 'F1SH3'")
    assert row.pop("redeemed_at").endswith("+00:00")
    assert row.pop("reversed_at").endswith("+00:00")
    assert row.pop("kind") == "redeemed"
    assert row == {
        "id": str(id_),
        "code": "FISH-3",
        "email": ben,
        "offer_name": "SPRING",
        "batch_id": "",
        "order_ref": "A-1",
        "order_amount": "13",
        "currency": "EUR",
        "discount": "10",
        "discount_type": "percentage",
        "discount_amount": "1.30",
        "metadata": "",
    }


def test_a_cell_that_a_spreadsheet_would_run_gets_an_apostrophe(client, make):
    client.redeemed(make.voucher(), order_ref="=1+1")
    assert [row["order_ref"] for row in exported(client)] == ["'=1+1"]


@pytest.mark.parametrize("name", ["email", "offer_id", "batch_id", "offer_name"])
def test_what_does_not_exist_is_not_found(client, name):
    value = {"email": ana, "offer_name": "KOI"}.get(name, 7)
    for route in ("search", "export"):
        answer = client.post(f"/redemptions/{route}", json={name: value}, buffered=True)
        assert (answer.status_code, name) in {(404, name), (200, "offer_id")}


many = """
    INSERT INTO offers (name, discount) VALUES ('KOI', 10);
    INSERT INTO customers (email, email_key) VALUES ('a@example.org', 'a@example.org');
    INSERT INTO vouchers (code_key, code, offer_id, customer_id, expires_at, max_redemptions,
        redemption_count)
    SELECT code, code, 1, 1, now(), {count}, 1
    FROM generate_series(1, {count}) AS n, to_char(n, 'FM00000000') AS code;
    INSERT INTO redemptions (code_key, customer_id, offer_id, discount, discount_type, order_ref,
        redeemed_at, order_amount, discount_amount, currency)
    SELECT code_key, 1, 1, 10, 'percentage', 'o' || code_key,
        now() - issue_number * interval '1 minute', 10, 1, 'EUR'
    FROM vouchers"""


def fill(count):
    with long_transaction():
        db.session.execute(text(many.format(count=count)))


def test_a_file_is_written_page_by_page(app):
    with app.app_context():
        fill(10_000)
        with long_transaction(), TemporaryFile() as file:
            tracemalloc.start()
            assert csv_files.write(file, tuple(search.cells), search.exported()) == 10_000
            most = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
    assert most < 6 * 2**20


@pytest.mark.long
def test_the_file_of_a_million_redemptions_takes_little_memory(app, client):
    with app.app_context():
        fill(1_000_000)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak until now
    before = memory("VmRSS")
    lines = 0
    with closing(client.post("/redemptions/export", json={})) as answer:
        for chunk in answer.response:
            lines += chunk.count(b"\n")
    assert lines == 1_000_001
    assert memory("VmHWM") - before < 100 * 1024


def memory(name):
    """Return a figure of this process's memory, in KiB."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)[1])

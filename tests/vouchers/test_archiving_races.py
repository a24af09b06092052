"""The archiver among requests that want what it moves."""

import threading
from collections import Counter
from datetime import timedelta

import pytest

from tests.builders import ana, ben, in_days
from tests.server import at_once
from voucherpool import auditing
from voucherpool.database.model import db
from voucherpool.database.transactions import transaction
from voucherpool.vouchers import archiving

old = timedelta(days=90)


@pytest.fixture
def archiver(app):
    """Archive over and over in a thread of its own while the test runs; audit at the end."""
    ended = threading.Event()

    def work():
        while not ended.is_set():
            with app.app_context():
                with transaction():
                    blocks = archiving.blocks()
                for first in blocks:
                    with transaction():
                        archiving.archive(old, first)

    thread = threading.Thread(target=work)
    thread.start()
    yield
    ended.set()
    thread.join()
    with app.app_context():
        breaches = auditing.breaches()
    assert not any(breaches.values()), breaches


@pytest.fixture
def orders(server, make):
    """Return the codes of 16 vouchers, two for each of 8 orders, over for long."""
    codes = [make.voucher() for _ in range(16)]
    for number, code in enumerate(codes):
        body = {"code": code, "email": ana, "order_ref": f"o{number // 2}"}
        assert server.post("/vouchers/validate", body)[0] == 201
    make.older(130)
    return codes


@pytest.mark.parametrize("rounds", [3, pytest.param(100, marks=pytest.mark.fault)])
def test_every_request_finds_the_voucher_wherever_it_is(orders, archiver, server, sql, rounds):
    def call(number):
        code = orders[number % len(orders)]
        by_order = {"code": code, "email": ana, "order_ref": f"o{number % 16 // 2}"}
        answers = []
        for _ in range(rounds):
            for route, body in (
                ("lookup", {"code": code}),
                ("disable", {"code": code}),
                ("validate", by_order),
                ("check", {"code": code, "email": ana}),
                ("enable", {"code": code}),
                ("validate", {"code": code, "email": ana}),
            ):
                status, answer = server.post(f"/vouchers/{route}", body)
                answers.append((route, status, answer.get("code", answer.get("reason"))))
        return answers

    seen = Counter(
        (route, status, None if route != "validate" or status == 201 else told)
        for answers in at_once(8, call)
        for route, status, told in answers
    )
    assert set(seen) == {
        ("lookup", 200, None),
        ("disable", 200, None),
        ("check", 200, None),
        ("enable", 200, None),
        ("validate", 201, None),
        ("validate", 409, "voucher_already_redeemed"),
    }
    held = "SELECT count(*) FROM {0}vouchers JOIN {0}redemptions USING (code_key)"
    counts = sql(f"SELECT ({held.format('')}) + ({held.format('archived_')})")
    assert counts == [(16,)]


def test_of_many_who_reverse_an_order_each_gets_all_of_it_and_one_gives_it_back(
    orders, archiver, server, sql
):
    ids = [
        row[0]
        for row in sql("SELECT id FROM redemptions UNION SELECT id FROM archived_redemptions")
    ]

    def call(number):
        if number % 2:
            return server.post("/redemptions/reverse", {"order_ref": f"o{number // 2 % 8}"})
        return server.post(f"/redemptions/{ids[number // 2]}/reverse", {})

    answers = at_once(32, call)
    assert Counter(status for status, _ in answers) == {200: 32}
    for number, (_, body) in enumerate(answers):
        rows = body["items"] if number % 2 else [body]
        assert len(rows) == 1 + number % 2
        assert all(row["reversed_at"] for row in rows)
    assert sql("SELECT * FROM redemptions WHERE reversed_at IS NULL") == []
    assert sql("SELECT * FROM archived_redemptions WHERE reversed_at IS NULL") == []


def test_a_code_that_is_just_being_archived_is_not_issued_again(app, make, server, gate, sql):
    make.customer()
    body = {"email": ana, "offer_name": "KOI", "discount": 5, "expiry": in_days(1)}
    body["code"] = "SUMMER-26"
    assert server.post("/vouchers/generate", body)[0] == 201
    sql("UPDATE vouchers SET expires_at = now() - interval '100 days'")
    answers = []
    twin = threading.Thread(target=lambda: answers.append(server.post("/vouchers/generate", body)))
    with app.app_context(), transaction():
        assert archiving.archive(old, 0) == 1
        twin.start()
        gate.until_waiting(1)
    twin.join(5)
    assert [(status, answer["code"]) for status, answer in answers] == [(409, "voucher_exists")]


def test_an_attempt_on_what_is_just_being_archived_is_refused_as_ever_and_kept(app, make, server):
    make.customer(ben)
    code = make.voucher(days=-100)
    with app.app_context(), transaction():
        assert archiving.archive(old, 0) == 1
        status, answer = server.post("/vouchers/validate", {"code": code, "email": ben})
        assert (status, answer["code"]) == (404, "voucher_not_found")
    _, record = server.post("/vouchers/lookup", {"code": code})
    assert [attempt["reason"] for attempt in record["refused_attempts"]] == [
        "bound_to_another_customer"
    ]


def test_what_a_request_is_busy_with_stays_for_the_next_time(app, make, sql):
    make.voucher(days=-100)
    with app.app_context(), db.engine.connect() as other:
        other = other.execution_options(isolation_level="READ COMMITTED")
        other.execute(db.text("SELECT * FROM vouchers FOR KEY SHARE"))
        with transaction():
            assert archiving.archive(old, 0) == 0
    with app.app_context(), transaction():
        assert archiving.archive(old, 0) == 1


@pytest.fixture
def overtaken(app, monkeypatch):
    """Let the archiver take the voucher after a request looked for it in the archive."""
    bring_back, taken = archiving.bring_back, []

    def archive():
        with app.app_context(), transaction():
            taken.append(archiving.archive(old, 0))

    def look_and_be_overtaken(keys):
        bring_back(keys)
        if not taken:
            archiver = threading.Thread(target=archive)
            archiver.start()
            archiver.join()

    monkeypatch.setattr(archiving, "bring_back", look_and_be_overtaken)
    return taken


@pytest.mark.parametrize("path", ["redemptions/reverse", "vouchers/disable"])
def test_a_request_that_the_archiver_gets_ahead_of_looks_again(client, make, overtaken, path):
    code = make.voucher()
    client.post("/vouchers/validate", json={"code": code, "email": ana, "order_ref": "o"})
    make.older(130)
    body = {"code": code} if path == "vouchers/disable" else {"order_ref": "o"}
    assert client.post(f"/{path}", json=body).status_code == 200
    assert overtaken == [1]
    shown = client.post("/vouchers/lookup", json={"code": code}).json
    assert shown["archived_at"] is None
    assert shown["disabled_at"] or shown["redemptions"][0]["reversed_at"]

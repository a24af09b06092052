"""The archiver among requests that want what it moves."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from tests import cluster
from tests.builders import ana, ben, in_days
from tests.server import at_once
from voucherpool.archive import moving
from voucherpool.database.model import db
from voucherpool.database.transactions import transaction
from voucherpool.operations import integrity
from voucherpool.redemptions import service as redemptions

old = timedelta(days=90)


@pytest.fixture
def archiver(app):
    """Archive over and over in a thread of its own while the test runs; audit at the end."""
    ended = threading.Event()

    def work():
        while not ended.is_set():
            with app.app_context():
                with transaction():
                    blocks = moving.blocks()
                for first in blocks:
                    with transaction():
                        moving.archive(old, first)

    thread = threading.Thread(target=work)
    thread.start()
    yield
    ended.set()
    thread.join()
    with app.app_context():
        breaches = integrity.breaches()
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


@pytest.mark.parametrize("rounds", [3, pytest.param(100, marks=pytest.mark.long)])
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

    seen = {
        (route, status, None if status in (200, 201) else told)
        for answers in at_once(8, call)
        for route, status, told in answers
    }
    assert seen <= {
        ("lookup", 200, None),
        ("disable", 200, None),
        ("disable", 409, "voucher_archived"),
        ("check", 200, None),
        ("enable", 200, None),
        ("enable", 409, "voucher_archived"),
        ("validate", 201, None),
        ("validate", 409, "voucher_already_redeemed"),
    }
    held = "SELECT count(*) FROM {0}vouchers JOIN {0}redemptions USING (code_key)"
    counts = sql(f"SELECT ({held.format('')}) + ({held.format('archived_')})")
    assert counts == [(16,)]


@pytest.mark.parametrize("rounds", [1, pytest.param(15, marks=pytest.mark.long)])
def test_an_order_that_is_reversed_while_it_is_archived_is_reversed_whole_or_not_at_all(
    make, server, archiver, sql, record_property, rounds
):
    # In one statement, which sees one moment of each voucher.
    live = """
        SELECT count(*) FROM (
            SELECT code_key, order_ref, reversed_at FROM redemptions
            UNION ALL SELECT code_key, order_ref, reversed_at FROM archived_redemptions
        ) AS redemption WHERE order_ref = :order AND reversed_at IS NULL"""
    outcomes = Counter()
    for turn in range(rounds):
        orders = [f"{turn}-{number}" for number in range(8)]
        codes = [make.voucher() for _ in range(4)]
        sql("UPDATE vouchers SET max_redemptions = 9 WHERE redemption_count = 0")
        for order in orders:
            for code in codes:
                body = {"code": code, "email": ana, "order_ref": order}
                assert server.post("/vouchers/validate", body)[0] == 201

        def call(number):
            if number == 32:
                return sql(let_all_be_over)
            return server.post("/redemptions/reverse", {"order_ref": orders[number // 4]})  # noqa: B023

        answers = at_once(33, call)[:32]
        for number, order in enumerate(orders):
            statuses = {status for status, _ in answers[number * 4 : number * 4 + 4]}
            assert (statuses, sql(live, order=order)) in [({200}, [(0,)]), ({409}, [(4,)])]
            outcomes.update(statuses)
        for status, body in answers:
            assert status == 200 or body["code"] == "voucher_archived"
            assert all(row["reversed_at"] for row in body.get("items", []))
    record_property("orders by status", dict(outcomes))


# In one order, like the reversals of orders.
let_all_be_over = (
    "UPDATE vouchers SET expires_at = now() - interval '100 days'"
    if cluster.citus_url
    else """
    WITH locked AS (SELECT code_key FROM vouchers ORDER BY code_key FOR UPDATE)
    UPDATE vouchers SET expires_at = now() - interval '100 days'
    FROM locked WHERE vouchers.code_key = locked.code_key"""
)


def test_a_twin_of_a_reversal_whose_voucher_is_archived_meanwhile_is_answered_the_same(
    app, make, server, gate, sql
):
    body = {"code": make.voucher(), "email": ana}
    redemption = server.post("/vouchers/validate", body)[1]["redemption_id"]
    sql("UPDATE vouchers SET expires_at = now() - interval '100 days'")
    answers = []

    def reverse():
        answers.append(server.post(f"/redemptions/{redemption}/reverse", {}))

    twin = threading.Thread(target=reverse)
    with app.app_context(), transaction():
        redemptions.reverse(redemption)
        twin.start()
        gate.until_waiting(1)
        assert moving.archive(old, 0) == 1
    twin.join()
    reverse()
    assert [status for status, _ in answers] == [200, 200]
    assert answers[0] == answers[1]


def test_a_code_that_is_just_being_archived_is_not_issued_again(app, make, server, gate, sql):
    make.customer()
    body = {"email": ana, "offer_name": "KOI", "discount": 5, "expiry": in_days(1)}
    body["code"] = "SUMMER-26"
    assert server.post("/vouchers/generate", body)[0] == 201
    sql("UPDATE vouchers SET expires_at = now() - interval '100 days'")
    answers = []
    twin = threading.Thread(target=lambda: answers.append(server.post("/vouchers/generate", body)))
    with app.app_context(), transaction():
        assert moving.archive(old, 0) == 1
        twin.start()
        gate.until_waiting(1)
    twin.join()
    assert [(status, answer["code"]) for status, answer in answers] == [(409, "voucher_exists")]


def test_a_redemption_that_is_just_being_archived_is_not_given_back(app, client, make, gate):
    redeemed = client.redeem(make.voucher()).json
    make.older(130)
    with app.app_context(), transaction():
        moving.blocks()
    with ThreadPoolExecutor(1) as pool:
        with app.app_context(), transaction():
            assert moving.archive(old, 0) == 1
            path = f"/redemptions/{redeemed['redemption_id']}/reverse"
            reversing = pool.submit(client.post, path)
            gate.until_waiting(1)
        answer = reversing.result()
    assert (answer.status_code, answer.json["code"]) == (409, "voucher_archived")


def test_an_attempt_on_what_is_just_being_archived_is_refused_as_ever_and_kept(app, make, server):
    make.customer(ben)
    code = make.voucher(days=-100)
    with app.app_context(), transaction():
        assert moving.archive(old, 0) == 1
        status, answer = server.redeem(code, ben)
        assert (status, answer["code"]) == (404, "voucher_not_found")
    _, record = server.post("/vouchers/lookup", {"code": code})
    assert [attempt["reason"] for attempt in record["refused_attempts"]] == [
        "bound_to_another_customer"
    ]


@pytest.mark.one_machine("a cluster waits for what a request is busy with")
def test_what_a_request_is_busy_with_stays_for_the_next_time(app, make, sql):
    make.voucher(days=-100)
    with app.app_context(), db.engine.connect() as other:
        other = other.execution_options(isolation_level="READ COMMITTED")
        other.execute(db.text("SELECT * FROM vouchers FOR KEY SHARE"))
        with transaction():
            assert moving.archive(old, 0) == 0
    with app.app_context(), transaction():
        assert moving.archive(old, 0) == 1

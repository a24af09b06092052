"""Concurrent requests, sent to real gunicorn workers."""

from collections import Counter

import pytest

from tests.builders import ana, ben, in_days
from tests.gate import senders


def outcome(answer):
    status, body = answer
    return status if status < 400 else (status, body["code"])


@pytest.fixture
def people(make):
    """Return an e-mail for each sender."""
    return [make.customer(f"c{number}@example.org") for number in range(senders)]


def test_of_concurrent_redemptions_of_a_voucher_exactly_one_succeeds(
    server, make, gate, sql, audit
):
    body = {"code": make.voucher(), "email": ana}
    answers = gate.race(lambda _: server.post("/vouchers/validate", body))
    assert Counter(map(outcome, answers)) == {201: 1, (409, "voucher_already_redeemed"): 9}
    assert len(sql("SELECT * FROM redemptions")) == 1
    audit()


no_more_offers = "LOCK TABLE offers IN SHARE MODE"


@pytest.mark.parametrize("discounts", [1, 5])
def test_concurrent_generates_of_a_new_offer_make_one_offer_and_all_their_vouchers(
    server, make, gate, sql, discounts
):
    make.customer()
    body = {"email": ana, "offer_name": "NEW", "expiry": in_days(1)}
    answers = gate.race(
        lambda number: server.post(
            "/vouchers/generate", body | {"discount": number % discounts + 1}
        ),
        no_more_offers,
    )
    assert Counter(map(outcome, answers)) == {201: 10}
    assert len({body["code"] for _, body in answers}) == 10
    assert sql("SELECT (SELECT count(*) FROM offers), (SELECT count(*) FROM vouchers)") == [(1, 10)]


@pytest.mark.parametrize("uses", [1, 3, 10])
def test_of_a_limit_of_n_exactly_n_succeed(server, make, gate, people, sql, audit, uses):
    code = make.voucher(customer_id=None, max_redemptions=uses)
    answers = gate.race(lambda number: server.redeem(code, people[number]))
    assert Counter(status for status, _ in answers) == Counter({201: uses, 409: 10 - uses})
    assert sql("SELECT redemption_count FROM vouchers") == [(uses,)]
    assert len(sql("SELECT * FROM redemptions WHERE reversed_at IS NULL")) == uses
    audit()


@pytest.mark.parametrize("uses", [1, 3, 10])
def test_holds_and_redemptions_together_take_exactly_n(
    server, make, gate, people, audit, sql, uses
):
    code = make.voucher(customer_id=None, max_redemptions=uses)

    def call(number):
        route = ("/vouchers/hold", "/vouchers/validate")[number % 2]
        return server.post(route, {"code": code, "email": people[number]})

    answers = gate.race(call)
    assert Counter(status for status, _ in answers) == Counter({201: uses, 409: 10 - uses})
    audit()
    holders = [number for number in range(0, 10, 2) if answers[number][0] == 201]
    for number in holders:
        body = {"code": code, "email": people[number]}
        assert server.post("/vouchers/validate", body)[0] == 201
    assert sql("SELECT redemption_count FROM vouchers") == [(uses,)]


def test_a_customer_who_holds_a_voucher_many_times_at_once_has_one_hold(server, make, gate, audit):
    code = make.voucher(max_redemptions=9)
    answers = gate.race(
        lambda number: server.post(
            "/vouchers/hold", {"code": code, "email": ana, "ttl_seconds": 60 + number}
        )
    )
    assert {status for status, _ in answers} == {201}
    assert len({body["hold_id"] for _, body in answers}) == 1
    held_until = server.post("/vouchers/hold", {"code": code, "email": ana, "ttl_seconds": 1})[1]
    assert held_until == max((body for _, body in answers), key=lambda body: body["held_until"])
    audit()


changes = {
    "voucher_already_redeemed": "redemption_count = 1, used_at = now()",
    "voucher_expired": "expires_at = now()",
    "voucher_disabled": "disabled_at = now()",
    "voucher_held": "holds = jsonb_build_object('h', jsonb_build_object("
    "'customer', 1, 'until', extract(epoch FROM now()) + 60))",
    "voucher_not_found": "customer_id = customers.id",
}


@pytest.mark.parametrize("route", ["validate", "hold"])
@pytest.mark.parametrize("holds_before", ["NULL", """'{"h": {"customer": 1, "until": 0}}'"""])
@pytest.mark.parametrize("refusal", changes)
def test_what_a_voucher_becomes_while_requests_wait_for_it_refuses_them(
    server, make, gate, sql, refusal, holds_before, route
):
    make.customer(ben)  # the customer 1
    body = {"code": make.voucher(customer_id=None), "email": ana}
    sql(f"UPDATE vouchers SET holds = {holds_before}")
    change = f"UPDATE vouchers SET {changes[refusal]} FROM customers WHERE email = '{ben}'"
    answers = gate.race(lambda _: server.post(f"/vouchers/{route}", body), change)
    assert {answer["code"] for _, answer in answers} == {refusal}
    assert sql("SELECT * FROM redemptions") == []


@pytest.mark.parametrize("limit", [1, 2])
def test_of_a_limit_of_n_per_customer_exactly_n_succeed(server, make, gate, sql, audit, limit):
    codes = [make.voucher() for _ in range(senders)]
    sql("UPDATE offers SET max_redemptions_per_customer = :limit", limit=limit)
    answers = gate.race(lambda number: server.redeem(codes[number]))
    expected = {201: limit, (409, "customer_limit_reached"): 10 - limit}
    assert Counter(map(outcome, answers)) == expected
    assert len(sql("SELECT * FROM redemptions")) == limit
    assert sql("SELECT sum(redemption_count) FROM vouchers") == [(limit,)]
    audit()


@pytest.mark.parametrize("uses", [1, 9])
@pytest.mark.parametrize("limit", [None, 1])
def test_one_order_sent_many_times_at_once_takes_one_use_and_is_answered_the_same(
    server, make, gate, sql, limit, uses
):
    body = {"code": make.voucher(max_redemptions=uses), "email": ana, "order_ref": "o"}
    sql("UPDATE offers SET max_redemptions_per_customer = :limit", limit=limit)
    answers = gate.race(lambda _: server.send("/vouchers/validate", body))
    assert {status for status, _ in answers} == {201}
    assert len({answer for _, answer in answers}) == 1
    assert len(sql("SELECT * FROM redemptions")) == 1


@pytest.mark.parametrize("by", ["id", "order"])
def test_reversing_many_times_at_once_gives_one_use_back_and_answers_the_same(
    server, make, gate, sql, audit, by
):
    body = {"code": make.voucher(max_redemptions=9), "email": ana}
    sql("UPDATE offers SET max_redemptions_per_customer = 9")
    first, _ = (
        server.post("/vouchers/validate", body | {"order_ref": order})[1] for order in ("a", "b")
    )
    route, order = f"/redemptions/{first['redemption_id']}/reverse", {}
    if by == "order":
        route, order = "/redemptions/reverse", {"order_ref": "a"}
    answers = gate.race(lambda _: server.send(route, order))
    assert {status for status, _ in answers} == {200}
    assert len({answer for _, answer in answers}) == 1
    assert sql("SELECT redemption_count FROM vouchers") == [(1,)]
    assert len(sql("SELECT * FROM redemptions WHERE reversed_at IS NULL")) == 1
    audit()


def test_the_last_room_for_holds_goes_to_as_many_as_there_is_for(server, make, gate, people, sql):
    code = make.voucher(customer_id=None, max_redemptions=10_000)
    sql(
        "UPDATE vouchers SET holds = (SELECT jsonb_object_agg(gen_random_uuid()::text,"
        " jsonb_build_object('customer', 1000000 + n, 'until', extract(epoch FROM now()) + 900))"
        " FROM generate_series(1, 997) AS n)"
    )
    answers = gate.race(
        lambda number: server.post("/vouchers/hold", {"code": code, "email": people[number]})
    )
    assert Counter(map(outcome, answers)) == {201: 3, (409, "too_many_holds"): 7}
    assert sql("SELECT count(*) FROM vouchers, jsonb_each(holds)") == [(1000,)]

"""Concurrent requests, sent to real gunicorn workers."""

from collections import Counter

from tests.builders import ana, in_days
from tests.server import at_once


def outcome(answer):
    status, body = answer
    return status if status < 400 else (status, body["code"])


def test_of_100_concurrent_redemptions_of_a_voucher_exactly_one_succeeds(server, make, sql):
    for _ in range(20):
        code = make.voucher()
        body = {"code": code, "email": ana}
        answers = at_once(100, lambda _, body=body: server.post("/vouchers/validate", body))
        assert Counter(map(outcome, answers)) == {201: 1, (409, "voucher_already_redeemed"): 99}
    assert len(sql("SELECT * FROM redemptions")) == 20


def test_50_concurrent_generates_of_a_new_offer_make_one_offer_and_50_vouchers(server, make, sql):
    make.customer()
    body = {"email": ana, "offer_name": "NEW", "discount": 5, "expiry": in_days(1)}
    answers = at_once(50, lambda _: server.post("/vouchers/generate", body))
    assert Counter(map(outcome, answers)) == {201: 50}
    assert len({body["code"] for _, body in answers}) == 50
    assert sql("SELECT (SELECT count(*) FROM offers), (SELECT count(*) FROM vouchers)") == [(1, 50)]


def test_concurrent_generates_with_other_discounts_all_succeed(server, make, sql):
    make.customer()
    body = {"email": ana, "offer_name": "NEW", "expiry": in_days(1)}
    answers = at_once(
        50, lambda number: server.post("/vouchers/generate", body | {"discount": number % 5 + 1})
    )
    assert Counter(map(outcome, answers)) == {201: 50}
    assert len(sql("SELECT * FROM offers")) == 1

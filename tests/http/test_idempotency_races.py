"""Requests that share an Idempotency-Key, sent at once to real gunicorn workers."""

from collections import Counter

import pytest

from tests.builders import ana, ben
from tests.gate import any_voucher

path = "/vouchers/validate"
no_new_keys = "LOCK TABLE idempotency_keys IN SHARE MODE"


@pytest.fixture
def body(make):
    """Return the body of a redemption that would succeed more often than it is sent."""
    return {"code": make.voucher(max_redemptions=50), "email": ana}


@pytest.mark.parametrize("lock", [any_voucher, no_new_keys])
def test_twins_of_a_key_redeem_once_and_get_one_answer(server, gate, body, sql, audit, lock):
    answers = gate.race(lambda _: server.send(path, body, Idempotency_Key="k"), lock)
    assert {status for status, _ in answers} == {201}
    assert len({answer for _, answer in answers}) == 1
    assert len(sql("SELECT * FROM redemptions")) == 1
    audit()


def test_of_two_bodies_under_a_key_one_is_done_and_the_other_refused(server, gate, body, sql):
    bodies = [body, body | {"order_ref": "o"}]
    answers = gate.race(
        lambda number: server.send(path, bodies[number % 2], Idempotency_Key="k"), no_new_keys
    )
    by_body = answers[::2], answers[1::2]
    done, refused = sorted(by_body, key=lambda answers: answers[0][0])
    assert {status for status, _ in done} == {201}
    assert len({answer for _, answer in done}) == 1
    assert {status for status, _ in refused} == {422}
    assert len(sql("SELECT * FROM redemptions")) == 1


def test_when_the_first_is_refused_its_twins_are_decided_again(server, make, gate, sql):
    make.customer(ben)
    code = make.voucher(customer_id=None)
    change = "UPDATE vouchers SET disabled_at = now()"
    body = {"code": code, "email": ana}
    answers = gate.race(lambda _: server.post(path, body, Idempotency_Key="k"), change)
    assert Counter(status for status, _ in answers) == Counter({409: 10})
    assert sql("SELECT * FROM idempotency_keys") == []
    sql("UPDATE vouchers SET disabled_at = NULL")
    assert server.post(path, body, Idempotency_Key="k")[0] == 201


def test_twins_that_commit_several_statements_do_their_work_once(server, gate, body, sql):
    first = server.post(path, body)[1]["redemption_id"]
    answers = gate.race(
        lambda _: server.send(f"/redemptions/{first}/reverse", {}, Idempotency_Key="k")
    )
    assert {status for status, _ in answers} == {200}
    assert len({answer for _, answer in answers}) == 1
    assert sql("SELECT redemption_count FROM vouchers") == [(0,)]

"""Concurrent requests, sent to real gunicorn workers."""

import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest

from tests.builders import ana, in_days
from tests.server import at_once


def outcome(answer):
    status, body = answer
    return status if status < 400 else (status, body["code"])


@pytest.fixture
def people(make):
    """Return the e-mails of 100 customers."""
    return [make.customer(f"c{number}@example.org") for number in range(100)]


@pytest.mark.parametrize("codes", [3, pytest.param(20, marks=pytest.mark.fault)])
def test_of_100_concurrent_redemptions_of_a_voucher_exactly_one_succeeds(
    server, make, sql, audit, codes
):
    for _ in range(codes):
        code = make.voucher()
        body = {"code": code, "email": ana}
        answers = at_once(100, lambda _, body=body: server.post("/vouchers/validate", body))
        assert Counter(map(outcome, answers)) == {201: 1, (409, "voucher_already_redeemed"): 99}
    assert len(sql("SELECT * FROM redemptions")) == codes
    audit()


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


@pytest.mark.parametrize("uses", [1, 3, 100])
def test_of_a_limit_of_n_exactly_n_of_100_succeed(server, make, people, sql, audit, uses):
    code = make.voucher(customer_id=None, max_redemptions=uses)
    answers = at_once(
        100,
        lambda number: server.post("/vouchers/validate", {"code": code, "email": people[number]}),
    )
    counted = Counter(status for status, _ in answers)
    assert counted == Counter({201: uses, 409: 100 - uses})
    assert sql("SELECT redemption_count FROM vouchers") == [(uses,)]
    assert len(sql("SELECT * FROM redemptions WHERE reversed_at IS NULL")) == uses
    audit()


@pytest.mark.parametrize("uses", [1, 3, 100])
def test_holds_and_redemptions_together_take_exactly_n(server, make, people, audit, sql, uses):
    code = make.voucher(customer_id=None, max_redemptions=uses)

    def call(number):
        route = ("/vouchers/hold", "/vouchers/validate")[number % 2]
        return server.post(route, {"code": code, "email": people[number]})

    answers = at_once(100, call)
    assert Counter(status for status, _ in answers) == Counter({201: uses, 409: 100 - uses})
    audit()
    holders = [number for number in range(0, 100, 2) if answers[number][0] == 201]
    for number in holders:
        body = {"code": code, "email": people[number]}
        assert server.post("/vouchers/validate", body)[0] == 201
    assert sql("SELECT redemption_count FROM vouchers") == [(uses,)]


def test_a_limit_of_2_per_customer_lets_exactly_2_of_100_succeed(server, make, sql, audit):
    codes = [make.voucher() for _ in range(100)]
    sql("UPDATE offers SET max_redemptions_per_customer = 2")
    answers = at_once(
        100, lambda number: server.post("/vouchers/validate", {"code": codes[number], "email": ana})
    )
    assert Counter(map(outcome, answers)) == {201: 2, (409, "customer_limit_reached"): 98}
    assert sql("SELECT redemption_count FROM customer_redemptions") == [(2,)]
    assert sql("SELECT sum(redemption_count) FROM vouchers") == [(2,)]
    audit()


@pytest.mark.parametrize("limit", [None, 1])
def test_one_order_sent_50_times_at_once_takes_one_use_and_is_answered_alike(
    server, make, sql, limit
):
    body = {"code": make.voucher(max_redemptions=9), "email": ana, "order_ref": "o"}
    sql("UPDATE offers SET max_redemptions_per_customer = :limit", limit=limit)
    answers = at_once(50, lambda _: server.send("/vouchers/validate", body))
    assert {status for status, _ in answers} == {201}
    assert len({answer for _, answer in answers}) == 1
    assert len(sql("SELECT * FROM redemptions")) == 1


def test_reversing_50_times_at_once_gives_one_use_back_and_answers_alike(server, make, sql, audit):
    body = {"code": make.voucher(max_redemptions=9), "email": ana}
    sql("UPDATE offers SET max_redemptions_per_customer = 9")
    first, _ = (server.post("/vouchers/validate", body)[1] for _ in range(2))
    route = f"/redemptions/{first['redemption_id']}/reverse"
    answers = at_once(50, lambda _: server.send(route, {}))
    assert {status for status, _ in answers} == {200}
    assert len({answer for _, answer in answers}) == 1
    assert sql("SELECT redemption_count FROM vouchers") == [(1,)]
    assert sql("SELECT redemption_count FROM customer_redemptions") == [(1,)]
    audit()


@pytest.mark.parametrize(
    ("keys", "senders"), [(30, 10), pytest.param(1000, 20, marks=pytest.mark.fault)]
)
def test_each_key_redeems_once_however_many_send_it(server, make, sql, audit, keys, senders):
    bodies = [{"code": make.voucher(max_redemptions=50), "email": ana} for _ in range(keys)]

    def send(number):
        key = number % keys
        return server.send("/vouchers/validate", bodies[key], Idempotency_Key=f"key-{key}")

    numbers = list(range(keys * senders))
    Random(7).shuffle(numbers)  # noqa: S311
    with ThreadPoolExecutor(40) as pool:
        answers = dict(zip(numbers, pool.map(send, numbers), strict=True))
    assert Counter(status for status, _ in answers.values()) == {201: keys * senders}
    for key in range(keys):
        assert len({answers[key + keys * n] for n in range(senders)}) == 1
    assert len(sql("SELECT * FROM redemptions")) == keys
    other = server.post(
        "/vouchers/validate", bodies[0] | {"order_ref": "x"}, Idempotency_Key="key-1"
    )
    assert outcome(other) == (422, "idempotency_key_reused")
    audit()


class Storm:
    """One client that redeems, holds, releases, reverses, disables and enables at random."""

    def __init__(self, server, codes, people, seed):
        self.server, self.codes, self.people = server, codes, people
        self.random = Random(seed)  # noqa: S311
        self.redemptions, self.holds, self.statuses = [], [], Counter()

    def rage(self, end):
        actions = [self.redeem] * 3 + [self.hold] * 2 + [self.release, self.reverse]
        actions += [self.reverse_order, self.disable, self.enable, self.enable, self.limit]
        while time.monotonic() < end:
            status, _ = self.random.choice(actions)()
            self.statuses[status] += 1

    def asked(self):
        return {"code": self.random.choice(self.codes), "email": self.random.choice(self.people)}

    def order(self):
        return {"order_ref": f"order-{self.random.randrange(30)}"}

    def redeem(self):
        order = self.order() if self.random.random() < 0.3 else {}
        answer = self.server.post("/vouchers/validate", self.asked() | order)
        self.redemptions += [answer[1]["redemption_id"]] if answer[0] == 201 else []
        return answer

    def hold(self):
        ttl = {"ttl_seconds": self.random.choice([1, 9])}
        answer = self.server.post("/vouchers/hold", self.asked() | ttl)
        self.holds += [answer[1]["hold_id"]] if answer[0] == 201 else []
        return answer

    def limit(self):
        limit = {"max_redemptions_per_customer": self.random.choice([None, 2, 6])}
        return self.server.request("PATCH", "/offers/1", limit)

    def release(self):
        hold_id = self.random.choice(self.holds or [str(uuid.uuid4())])
        return self.server.post("/vouchers/release", {"hold_id": hold_id})

    def reverse(self):
        redemption_id = self.random.choice(self.redemptions or [uuid.uuid4()])
        return self.server.post(f"/redemptions/{redemption_id}/reverse", {})

    def reverse_order(self):
        return self.server.post("/redemptions/reverse", self.order())

    def disable(self):
        return self.server.post("/vouchers/disable", {"code": self.random.choice(self.codes)})

    def enable(self):
        return self.server.post("/vouchers/enable", {"code": self.random.choice(self.codes)})


@pytest.mark.parametrize("seconds", [2, pytest.param(20, marks=pytest.mark.fault)])
def test_the_rules_hold_at_every_moment_of_a_storm(server, make, people, sql, audit, seconds):
    codes = [make.voucher(customer_id=None, max_redemptions=n % 4 + 1) for n in range(20)]
    sql("UPDATE offers SET max_redemptions_per_customer = 6")
    storms = [Storm(server, codes, people[:8], seed) for seed in range(16)]
    end, samples = time.monotonic() + seconds, 0
    with ThreadPoolExecutor(16) as pool:
        raging = [pool.submit(storm.rage, end) for storm in storms]
        while not all(thread.done() for thread in raging):
            audit()
            samples += 1
    for thread in raging:
        thread.result()
    audit()
    statuses = sum((storm.statuses for storm in storms), Counter())
    assert samples > seconds
    assert set(statuses) <= {200, 201, 204, 404, 409}, statuses
    assert statuses[201] > 20, statuses

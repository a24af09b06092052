"""Guessing of codes."""

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPConnection
from types import SimpleNamespace

import pytest

from tests.builders import ana, ben
from tests.conftest import config
from tests.patience import most_seconds
from tests.server import Server, any_guesses, patient_app, run_gunicorn
from tests.shop import open_shop
from voucherpool import create_app
from voucherpool.database.model import db
from voucherpool.errors import DatabaseUnavailable, TooManyFailedAttempts
from voucherpool.http import apikeys, throttle

path = "/vouchers/validate"
unknown = {"code": "0000-0000-0000", "email": ana}


def guess(client, code="0000-0000-0000", email=ana, path=path):
    answer = client.post(path, json={"code": code, "email": email})
    return answer.status_code, answer.json.get("code") or answer.json.get("reason")


wrong = (404, "voucher_not_found")
slowed = (429, "too_many_failed_attempts")


class Connected(HTTPConnection):
    """A connection that is kept, so that one worker answers all that is sent."""

    def __init__(self, port, key):
        super().__init__("127.0.0.1", port, timeout=most_seconds)
        self._headers = {"Authorization": f"Bearer {key}"}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def guess(self, code="0000-0000-0000"):
        self.request("POST", path, json.dumps(unknown | {"code": code}), self._headers)
        with self.getresponse() as answer:
            answer.read()
            return answer.status


def let_a_minute_pass(app, sql):
    sql("UPDATE failed_attempts SET since = since - interval '1 minute'")
    let_a_second_pass(app)


def let_a_second_pass(app):
    app.extensions["throttle"].renewed_at = time.monotonic() - throttle.renewed_after_seconds


def let_no_second_pass(app):
    app.extensions["throttle"].renewed_at = time.monotonic() + 60


@pytest.fixture
def other_worker(database_url, key):
    """Return a client of an application with a memory of its own on the same database."""
    other = create_app(config(database_url))
    yield open_shop(other, key)
    with other.app_context():
        db.engine.dispose()


def test_a_customer_may_guess_wrong_ten_times_a_minute_and_then_not_even_right(
    app, client, make, sql
):
    code = make.voucher()
    let_no_second_pass(app)  # a worker knows its own at once, and need not ask
    assert [guess(client) for _ in range(10)] == [wrong] * 10
    assert guess(client, code) == slowed
    assert guess(client) == slowed
    assert guess(client, code, path="/vouchers/hold") == slowed
    assert guess(client, code, path="/vouchers/check") == slowed
    make.customer(ben)
    assert guess(client, make.voucher(ben), ben)[0] == 201
    let_a_minute_pass(app, sql)
    assert [guess(client) for _ in range(11)] == [wrong] * 10 + [slowed]
    let_a_minute_pass(app, sql)
    assert guess(client, code)[0] == 201


def test_the_minute_begins_with_the_first_wrong_guess(client, make, sql):
    make.customer()
    guess(client)
    sql("UPDATE failed_attempts SET since = since - interval '30 seconds'")
    guess(client)
    assert (
        sql("SELECT failed_count, now() - since > interval '29 s' FROM failed_attempts")
        == [(2, True)] * 2
    )


def test_failed_attempts_that_another_worker_counted_are_known_a_second_later(
    app, client, make, other_worker
):
    code = make.voucher(max_redemptions=2)
    assert guess(client, code)[0] == 201
    assert [guess(other_worker) for _ in range(10)] == [wrong] * 10
    let_a_second_pass(app)
    assert guess(client, code) == slowed


def test_a_worker_that_sees_a_guess_too_many_knows_it_at_once(app, client, make, other_worker):
    code = make.voucher()
    assert guess(client) == wrong
    let_no_second_pass(app)
    assert [guess(other_worker) for _ in range(9)] == [wrong] * 9
    assert [guess(client), guess(client, code)] == [slowed, slowed]


def test_a_worker_still_knows_its_own_failed_attempts_after_it_asked_for_the_others(
    app, client, make
):
    make.customer()
    guess(client)
    let_a_second_pass(app)
    guess(client, path="/vouchers/check")
    let_a_second_pass(app)
    make.customer(ben)
    guess(client, make.voucher(ben), ben)
    assert len(app.extensions["throttle"].subjects()) == 2


def counted(failed):
    return SimpleNamespace(subject=throttle.digest("ana"), failed_count=failed, left=60)


@pytest.mark.parametrize("asked", [[], [throttle.digest("ana")]], ids=["counted", "asked for"])
def test_a_count_that_comes_late_does_not_undo_a_later_one(asked):
    memory = throttle.RecentAttempts()
    for failed in (3, 2):
        memory.learn([counted(failed)], asked)
    with pytest.raises(TooManyFailedAttempts), throttle.Guess(memory, {"ana": 3}):
        pass


@pytest.mark.parametrize("failed", [0, 1, 2])
def test_no_more_guesses_are_at_work_than_may_be_wrong(monkeypatch, failed):
    monkeypatch.setattr(throttle, "longest_wait_seconds", 0.01)
    memory = throttle.RecentAttempts()
    memory.learn([counted(failed)])
    for _ in range(2):
        with ExitStack() as stack:
            for _ in range(3 - failed):
                stack.enter_context(throttle.Guess(memory, {"ana": 3}))
            with pytest.raises(DatabaseUnavailable):
                stack.enter_context(throttle.Guess(memory, {"ana": 3}))


def test_a_guess_goes_on_as_soon_as_the_one_before_is_decided(monkeypatch):
    monkeypatch.setattr(throttle, "longest_wait_seconds", most_seconds)
    memory = throttle.RecentAttempts()

    def wait():
        with throttle.Guess(memory, {b"ana": 1}):
            return True

    with ThreadPoolExecutor(1) as pool:
        with throttle.Guess(memory, {b"ana": 1}):
            waiting = pool.submit(wait)
            with pytest.raises(TimeoutError):
                waiting.result(0.1)
        assert waiting.result(most_seconds / 2)


def test_a_key_guesses_wrong_as_often_as_it_may_for_all_customers_together(
    app, client, make, monkeypatch
):
    monkeypatch.setitem(app.config, "FAILED_ATTEMPTS_PER_KEY", 3)
    people = [make.customer(f"c{number}@example.org") for number in range(5)]
    assert [guess(client, email=email) for email in people] == [wrong] * 3 + [slowed] * 2


def test_what_is_known_of_a_customer_ends_with_the_minute(app, client, make, sql):
    code = make.voucher()
    assert [guess(client) for _ in range(9)] == [wrong] * 9
    sql("UPDATE failed_attempts SET since = now() - interval '10 seconds'")
    assert [guess(client), guess(client), guess(client, code)] == [wrong, slowed, slowed]
    let_no_second_pass(app)
    memory = app.extensions["throttle"]
    ends = [until - time.monotonic() for _, until in memory._failed.values()]
    assert 0 < min(ends) <= max(ends) <= 50
    memory._failed = {key: (count, until - 50) for key, (count, until) in memory._failed.items()}
    assert guess(client, code)[0] == 201


def test_the_answer_says_how_long_to_wait(client, make, sql):
    make.customer()
    for _ in range(10):
        guess(client)
    answer = client.post(path, json={"code": "0000-0000-0000", "email": ana})
    [(left,)] = sql("SELECT min(extract(epoch FROM since - now())) + 60 FROM failed_attempts")
    assert left <= int(answer.headers["Retry-After"]) <= 60


def test_check_and_hold_count_as_guesses_too(client, make):
    make.customer()
    seen = [guess(client, path=f"/vouchers/{('check', 'hold')[n % 2]}") for n in range(12)]
    assert seen == [(200, "voucher_not_found"), wrong] * 5 + [slowed] * 2


def test_a_strangers_voucher_is_a_failed_attempt_and_a_used_up_one_is_not(client, make):
    make.customer(ben)
    code, used = make.voucher(), make.voucher(ben)
    assert guess(client, used, ben)[0] == 201
    assert {guess(client, used, ben) for _ in range(15)} == {(409, "voucher_already_redeemed")}
    assert [guess(client, code, ben) for _ in range(11)] == [wrong] * 10 + [slowed]


def test_cleanup_forgets_the_counts_of_minutes_that_are_over(app, client, make, sql):
    make.customer()
    guess(client)
    app.test_cli_runner().invoke(args=["cleanup"])
    assert len(sql("SELECT * FROM failed_attempts")) == 2
    sql("UPDATE failed_attempts SET since = since - interval '1 minute'")
    app.test_cli_runner().invoke(args=["cleanup"])
    assert sql("SELECT * FROM failed_attempts") == []


def test_no_e_mail_and_no_code_is_stored_with_a_failed_attempt(client, make, sql):
    make.customer()
    guess(client, "SECRET-CODE-42")
    for_key, for_email = sql("SELECT failed_attempts::text FROM failed_attempts")
    for told in (ana, ana.split("@")[0], "SECRET-CODE-42", "SECRETC0DE42"):
        for kept in (told, told.encode().hex()):
            assert kept.lower() not in f"{for_key}{for_email}".lower()


@pytest.mark.parametrize(
    ("guesses", "limit", "workers"),
    [(200, 100, 2), pytest.param(10_000, 300, 4, marks=pytest.mark.fault)],
)
def test_over_all_workers_a_key_guesses_wrong_exactly_as_often_as_it_may(
    app, database_url, key, make, guesses, limit, workers
):
    limits = any_guesses | {"VOUCHERPOOL_FAILED_ATTEMPTS_PER_KEY": str(limit)}
    code = make.voucher()
    with app.app_context():
        other_key = apikeys.create("other", apikeys.scopes)
    with run_gunicorn(database_url, patient_app, workers=workers, **limits) as port:
        server, other = Server(port, key), Server(port, other_key)
        body = {"code": "0000-0000-0000", "email": ana}
        began = time.monotonic()
        with ThreadPoolExecutor(16) as pool:
            answers = pool.map(lambda _: server.post(path, body)[0], range(guesses))
        statuses, minutes = Counter(answers), 1 + (time.monotonic() - began) // 60
        assert statuses[404] + statuses[429] == guesses
        assert limit <= statuses[404] <= limit * minutes
        assert server.post(path, {"code": code, "email": ana})[0] == 429
        assert other.post(path, {"code": code, "email": ana})[0] == 201


def test_guesses_at_work_count_as_if_they_were_wrong_and_one_too_many_is_known_at_once(
    database_url, key, make, gate
):
    limit, workers = 3, 2
    settings = {"VOUCHERPOOL_FAILED_ATTEMPTS_PER_EMAIL": str(limit), "VOUCHERPOOL_THREADS": "64"}
    codes = [make.voucher() for _ in range(30)]
    with (
        run_gunicorn(database_url, patient_app, workers=workers, **settings) as port,
        ThreadPoolExecutor(64) as pool,
        ExitStack() as stack,
    ):
        server, wrong = Server(port, key), []
        with gate.closed("LOCK TABLE failed_attempts IN EXCLUSIVE MODE"):
            while gate.waiting() < workers * limit and len(wrong) < 60:
                wrong.append(pool.submit(server.post, path, unknown))
                time.sleep(0.02)
            right = pool.submit(server.post, path, unknown | {"code": codes[0]})
            with pytest.raises(TimeoutError):
                right.result(0.5)
            gate.until_waiting(workers * limit)
        assert right.result()[0] == 429
        statuses = Counter(guess.result()[0] for guess in wrong)
        assert statuses == Counter({404: limit, 429: len(wrong) - limit})
        connections = [stack.enter_context(Connected(port, key)) for _ in codes]
        # Each worker answers a guess on some of the connections, then a right one.
        assert {connection.guess() for connection in connections} == {429}
        assert set(map(Connected.guess, connections, codes)) == {429}

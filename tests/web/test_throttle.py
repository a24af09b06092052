"""Guessing of codes."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.builders import ana, ben
from tests.server import Server, run_gunicorn
from voucherpool.web import apikeys

path = "/vouchers/validate"


def guess(client, code="0000-0000-0000", email=ana, path=path):
    answer = client.post(path, json={"code": code, "email": email})
    return answer.status_code, answer.json.get("code") or answer.json.get("reason")


wrong = (404, "voucher_not_found")
slowed = (429, "too_many_failed_attempts")


def let_a_minute_pass(app, sql):
    sql("UPDATE misses SET since = since - interval '1 minute'")
    app.extensions["throttle"].renewed_at -= 1


def test_a_customer_may_guess_wrong_ten_times_a_minute_and_then_not_even_right(
    app, client, make, sql
):
    code = make.voucher()
    assert [guess(client) for _ in range(12)] == [wrong] * 10 + [slowed] * 2
    app.extensions["throttle"].renewed_at -= 1
    assert guess(client, code) == slowed
    assert guess(client, code, path="/vouchers/hold") == slowed
    assert guess(client, code, path="/vouchers/check") == slowed
    make.customer(ben)
    assert guess(client, make.voucher(ben), ben)[0] == 201
    let_a_minute_pass(app, sql)
    assert guess(client, code)[0] == 201


def test_the_answer_says_how_long_to_wait(client, make):
    make.customer()
    for _ in range(10):
        guess(client)
    answer = client.post(path, json={"code": "0000-0000-0000", "email": ana})
    assert 50 < int(answer.headers["Retry-After"]) <= 60


def test_check_and_hold_count_as_guesses_too(client, make):
    make.customer()
    seen = [guess(client, path=f"/vouchers/{('check', 'hold')[n % 2]}") for n in range(12)]
    assert seen == [(200, "voucher_not_found"), wrong] * 5 + [slowed] * 2


def test_a_strangers_voucher_is_a_miss_and_what_is_only_used_up_is_none(client, make):
    make.customer(ben)
    code, used = make.voucher(), make.voucher(ben)
    assert guess(client, used, ben)[0] == 201
    assert {guess(client, used, ben) for _ in range(15)} == {(409, "voucher_already_redeemed")}
    assert [guess(client, code, ben) for _ in range(11)] == [wrong] * 10 + [slowed]


def test_cleanup_forgets_the_counts_of_minutes_that_are_over(app, client, make, sql):
    make.customer()
    guess(client)
    app.test_cli_runner().invoke(args=["cleanup"])
    assert len(sql("SELECT * FROM misses")) == 2
    sql("UPDATE misses SET since = since - interval '1 minute'")
    app.test_cli_runner().invoke(args=["cleanup"])
    assert sql("SELECT * FROM misses") == []


def test_no_e_mail_and_no_code_is_stored_with_a_miss(client, make, sql):
    make.customer()
    guess(client)
    assert all(len(row.subject) == 32 for row in sql("SELECT subject FROM misses"))


@pytest.mark.parametrize(
    ("guesses", "workers"), [(600, 2), pytest.param(10_000, 4, marks=pytest.mark.fault)]
)
def test_over_all_workers_a_key_guesses_wrong_exactly_as_often_as_it_may(
    app, database_url, key, make, monkeypatch, guesses, workers
):
    monkeypatch.setenv("VOUCHERPOOL_MISSES_PER_EMAIL", "1000000")
    code = make.voucher()
    with app.app_context():
        other_key = apikeys.create("other", apikeys.scopes)
    with run_gunicorn(database_url, workers=workers) as port:
        server, other = Server(port, key), Server(port, other_key)
        body = {"code": "0000-0000-0000", "email": ana}
        with ThreadPoolExecutor(16) as pool:
            statuses = pool.map(lambda _: server.post(path, body)[0], range(guesses))
        assert Counter(statuses) == Counter({404: 300, 429: guesses - 300})
        assert server.post(path, {"code": code, "email": ana})[0] == 429
        assert other.post(path, {"code": code, "email": ana})[0] == 201

"""Guessing of codes."""

import hashlib
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from tests.builders import ana, ben
from tests.conftest import config
from tests.erasure.test_erasure import dumped
from tests.patience import most_seconds
from tests.server import Server, any_guesses, patient_app, run_gunicorn
from tests.shop import open_shop
from voucherpool import create_app
from voucherpool.apikeys import failed_attempts
from voucherpool.apikeys import service as apikeys
from voucherpool.database.model import db

path = "/vouchers/validate"
unknown = "0000-0000-0000"
guest = {"email": "guest@example.org", "create_customer": True}


def guess(client, code=unknown, email=ana, path=path, **more):
    answer = client.post(path, json={"code": code, "email": email, **more})
    return answer.status_code, answer.json.get("code") or answer.json.get("reason")


wrong = (404, "voucher_not_found")
slowed = (429, "too_many_failed_attempts")


def let_a_minute_pass(app, sql):
    sql("UPDATE failed_attempts SET since = since - interval '1 minute'")
    let_a_second_pass(app)


def let_a_second_pass(app):
    app.extensions["throttle"].renewed_at = time.monotonic() - failed_attempts.renewed_after_seconds


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
    assert sql("SELECT failed_count, now() - since > interval '29 s' FROM failed_attempts") == [
        (2, True)
    ]


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
    assert [guess(client), guess(client, code)] == [wrong, slowed]


def test_who_is_refused_stays_so_while_the_others_counts_are_read(app, client, make):
    code = make.voucher()
    assert [guess(client) for _ in range(10)] == [wrong] * 10
    for _ in range(2):
        let_a_second_pass(app)
        assert guess(client, code) == slowed


def test_what_is_known_of_a_customer_ends_with_the_minute(app, client, make, sql):
    code = make.voucher()
    assert [guess(client) for _ in range(9)] == [wrong] * 9
    sql("UPDATE failed_attempts SET since = now() - interval '10 seconds'")
    assert [guess(client), guess(client), guess(client, code)] == [wrong, slowed, slowed]
    let_no_second_pass(app)
    memory = app.extensions["throttle"]
    [(subject, until)] = memory._until.items()
    assert 0 < until - time.monotonic() <= 50
    memory._until[subject] = until - 50
    assert guess(client, code)[0] == 201


def test_the_answer_says_how_long_to_wait(client, make, sql):
    make.customer()
    for _ in range(10):
        guess(client)
    answer = client.post(path, json={"code": unknown, "email": ana})
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
    assert len(sql("SELECT * FROM failed_attempts")) == 1
    sql("UPDATE failed_attempts SET since = since - interval '1 minute'")
    app.test_cli_runner().invoke(args=["cleanup"])
    assert sql("SELECT * FROM failed_attempts") == []


def test_no_e_mail_and_no_code_is_stored_with_a_failed_attempt(client, make, sql):
    make.customer()
    guess(client, "SECRET-CODE-42")
    [(row,)] = sql("SELECT failed_attempts::text FROM failed_attempts")
    for told in (ana, ana.split("@")[0], "SECRET-CODE-42", "SECRETC0DE42"):
        for kept in (told, told.encode().hex()):
            assert kept.lower() not in row.lower()


@pytest.mark.parametrize(
    ("guesses", "limit", "workers"),
    [(90, 40, 2), pytest.param(10_000, 300, 4, marks=pytest.mark.long)],
)
def test_over_all_workers_a_key_passes_its_limit_by_no_more_than_their_threads(
    app, database_url, key, make, sql, guesses, limit, workers
):
    limits = any_guesses | {"VOUCHERPOOL_FAILED_ATTEMPTS_PER_KEY": str(limit)}
    code, threads = make.voucher(customer_id=None, max_redemptions=2), 4
    with app.app_context():
        other_key = apikeys.create("other", apikeys.scopes)
    limits["VOUCHERPOOL_THREADS"] = str(threads)
    with run_gunicorn(database_url, patient_app, workers=workers, **limits) as port:
        server, other = Server(port, key), Server(port, other_key)
        body = guest | {"code": unknown}
        assert server.post(path, body)[0] == 404
        sql("UPDATE failed_attempts SET since = now() + interval '1 hour'")  # one long minute
        with ThreadPoolExecutor(16) as pool:
            statuses = Counter(pool.map(lambda _: server.post(path, body)[0], range(guesses)))
        assert statuses[404] + statuses[429] == guesses
        assert limit <= 1 + statuses[404] <= limit + workers * threads
        assert server.post(path, guest | {"code": code})[0] == 429
        assert other.post(path, guest | {"code": code})[0] == 201


def test_a_visitor_has_ten_failed_attempts_whatever_e_mail_is_typed(app, client, make, sql):
    make.customer(ben)
    code = make.voucher(customer_id=None, max_redemptions=9)
    emails = [ana, ben, *(f"guest{number}@example.org" for number in range(8))]
    for email in emails:
        more = {"client_ref": "visitor", "create_customer": True}
        assert guess(client, email=email, **more) == wrong
    for path in ("/vouchers/redeem", "/vouchers/hold", "/vouchers/check"):
        assert guess(client, code, path=path, client_ref="visitor") == slowed
    let_a_minute_pass(app, sql)
    assert guess(client, code, client_ref="visitor")[0] == 201


def test_nobody_is_refused_for_what_a_visitor_typed_with_their_e_mail(client, make, sql):
    code = make.voucher(max_redemptions=9)
    assert [guess(client, client_ref="bot") for _ in range(11)] == [wrong] * 10 + [slowed]
    assert guess(client, code, client_ref="ana's-own-session")[0] == 201
    assert guess(client, code)[0] == 201
    assert sql("SELECT failed_count FROM failed_attempts") == [(10,)]


def test_a_key_over_its_limit_only_refuses_those_whom_nothing_tells_apart(
    app, client, make, monkeypatch
):
    monkeypatch.setitem(app.config, "FAILED_ATTEMPTS_PER_KEY", 3)
    code = make.voucher(customer_id=None, max_redemptions=9)
    guesses = [{**guest, "email": f"g{number}@example.org"} for number in range(4)]
    assert [guess(client, **each) for each in guesses] == [wrong] * 3 + [slowed]
    unnamed = {"/vouchers/redeem": guest, "/vouchers/hold": guest, "/vouchers/check": guest}
    for path, body in {**unnamed, "/vouchers/check ": {"email": None}}.items():
        assert guess(client, code, path=path.strip(), **body) == slowed
    assert guess(client, code)[0] == 201
    assert guess(client, code, path="/vouchers/check", email=None, client_ref="v") == (200, None)
    assert guess(client, code, client_ref="v", **guest)[0] == 201
    assert guess(client, code, email=guest["email"])[0] == 201


def test_the_failed_attempts_of_known_customers_and_named_visitors_are_not_the_keys(
    app, client, make, monkeypatch
):
    monkeypatch.setitem(app.config, "FAILED_ATTEMPTS_PER_KEY", 1)
    code = make.voucher(customer_id=None)
    people = [make.customer(f"c{number}@example.org") for number in range(3)]
    assert [guess(client, email=email) for email in people] == [wrong] * 3
    assert [guess(client, client_ref=f"v{n}", **guest) for n in range(3)] == [wrong] * 3
    assert guess(client, code, **guest)[0] == 201


def test_who_guesses_as_a_guest_makes_no_customer(client, make, sql):
    code = make.voucher(customer_id=None)
    foreign, over = make.voucher(), make.voucher(customer_id=None, days=-1)
    for route in ("redeem", "validate", "hold"):
        for wrong_one in (unknown, foreign):
            assert guess(client, wrong_one, path=f"/vouchers/{route}", **guest) == wrong
        assert guess(client, over, path=f"/vouchers/{route}", **guest) == (410, "voucher_expired")
    assert sql("SELECT email FROM customers") == [(ana,)]
    assert guess(client, code, **guest)[0] == 201
    assert sql("SELECT email FROM customers ORDER BY id") == [(ana,), (guest["email"],)]


def test_an_unknown_offer_is_a_failed_attempt_of_a_claim(client, make, sql):
    code = make.voucher(customer_id=None)

    def claim(offer_name="NO SUCH", **more):
        body = {"offer_name": offer_name, "client_ref": "visitor", **guest, **more}
        answer = client.post("/vouchers/claim", json=body)
        return answer.status_code, answer.json["code"]

    assert [claim() for _ in range(10)] == [(404, "offer_not_found")] * 10
    assert claim("KOI") == slowed
    assert sql("SELECT email FROM customers") == [(ana,)]
    sql("UPDATE offers SET ends_at = now()")
    assert claim("KOI", client_ref="other") == (409, "offer_not_active")
    sql("UPDATE offers SET ends_at = NULL")
    assert sql("SELECT email FROM customers") == [(ana,)]
    assert claim("KOI", client_ref="other") == (201, code)


@pytest.mark.parametrize("ref", ["", " ", "a b", "a" * 129, "\u00e4", 7])
@pytest.mark.parametrize("route", ["check", "hold", "redeem", "claim"])
def test_a_client_ref_has_visible_characters(client, make, route, ref):
    body = {"email": make.customer(), "client_ref": ref}
    body |= {"offer_name": "KOI"} if route == "claim" else {"code": unknown}
    answer = client.post(f"/vouchers/{route}", json=body)
    assert (answer.status_code, list(answer.json["errors"])) == (422, ["client_ref"])


def test_a_client_ref_is_kept_as_a_digest_that_only_the_api_key_can_make(
    app, client, make, sql, capfd
):
    ref, code = "session-4711", make.voucher(max_redemptions=9)
    headers = {"Idempotency-Key": "k"}
    assert client.redeem(code, client_ref=ref, headers=headers).status_code == 201
    assert client.redeem(unknown, client_ref=ref).status_code == 404
    [(digest,)] = sql("SELECT encode(subject, 'hex') FROM failed_attempts")
    assert digest != hashlib.sha256(ref.encode()).hexdigest()
    assert ref not in dumped(sql)
    assert ref not in "".join(capfd.readouterr())
    open_shop(app).redeem(unknown, client_ref=ref)
    assert len(sql("SELECT * FROM failed_attempts")) == 2


def test_a_repeat_gets_the_first_answer_from_another_session_too(client, make):
    code, headers = make.voucher(), {"Idempotency-Key": "k"}
    first = client.redeem(code, client_ref="morning", headers=headers)
    for more in ({"client_ref": "evening"}, {}):
        again = client.redeem(code, headers=headers, **more)
        assert (again.data, again.headers["Idempotent-Replayed"]) == (first.data, "true")


def test_who_is_over_the_limit_is_found_without_reading_the_others(explain, sql):
    sql(
        "INSERT INTO failed_attempts (subject, failed_count, attempt_limit)"
        " SELECT sha256(n::text::bytea), CASE WHEN n % 1000 = 0 THEN 10 ELSE 1 END, 10"
        " FROM generate_series(1, 5000) AS n"
    )
    sql("ANALYZE failed_attempts")
    plan = explain(failed_attempts.over_limit)
    assert "failed_attempts_over_limit_idx" in plan
    assert "rows=5" in plan
    assert "Rows Removed" not in plan


@pytest.mark.parametrize(
    ("honest", "guesses", "limit", "seconds"),
    [(20, 150, 50, 0), pytest.param(200, 6000, 300, 60, marks=pytest.mark.long)],
)
def test_honest_customers_redeem_while_a_bot_guesses_through_the_same_key(
    database_url, key, make, sql, honest, guesses, limit, seconds
):
    """The bot comes as a new guest each time, and every third time from a new session as well.

    The customers come when the key is over its limit: half of them are known, and the others are
    guests with sessions of their own.
    """
    known = [make.customer(f"known{number}@example.org") for number in range(honest // 2)]
    codes = [make.voucher(customer_id=None) for _ in range(honest)]
    [(before,)] = sql("SELECT count(*) FROM customers")
    key_is_over = Event()

    def bot(number):
        time.sleep(max(0, begun + number * seconds / guesses - time.monotonic()))
        body = {"code": unknown, "email": f"bot{number}@example.org", "create_customer": True}
        session = {} if number % 3 else {"client_ref": f"bot-{number}"}
        status, _ = server.post(path, body | session)
        if status == 429:
            key_is_over.set()
        return status

    def redeem(number):
        time.sleep(max(0, begun + number * seconds / honest - time.monotonic()))
        who = {"email": f"new{number}@example.org", "client_ref": f"session-{number}"}
        if number < len(known):
            who = {"email": known[number]}
        return server.redeem(codes[number], create_customer=True, **who)[0]

    with (
        run_gunicorn(
            database_url, patient_app, VOUCHERPOOL_FAILED_ATTEMPTS_PER_KEY=str(limit)
        ) as port,
        ThreadPoolExecutor(8) as bots,
        ThreadPoolExecutor(4) as people,
    ):
        server, begun = Server(port, key), time.monotonic()
        guessed = [bots.submit(bot, number) for number in range(guesses)]
        assert key_is_over.wait(most_seconds)
        redeemed = Counter(people.map(redeem, range(honest)))
        statuses = Counter(each.result() for each in guessed)
    assert redeemed == {201: honest}
    assert set(statuses) == {404, 429}
    assert sql("SELECT count(*) FROM customers") == [(before + honest - len(known),)]

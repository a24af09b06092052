"""Erasing a customer: nothing names the person any more, and the books stay."""

import hashlib
import json
from threading import Thread

import pytest
from sqlalchemy import text

from tests.builders import ana, ben, in_days
from tests.patience import most_seconds
from tests.server import at_once
from tests.shop import outcome
from voucherpool.apikeys import failed_attempts
from voucherpool.customers import service as customers
from voucherpool.database.model import db
from voucherpool.database.transactions import transaction
from voucherpool.erasure import service as erasure
from voucherpool.http.idempotency import stored_answers
from voucherpool.operations import integrity
from voucherpool.vouchers.checkout import refusals

given = "Ana.Ünal@Example.org"
name = "Ana Ünal-Öz"
former = ("Öz@example.org", "aUnal@example.org")
order = "order-1"


@pytest.fixture
def erase(client, sql):
    """Return a function that erases the customer with the e-mail and returns its id."""

    def run(email=ana):
        [customer] = client.get("/customers", query_string={"email": email}).json["items"]
        assert client.delete(f"/customers/{customer['id']}").status_code == 204
        return customer["id"]

    return run


@pytest.fixture
def dump(sql):
    """Return a function that returns the values of all rows of all tables as text."""
    return lambda: dumped(sql)


def dumped(sql):
    tables = sql("SELECT table_name FROM information_schema.tables WHERE table_schema='public'")
    values = "SELECT value FROM {} AS t, json_each_text(row_to_json(t))"
    found = [value for (table,) in tables for (value,) in sql(values.format(table))]
    return "\n".join(filter(None, found))


@pytest.fixture
def limit(sql):
    return lambda number: sql("UPDATE offers SET max_redemptions_per_customer = :n", n=number)


def traces(dump, *texts):
    """Return those of the texts that the dump holds in any spelling, as a digest or as bytes."""
    dump, found = dump.lower(), []
    for wanted in texts:
        for spelling in (wanted, json.dumps(wanted)[1:-1]):
            found += [spelling] if spelling.lower() in dump else []
        for hashed in (wanted.lower(), f"email {wanted.lower()}"):
            bits = hashed.encode()
            hidden = bits.hex(), hashlib.sha256(bits).hexdigest()
            found += [wanted for spelling in hidden if spelling in dump]
    return found


def post(client, path, body, key=None, method="POST"):
    headers = {"Idempotency-Key": key} if key else {}
    return client.open(path, method=method, json=body, headers=headers)


def live(client, make):
    """Let Ana leave traces wherever a customer can."""
    made = post(client, "/customers", {"email": given, "name": name}, "k1").json
    wanted = {"email": given, "offer_name": "KOI", "discount": 5, "expiry": in_days(1)}
    codes = [post(client, "/vouchers/generate", wanted, f"g{n}").json["code"] for n in range(4)]
    post(client, "/vouchers/generate", wanted | {"email": None})
    claim = {"email": given, "offer_name": "KOI", "claim_ref": "c-1"}
    assert post(client, "/vouchers/claim", claim, "c").status_code == 201
    asked = [{"code": code, "email": given.upper()} for code in codes]
    post(client, "/vouchers/hold", asked[0], "h")
    redemption = post(client, "/vouchers/validate", asked[1] | {"order_ref": order}, "v").json
    post(client, "/vouchers/validate", asked[1] | {"order_ref": "other"}, "refused")
    post(client, "/vouchers/validate", asked[2], "kept")
    for path in ("check", "validate"):
        post(client, f"/vouchers/{path}", {"code": "0000-0000-0000", "email": given})
    post(client, f"/redemptions/{redemption['redemption_id']}/reverse", {}, "r1")
    post(client, "/redemptions/reverse", {"order_ref": order}, "r2")
    for n, code in enumerate(codes):
        post(client, "/vouchers/disable", {"code": code}, f"d{n}")
        post(client, "/vouchers/lookup", {"code": code})
    for n, email in enumerate(former):
        change = {"email": email, "name": f"{name} {n}"}
        post(client, f"/customers/{made['id']}", change, f"p{n}", "PATCH")
        post(client, "/vouchers/enable", {"code": codes[0]}, f"e{n}")
    post(client, f"/customers/{made['id']}", {"email": given}, "p", "PATCH")
    return made, codes


def test_no_e_mail_and_no_name_is_left_anywhere(client, make, erase, dump):
    live(client, make)
    before, people = dump(), (given, name, *former)
    assert all(traces(before, text) for text in people)
    erase(given)
    assert traces(dump(), *people) == []


def test_the_books_stay(app, client, make, erase, sql):
    live(client, make)
    counts = "SELECT redemption_count, customer_id FROM vouchers ORDER BY issue_number"
    before = sql(counts), sql("SELECT r::text FROM redemptions r ORDER BY 1")
    erased = erase(given)
    assert (sql(counts), sql("SELECT r::text FROM redemptions r ORDER BY 1")) == before
    assert sql("SELECT customer_id, reversed_at FROM redemptions WHERE reversed_at IS NULL") == [
        (erased, None)
    ]
    with app.app_context():
        assert not any(integrity.breaches().values())


def test_what_showed_the_e_mail_shows_null(client, make, erase):
    _, codes = live(client, make)
    erase(given)
    [entry] = client.get(f"/redemptions?order_ref={order}").json["items"]
    assert (entry["email"], entry["order_ref"]) == (None, order)
    record = client.post("/vouchers/lookup", json={"code": codes[1]}).json
    shown = [record, *record["redemptions"], *record["refused_attempts"]]
    assert [each["email"] for each in shown] == [None, None, None]


def test_an_erased_customer_is_not_found(client, make, erase):
    code = make.voucher()
    path = f"/customers/{erase()}"
    patch = client.patch(path, json={"name": "Ana"})
    body = {"code": code, "email": ana, "offer_name": "KOI", "discount": 5, "expiry": in_days(1)}
    for answer in (
        client.get(path),
        patch,
        client.delete(path),
        client.get(f"/vouchers?email={ana}"),
        client.get(f"/redemptions?email={ana}"),
        client.redeem(code),
        client.hold(code),
        client.post("/vouchers/generate", json={**body, "code": "ANOTHER-ONE"}),
    ):
        assert (answer.status_code, answer.json["code"]) == (404, "customer_not_found")
    assert client.get("/customers").json["items"] == []
    assert client.get(f"/customers?email={ana}").json["items"] == []


def test_a_batch_for_all_customers_leaves_the_erased_out(client, make, erase, sql):
    make.voucher()
    [remaining] = client.get(f"/customers?email={make.customer(ben)}").json["items"]
    erase()
    batch = {"audience": "all_customers", "expiry": in_days(1)}
    assert client.post("/offers/1/batches", json=batch).json["requested"] == 1
    assert sql("SELECT customer_ids FROM batch_customers") == [([remaining["id"]],)]


def test_a_key_makes_erasing_repeatable(client, make):
    make.customer()
    for replayed in (None, "true"):
        answer = client.delete("/customers/1", headers={"Idempotency-Key": "k"})
        assert (answer.status_code, answer.data) == (204, b"")
        assert answer.headers.get("Idempotent-Replayed") == replayed


def test_who_comes_back_is_another_customer_without_a_history(client, make, erase, sql):
    code = make.voucher()
    client.redeem(make.voucher())
    old = erase()
    new = client.post("/customers", json={"email": ana}).json
    assert (new["name"], new["id"] != old) == (None, True)
    assert client.get(f"/vouchers?email={ana}").json == []
    assert client.get(f"/redemptions?email={ana}").json["items"] == []
    assert outcome(client.redeem(code)) == (404, "voucher_not_found")


def test_a_limit_forgets_what_was_redeemed_before_the_erasure(client, make, erase, limit, sql):
    codes = [make.voucher(customer_id=None) for _ in range(3)]
    limit(1)
    assert outcome(client.redeem(codes[0])) == (201, None)
    assert outcome(client.redeem(codes[1])) == (409, "customer_limit_reached")
    erase()
    make.customer()
    assert outcome(client.redeem(codes[1])) == (201, None)
    assert outcome(client.redeem(codes[2])) == (409, "customer_limit_reached")


def test_a_hold_ends_with_its_customer(app, client, make, erase):
    code = make.voucher(customer_id=None)
    make.customer(ben)
    assert client.hold(code).status_code == 201
    assert outcome(client.redeem(code, ben)) == (409, "voucher_held")
    erase()
    assert client.post("/vouchers/lookup", json={"code": code}).json["holds"] == []
    hold = client.hold(code, ben)
    assert hold.status_code == 201
    with app.app_context():
        assert not any(integrity.breaches().values())
    assert outcome(client.redeem(code, ben)) == (201, None)


def test_the_holds_of_others_stay(client, make, erase):
    code = make.voucher(customer_id=None, max_redemptions=2)
    for email in (ana, make.customer(ben)):
        assert client.post("/vouchers/hold", json={"code": code, "email": email}).status_code == 201
    erase()
    holds = client.post("/vouchers/lookup", json={"code": code}).json["holds"]
    assert [hold["email"] for hold in holds] == [ben]


def test_a_voucher_that_an_erased_customer_held_can_be_claimed(client, make, erase):
    code = make.voucher(customer_id=None)
    make.customer(ben)
    assert client.hold(code).status_code == 201
    claim = {"email": ben, "offer_name": "KOI"}
    assert client.post("/vouchers/claim", json=claim).json["code"] == "pool_empty"
    erase()
    assert client.post("/vouchers/claim", json=claim).json["code"] == code


def test_a_hold_that_slipped_in_ends_when_the_erasure_is_asked_for_again(client, make, erase, sql):
    make.voucher(customer_id=None)
    erased = erase()
    slip_in = "{" + f'"h": {{"customer": {erased}, "until": 9999999999}}' + "}"
    for ends in (
        lambda: client.delete(f"/customers/{erased}"),
        lambda: client.application.test_cli_runner().invoke(args=["cleanup"]),
    ):
        sql("UPDATE vouchers SET holds = CAST(:holds AS jsonb)", holds=slip_in)
        ends()
        assert sql("SELECT holds FROM vouchers") == [(None,)]


def test_erasing_does_not_deadlock_with_the_customers_redemptions(server, make, sql, client):
    codes = [make.voucher(customer_id=None, max_redemptions=9) for _ in range(8)]
    for code in codes:
        server.post("/vouchers/hold", {"code": code, "email": ana})
    [customer] = client.get(f"/customers?email={ana}").json["items"]

    def call(number):
        if number == 0:
            return server.send(f"/customers/{customer['id']}", None, "DELETE")[0]
        return server.redeem(codes[number % 8])[0]

    assert set(at_once(16, call)) <= {201, 204, 404}
    server.send(f"/customers/{customer['id']}", None, "DELETE")
    assert sql("SELECT count(holds) FROM vouchers") == [(0,)]


def test_a_repeat_keeps_its_answer_with_null_for_the_person(client, make, erase):
    body = {"email": ana, "name": "Ana"}
    first = post(client, "/customers", body, "k").json
    codes = [make.voucher(ana), make.voucher(ben)]
    for code, email in zip(codes, (ana, ben), strict=True):
        client.redeem(code, email, order_ref=order)
    ledger = post(client, "/redemptions/reverse", {"order_ref": order}, "r").json
    untouched = post(client, "/vouchers/enable", {"code": codes[1]}, "e").data
    erase()
    again = post(client, "/customers", body, "k")
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    assert again.json == first | {"email": None, "name": None}
    repeated = post(client, "/redemptions/reverse", {"order_ref": order}, "r").json
    ledger["items"][0]["email"] = None
    assert repeated == ledger
    assert repeated["items"][1]["email"] == ben
    assert post(client, "/vouchers/enable", {"code": codes[1]}, "e").data == untouched


def test_a_stored_answer_names_the_customers_whom_it_shows(client, make, sql):
    code = make.voucher(ana)
    make.customer(ben)
    schedule = {"name": "1", "offer_name": "KOI", "audience": [ben, ana], "valid_for": "7d"}
    schedule |= {"cron": "0 9 * * 1", "timezone": "UTC"}
    asked = {
        "two": ("/schedules", schedule, [ana, ben]),
        "one": ("/vouchers/disable", {"code": code}, [ana]),
        "new": ("/customers", {"email": "new@example.org"}, ["new@example.org"]),
        "none": ("/vouchers/enable", {"code": make.voucher(customer_id=None)}, []),
    }
    for key, (path, body, people) in asked.items():
        assert post(client, path, body, key).status_code < 300
        shown = "SELECT email FROM customers, idempotency_keys WHERE key = :key"
        shown += " AND id = ANY(customer_ids) ORDER BY email"
        assert [email for (email,) in sql(shown, key=key)] == people
    assert sql("SELECT count(*) FROM idempotency_keys WHERE customer_ids IS NULL") == [(1,)]


def test_of_an_audience_only_the_erased_go(client, make, erase):
    make.voucher()
    make.customer(ben)
    schedule = {"name": "1", "offer_name": "KOI", "audience": [ana, ben], "valid_for": "7d"}
    schedule |= {"cron": "0 9 * * 1", "timezone": "UTC"}
    assert post(client, "/schedules", schedule, "k").json["audience"] == [ana, ben]
    erase()
    assert post(client, "/schedules", schedule, "k").json["audience"] == [ben]


@pytest.mark.one_machine("reads the plan of one PostgreSQL")
def test_erasing_reads_only_the_answers_that_show_the_customer(app, client, make, sql, explain):
    make.customer()
    made = post(client, "/customers", {"email": ben}, "k").json
    sql(
        "INSERT INTO idempotency_keys (key, scope, fingerprint, status, body, customer_ids)"
        " SELECT 'k' || n, 'redeem', sha256(''), 201, '{\"email\":\"ana@example.org\"}',"
        " CASE WHEN n % 2 = 0 THEN '{1}'::bigint[] END FROM generate_series(1, 4000) AS n"
    )
    sql("ANALYZE idempotency_keys")
    plan = explain(stored_answers.keys_showing, ids=[made["id"]])
    assert "idempotency_keys_customer_ids_idx" in plan
    assert "Rows Removed" not in plan
    reads = "SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'idempotency_keys'"
    with app.app_context(), transaction():
        before = db.session.scalar(text(reads))
        erasure.erase(made["id"])
        assert db.session.scalar(text(reads)) == before
    assert post(client, "/customers", {"email": ben}, "k").json["email"] is None


def test_the_command_erases_asks_and_knows_no_strangers(app, make, sql):
    run = app.test_cli_runner().invoke
    make.customer()
    unknown = run(args=["customers", "erase", ben, "--yes"])
    assert (unknown.exit_code, unknown.output.count("\n")) == (1, 1)
    refused = run(args=["customers", "erase", ana], input="n\n")
    assert refused.exit_code == 1
    assert sql("SELECT email FROM customers") == [(ana,)]
    assert run(args=["customers", "erase", "ANA@example.org", "--yes"]).output == "Erased.\n"
    assert sql("SELECT email, name FROM customers WHERE erased_at IS NOT NULL") == [(None, None)]


@pytest.mark.parametrize("route", ["reverse", "disable"])
def test_an_answer_under_way_does_not_bring_the_e_mail_back(
    app, client, make, erase, dump, sql, route, monkeypatch
):
    """The write has read the e-mail, and the erasure comes before its answer is stored."""
    code = make.voucher()
    redemption = client.redeem(code).json
    path, body = {
        "reverse": (f"/redemptions/{redemption['redemption_id']}/reverse", {}),
        "disable": ("/vouchers/disable", {"code": code}),
    }[route]
    storable = app.extensions["redaction"]

    def erase_first(body):
        thread = Thread(target=erase)
        thread.start()
        thread.join(most_seconds)
        return storable(body)

    monkeypatch.setitem(app.extensions, "redaction", erase_first)
    assert post(client, path, body, "k").status_code == 200
    assert traces(dump(), ana) == []
    assert sql("SELECT status FROM idempotency_keys") == [(200,)]


def test_an_erasure_waits_for_the_answer_that_is_about_to_be_stored(
    app, client, make, erase, dump, gate, monkeypatch
):
    code, storable = make.voucher(), app.extensions["redaction"]

    def store_and_erase(body):
        text = storable(body)
        threads.append(Thread(target=erase))
        threads[0].start()
        gate.until_waiting(1)
        return text

    threads = []
    monkeypatch.setitem(app.extensions, "redaction", store_and_erase)
    answer = post(client, "/vouchers/disable", {"code": code}, "k")
    assert answer.json["email"] == ana
    threads[0].join(most_seconds)
    assert traces(dump(), ana) == []


@pytest.mark.parametrize("route", ["check", "validate"])
def test_a_failed_attempt_under_way_leaves_no_digest_of_the_e_mail(
    app, client, make, erase, dump, route, monkeypatch
):
    """The voucher is not found, and the erasure comes before the attempt is counted."""
    make.customer()
    threads = []

    def after_erasure(call):
        def run(*arguments):
            if not threads:
                threads.append(Thread(target=erase))
                threads[0].start()
                threads[0].join(most_seconds)
            return call(*arguments)

        return run

    monkeypatch.setattr(refusals, "record", after_erasure(refusals.record))
    monkeypatch.setattr(
        customers, "lock_against_erasure", after_erasure(customers.lock_against_erasure)
    )
    post(client, f"/vouchers/{route}", {"code": "0000-0000-0000", "email": ana})
    assert traces(dump(), ana) == []


def test_an_erasure_waits_for_the_failed_attempt_that_is_being_counted(
    client, make, erase, dump, gate, monkeypatch
):
    make.customer()
    count = failed_attempts.count

    def count_and_erase(*arguments):
        threads.append(Thread(target=erase))
        threads[0].start()
        gate.until_waiting(1)
        return count(*arguments)

    threads = []
    monkeypatch.setattr(failed_attempts, "count", count_and_erase)
    post(client, "/vouchers/check", {"code": "0000-0000-0000", "email": ana})
    threads[0].join(most_seconds)
    assert traces(dump(), ana) == []


def test_who_waits_for_the_erasure_finds_nobody(app, client, make, dump, gate):
    """A change and a second erasure that come while the first is under way."""
    make.customer()
    answers = {}

    def send(method):
        answers[method] = client.open("/customers/1", method=method, json={"name": "Ana"})

    threads = [Thread(target=send, args=[method]) for method in ("PATCH", "DELETE")]
    with app.app_context(), transaction():
        customers.lock(1)
        for thread in threads:
            thread.start()
        gate.until_waiting(len(threads))
        customers.make_anonymous(1)
    for thread in threads:
        thread.join(most_seconds)
    assert [answer.status_code for answer in answers.values()] == [404, 404]
    assert traces(dump(), ana, "Ana") == []


def test_the_database_refuses_half_an_erasure(app, make):
    make.customer()
    for half in ("erased_at = now()", "email = NULL", "erased_at = now(), email = NULL"):
        with app.app_context(), pytest.raises(Exception, match="customers_erased_at_check"):
            db.session.execute(text(f"UPDATE customers SET {half}"))

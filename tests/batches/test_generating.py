"""The vouchers of batches: as many as asked for, none twice, whatever happens."""

import re
from collections import Counter

import pytest

from tests.builders import ana, ben, end_connections, in_days
from tests.server import at_once
from voucherpool.batches import generating, service
from voucherpool.database import retries
from voucherpool.database.transactions import transaction
from voucherpool.operations import integrity, worker
from voucherpool.vouchers import codes


@pytest.fixture
def ask(client):
    """Return a function that asks for a batch and returns its address."""

    def post(name="KOI", **changes):
        made = client.post("/offers", json={"name": name, "discount": 22.1})
        offer = made.json.get("id") or client.get("/offers").json["items"][0]["id"]
        body = {"count": 3, "expiry": in_days(30)} | changes
        return client.post(f"/offers/{offer}/batches", json=body).headers["Location"]

    return post


@pytest.fixture
def work(app):
    """Return a function that does what a worker does, until there is nothing left to do."""

    def run(*_):
        with app.app_context():
            while worker.add_chunk_to_batch():
                pass

    return run


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(generating, "chunk_size", 100)


def planted(monkeypatch, *taken):
    """Let the generator make these codes first, and then good ones."""
    queue = [code.replace("-", "").encode() for code in taken]
    real = codes.random_characters

    def characters(count):
        made = [queue.pop(0) if queue else real(12) for _ in range(count // 12)]
        return b"".join(made)

    monkeypatch.setattr(codes, "random_characters", characters)


def test_a_batch_begins_before_its_first_voucher_and_ends_after_its_last(ask, work, sql):
    ask(count=250)
    work()
    [[in_order]] = sql("""
        SELECT bool_and(started_at <= vouchers.created_at AND vouchers.created_at < finished_at)
        FROM vouchers JOIN batches ON batches.id = batch_id""")
    assert in_order


def test_a_done_batch_has_the_vouchers_asked_for(ask, work, client, sql):
    path = ask(count=250, max_redemptions=7)
    work()
    batch = client.get(path).json
    assert (batch["state"], batch["created"], batch["error"]) == ("done", 250, None)
    assert batch["created_at"] <= batch["started_at"] <= batch["finished_at"]
    [counts] = sql(
        "SELECT count(*), count(DISTINCT code_key), min(max_redemptions), max(batch_id),"
        " count(customer_id), count(frozen_discount) FROM vouchers"
    )
    assert tuple(counts) == (250, 250, 7, batch["id"], 0, 0)


@pytest.mark.parametrize(
    ("code", "spelling", "normal"),
    [
        ({}, "X{4}-X{4}-X{4}", "X{12}"),
        ({"length": 10, "prefix": "oil"}, "oil-X{4}-X{4}-X{2}", "011X{10}"),
        ({"pattern": "KOI ##### - Lo#####"}, "KOI X{5} - LoX{5}", "K01X{5}10X{5}"),
        ({"pattern": "##########-UP"}, "X{10}-UP", "X{10}UP"),
    ],
)
def test_codes_have_the_spelling_asked_for_and_redeem(
    ask, work, client, make, sql, code, spelling, normal
):
    make.customer()
    ask(count=20, code=code)
    work()
    digit = f"[{codes.alphabet}]"
    for row in sql("SELECT code, code_key FROM vouchers"):
        assert re.fullmatch(spelling.replace("X", digit), row.code)
        assert re.fullmatch(normal.replace("X", digit), row.code_key)
        assert row.code_key == codes.normal_form(row.code)
    redeemed = client.redeem(row.code.lower())
    assert redeemed.status_code == 201


def test_a_frozen_discount_is_that_of_the_moment_in_which_the_batch_was_asked_for(
    ask, work, client, make, sql
):
    make.customer()
    ask(count=1, freeze_discount=True)
    sql("UPDATE offers SET discount = 50")
    work()
    [(code,)] = sql("SELECT code FROM vouchers")
    redeemed = client.redeem(code)
    assert redeemed.json["discount"] == 22.1


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("each", [1, 3, 250])
def test_each_of_the_customers_gets_as_many_as_asked_for(ask, work, make, sql, each):
    for email in (ana, ben, "cleo@example.org"):
        make.customer(email)
    ask(audience=[ben, ana], count=each)
    work()
    rows = sql(
        "SELECT email, count(*) FROM vouchers JOIN customers c ON c.id = customer_id GROUP BY 1"
    )
    assert dict(map(tuple, rows)) == {ana: each, ben: each}


def test_all_customers_are_those_of_the_moment_in_which_the_batch_was_asked_for(
    ask, work, make, client, sql
):
    count = service.page_size + 10
    sql(
        "INSERT INTO customers (email, email_key)"
        " SELECT e, e FROM (SELECT n || '@example.org' AS e FROM generate_series(1, :n) n) x",
        n=count,
    )
    sql("DELETE FROM customers WHERE id % 7 = 3")
    before = sql("SELECT count(*) FROM customers")[0][0]
    path = ask(audience="all_customers", count=1)
    make.customer("late@example.org")
    work()
    assert client.get(path).json["created"] == before
    assert sql("SELECT count(*), count(DISTINCT customer_id) FROM vouchers") == [(before, before)]


def test_codes_that_are_taken_are_left_out_and_topped_up(ask, work, make, sql, monkeypatch):
    taken = [make.voucher() for _ in range(3)]
    before = sql("SELECT * FROM vouchers ORDER BY code_key")
    twice = "AAAA-AAAA-AAAA"
    planted(monkeypatch, *[*taken, twice, twice] * 20)
    ask(audience=[ana, make.customer(ben)], count=20)
    work()
    added = sql("SELECT * FROM vouchers WHERE batch_id IS NOT NULL")
    names = {row.id: row.email for row in sql("SELECT * FROM customers")}
    assert Counter(names[row.customer_id] for row in added) == {ana: 20, ben: 20}
    assert "AAAAAAAAAAAA" in {row.code_key for row in added}
    left = "SELECT * FROM vouchers WHERE batch_id IS NULL ORDER BY code_key"
    assert sql(left) == before


@pytest.mark.usefixtures("small_chunks")
def test_many_workers_make_no_voucher_too_many(ask, work, client, sql):
    paths = [ask(count=count) for count in (950, 1010, 1)]
    at_once(4, work)
    assert [client.get(path).json["created"] for path in paths] == [950, 1010, 1]
    assert sql("SELECT count(*), count(DISTINCT code_key) FROM vouchers") == [(1961, 1961)]
    rows = sql("SELECT batch_id, count(*) FROM vouchers GROUP BY 1 ORDER BY 1")
    assert [row.count for row in rows] == [950, 1010, 1]


@pytest.mark.usefixtures("small_chunks")
def test_a_small_batch_does_not_wait_for_a_large_one(ask, app, client):
    large = ask(count=1000)
    with app.app_context():
        for _ in range(3):
            worker.add_chunk_to_batch()
    running = client.get(large).json
    assert (running["state"], running["created"]) == ("running", 300)
    assert running["rate"] > 0
    small = ask(count=10)
    with app.app_context():
        worker.add_chunk_to_batch()
    assert client.get(small).json["state"] == "done"


@pytest.fixture
def no_bad(sql):
    """Let PostgreSQL refuse codes that begin with BAD."""
    sql("ALTER TABLE vouchers ADD CONSTRAINT vouchers_bad_check CHECK (code_key !~ '^BADBADBAD')")
    yield
    sql("ALTER TABLE vouchers DROP CONSTRAINT vouchers_bad_check")


@pytest.mark.usefixtures("no_bad", "small_chunks")
@pytest.mark.one_machine("a cluster does not name the constraint")
def test_a_batch_that_cannot_be_fails_plainly_and_the_next_one_is_made(
    ask, work, client, sql, caplog
):
    bad, good = ask(count=300, code={"prefix": "BADBADBAD"}), ask(count=300)
    work()
    failed = client.get(bad).json
    assert (failed["state"], failed["created"]) == ("failed", 0)
    assert failed["error"] == "PostgreSQL refused the vouchers by vouchers_bad_check."
    assert failed["finished_at"] is not None
    assert "BAD" not in caplog.text
    assert client.get(good).json["state"] == "done"
    assert sql("SELECT count(*) FROM vouchers") == [(300,)]


@pytest.mark.usefixtures("small_chunks")
def test_a_failed_batch_goes_on_where_it_was_when_it_is_resumed(
    app, ask, work, client, sql, monkeypatch
):
    path = ask(count=300)
    with app.app_context():
        worker.add_chunk_to_batch()
        with monkeypatch.context() as broken:
            broken.setattr(codes, "random_characters", lambda count: 1 / 0)
            worker.add_chunk_to_batch()
    failed = client.get(path).json
    assert (failed["state"], failed["created"]) == ("failed", 100)
    assert failed["error"] == "ZeroDivisionError"
    with app.app_context(), transaction():
        service.resume(failed["id"])
    work()
    done = client.get(path).json
    assert (done["state"], done["created"], done["error"]) == ("done", 300, None)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("moment", ["before it writes", "after it wrote"])
def test_a_lost_connection_leaves_whole_chunks_and_fails_nothing(
    ask, app, work, client, sql, monkeypatch, caplog, moment
):
    path = ask(count=300)
    monkeypatch.setattr(retries, "longest_pause_seconds", 0.01)

    place, name = {
        "before it writes": (codes, "random_characters"),
        "after it wrote": (generating.counts, "count_issued"),
    }[moment]
    real = getattr(place, name)
    with app.app_context():
        worker.add_chunk_to_batch()
        with monkeypatch.context() as broken:
            broken.setattr(place, name, lambda *it, **of: end_connections(sql) or real(*it, **of))
            assert worker.attempt("batches", worker.add_chunk_to_batch, lambda: False) is False
    assert "trying again" in caplog.text
    assert client.get(path).json["created"] == 100
    work()
    assert client.get(path).json["state"] == "done"
    assert sql("SELECT count(*) FROM vouchers") == [(300,)]


def test_the_books_of_a_batch_are_right(ask, work, app):
    ask(count=10)
    work()
    with app.app_context():
        assert not any(integrity.breaches().values())


@pytest.mark.usefixtures("small_chunks")
def test_a_cancelled_batch_keeps_the_vouchers_that_it_has_issued(ask, app, work, client, sql):
    path = ask(count=250)
    with app.app_context():
        worker.add_chunk_to_batch()
    for _ in range(2):
        batch = client.post(f"{path}/cancel").json
        assert (batch["state"], batch["created"], batch["error"]) == ("cancelled", 100, None)
        assert batch["finished_at"] is not None
    work()
    assert sql("SELECT count(*) FROM vouchers") == [(100,)]
    with app.app_context():
        assert not any(integrity.breaches().values())


def test_a_done_batch_cannot_be_cancelled(ask, work, client):
    path = ask()
    work()
    answer = client.post(f"{path}/cancel")
    assert (answer.status_code, answer.json["code"]) == (409, "batch_finished")


def test_the_end_of_a_cancelled_batch_is_an_event(ask, client, sql):
    sql(
        "INSERT INTO webhooks (url, event_types, secret, active_from)"
        " VALUES ('http://example.org', ARRAY['batch.finished'], '', now())"
    )
    path = ask()
    client.post(f"{path}/cancel")
    client.post(f"{path}/cancel")
    [(data,)] = sql("SELECT data FROM events")
    assert data["batch"]["state"] == "cancelled"


def test_a_batch_without_expiry_may_say_how_long_its_vouchers_are_valid_once_claimed(
    ask, work, client, make, sql
):
    make.customer()
    path = ask(count=2, expiry=None, valid_for="P1M")
    assert client.get(path).json["valid_for"] == "P1M"
    work()
    rows = "SELECT DISTINCT expires_at::text, valid_for = interval '1 month' FROM vouchers"
    assert sql(rows) == [("infinity", True)]
    claimed = client.post("/vouchers/claim", json={"email": ana, "offer_name": "KOI"})
    assert claimed.json["expires_at"].endswith("T00:00:00Z")


@pytest.mark.parametrize("wrong", ["30d", "P", "P0D", "PT1H", "P1H", "-P1D", "P1000Y", "p1m", 30])
def test_a_time_from_the_claim_on_is_in_iso_8601(client, wrong):
    client.post("/offers", json={"name": "KOI", "discount": 22.1})
    body = {"count": 3, "expiry": None, "valid_for": wrong}
    answer = client.post("/offers/1/batches", json=body)
    assert (answer.status_code, list(answer.json["errors"])) == (422, ["valid_for"])


def test_only_the_pools_vouchers_are_valid_from_their_claim_on(client, make):
    make.customer()
    client.post("/offers", json={"name": "KOI", "discount": 22.1})
    body = {"audience": [ana], "expiry": None, "valid_for": "P1D"}
    answer = client.post("/offers/1/batches", json=body)
    assert (answer.status_code, list(answer.json["errors"])) == (422, ["valid_for"])

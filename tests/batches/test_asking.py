"""POST /offers/{id}/batches and what is read of batches."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from tests.builders import ana, ben, in_days
from voucherpool.batches import service
from voucherpool.database.transactions import transaction
from voucherpool.input.errors import InvalidInput


@pytest.fixture
def offer(client):
    terms = {"name": "KOI", "discount": 22.1}
    return client.post("/offers", json=terms).json["id"]


@pytest.fixture
def ask(client, offer):
    def post(key=None, **changes):
        headers = {"Idempotency-Key": key} if key else {}
        body = {"count": 3, "expiry": in_days(30)} | changes
        given = {name: value for name, value in body.items() if value is not None}
        return client.post(f"/offers/{offer}/batches", json=given, headers=headers)

    return post


def refused(answer):
    assert (answer.status_code, answer.json["code"]) == (422, "validation_failed")
    return answer.json["errors"]


def test_a_batch_that_is_asked_for_is_accepted_and_waits(client, ask, offer):
    answer = ask()
    assert answer.status_code == 202
    batch = answer.json
    assert answer.headers["Location"] == f"/batches/{batch['id']}"
    assert client.get(answer.headers["Location"]).json == batch
    waiting = {"offer_id": offer, "state": "pending", "requested": 3, "created": 0}
    nothing_yet = dict.fromkeys(("rate", "started_at", "finished_at", "error"))
    assert {name: batch[name] for name in (*waiting, *nothing_yet)} == waiting | nothing_yet


def test_a_repeat_with_the_same_idempotency_key_gets_the_same_batch(ask, sql):
    first, second = (
        ask("key", expiry="2099-01-01T00:00:00Z"),
        ask("key", expiry="2099-01-01T00:00:00Z"),
    )
    assert first.data == second.data
    assert first.headers["Location"] == second.headers["Location"]
    assert sql("SELECT count(*) FROM batches") == [(1,)]


unfinished = """
    INSERT INTO batches (offer_id, requested, expires_at, max_redemptions, pattern)
    SELECT 1, 5000000, now() + interval '1 day', 1, '############'
    FROM generate_series(1, :count)"""


def test_at_most_100_batches_are_unfinished(ask, client, sql):
    sql(unfinished, count=99)
    assert ask().status_code == 202
    refused = ask("key")
    assert (refused.status_code, refused.json["code"]) == (409, "too_many_batches")
    assert "100 batches" in refused.json["detail"]
    assert sql("SELECT count(*) FROM batches") == [(100,)]
    sql("UPDATE batches SET state = 'failed', error = 'x', finished_at = now() WHERE id = 1")
    assert ask("key").status_code == 202
    assert ask().status_code == 409


def test_requests_for_batches_that_race_leave_100_unfinished(server, offer, gate, sql):
    sql(unfinished, count=96)
    body = {"count": 3, "expiry": in_days(30)}
    answers = gate.race(
        lambda _: server.post(f"/offers/{offer}/batches", body),
        "LOCK TABLE batches IN SHARE MODE",
    )
    outcomes = Counter(status if status == 202 else answer["code"] for status, answer in answers)
    assert outcomes == {202: 4, "too_many_batches": 6}
    assert sql("SELECT count(*) FROM batches") == [(100,)]


def test_an_unknown_offer_or_batch_is_404(client):
    body = {"count": 1, "expiry": in_days(1)}
    for answer in (client.post("/offers/9/batches", json=body), client.get("/offers/9/batches")):
        assert (answer.status_code, answer.json["code"]) == (404, "offer_not_found")
    assert client.get("/batches/9").json["code"] == "batch_not_found"


def test_the_batches_of_an_offer_are_listed_page_by_page(client, ask, offer):
    ids = [ask().json["id"] for _ in range(3)]
    first = client.get(f"/offers/{offer}/batches?limit=2").json
    rest = client.get(f"/offers/{offer}/batches?limit=2&cursor={first['next']}").json
    assert [batch["id"] for batch in first["items"] + rest["items"]] == ids
    assert rest["next"] is None


@pytest.mark.parametrize(
    ("code", "pattern"),
    [
        (None, "####-####-####"),
        ({}, "####-####-####"),
        ({"length": 10}, "####-####-##"),
        ({"length": 32}, "-".join(["####"] * 8)),
        ({"prefix": "KOI"}, "KOI-####-####-####"),
        ({"prefix": "Koi-26 -", "length": 13}, "Koi-26-####-####-####-#"),
        ({"pattern": "KOI-####-####-##"}, "KOI-####-####-##"),
        ({"prefix": "K" * 32, "length": 32}, "K" * 32 + "-####" * 8),
        ({"pattern": "#" * 32 + "O" * 32}, "#" * 32 + "O" * 32),
    ],
)
def test_a_length_and_a_prefix_or_a_pattern_say_how_codes_are_spelt(ask, sql, code, pattern):
    assert ask(code=code).status_code == 202
    assert sql("SELECT pattern FROM batches") == [(pattern,)]


@pytest.mark.parametrize(
    "code",
    [
        *({"length": wrong} for wrong in (9, 33, 12.5, "12", True)),
        *({"prefix": wrong} for wrong in ("", "-", "KÖI", "KOI_", "K" * 33, "#", 1)),
        *(
            {"pattern": wrong}
            for wrong in ("KOI", "#" * 9, "#" * 33, "##########_", "#" * 10 + "é")
        ),
        {"pattern": "#" * 32 + "A" * 33},
        {"pattern": "#" * 10 + "-" * 55},
        {"pattern": "#" * 10, "length": 12},
        {"pattern": "#" * 10, "prefix": "KOI"},
        {"patern": "#" * 10},
        "##########",
    ],
)
def test_codes_that_cannot_be_are_422_and_named(ask, sql, code):
    assert list(refused(ask(code=code))) == ["code"]
    assert sql("SELECT * FROM batches") == []


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("count", [0, -1, 5_000_001, 1.5, "3", True]),
        ("expiry", [in_days(-1), "tomorrow", 1]),
        ("max_redemptions", [0, "1", 10**9 + 1]),
        ("freeze_discount", ["true", 1]),
        ("audience", ["everyone", [], {}, 1, ["not an e-mail"], [None], [ana, 1]]),
    ],
)
def test_a_wrong_field_is_422_and_named(ask, sql, field, wrong):
    for value in wrong:
        assert list(refused(ask(**{field: value}))) == [field], value
    assert sql("SELECT * FROM batches") == []


def test_the_pool_needs_a_count(ask):
    assert list(refused(ask(count=None))) == ["count"]


def test_customers_get_one_voucher_each_unless_a_count_says_more(ask, make):
    make.customer(ana)
    make.customer(ben)
    assert ask(audience="all_customers", count=None).json["requested"] == 2
    assert ask(audience=[ana], count=None).json["requested"] == 1
    assert ask(audience=[ana, ben], count=5).json["requested"] == 10
    assert ask(audience=[ana, ana.upper(), f" {ana}"], count=5).json["requested"] == 5


def test_unknown_customers_are_named_twenty_at_most(ask, make, sql):
    make.customer(ana)
    unknown = [f"nobody{number:02}@example.org" for number in range(25)]
    [reason] = refused(ask(audience=[ana, *unknown]))["audience"]
    assert [email in reason for email in unknown] == [True] * 20 + [False] * 5
    assert "5 more" in reason
    assert ana not in reason
    assert sql("SELECT * FROM batches") == []


def test_more_than_five_million_vouchers_in_all_are_refused(ask, make):
    make.customer(ana)
    make.customer(ben)
    assert list(refused(ask(audience=[ana, ben], count=2_500_001))) == ["count"]
    assert ask(audience=[ana, ben], count=2_500_000).json["requested"] == 5_000_000


def test_a_batch_for_all_of_no_customers_is_refused(ask, sql):
    assert list(refused(ask(audience="all_customers"))) == ["count"]
    assert sql("SELECT * FROM batches") == []


def test_a_batch_for_none_of_the_customers_is_not_for_all_of_them(app, offer, make, sql):
    make.customer(ana)
    expiry = datetime.now(UTC) + timedelta(days=1)
    with app.app_context(), pytest.raises(InvalidInput), transaction():
        service.create_for([], offer, expiry, "####-####-####")
    assert sql("SELECT * FROM batches") == []


def test_a_batch_that_is_to_be_announced_says_so(client, ask, sql):
    assert [ask(notify=wanted).json["notify"] for wanted in (True, False, None)] == [
        True,
        False,
        False,
    ]
    assert sql("SELECT announced FROM batches ORDER BY id") == [(True,), (False,), (False,)]


def test_a_batch_keeps_no_email(ask, make, sql):
    make.customer(ana)
    ask("key", audience=[ana])
    for table in ("batches", "batch_customers", "idempotency_keys"):
        assert ana not in str(sql(f"TABLE {table}"))


def test_errors_are_by_field_by_the_fields_of_an_object_and_by_the_places_of_a_list(ask):
    errors = ask(expiry="soon", code={"length": 9}, audience=[ana, "x"]).json["errors"]
    assert list(errors["code"]) == ["length"]
    assert list(errors["audience"]) == ["1"]
    assert [type(errors[name]) for name in ("expiry", "code", "audience")] == [list, dict, dict]

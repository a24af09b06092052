"""Vouchers without an expiry: they are valid until they are used, and the last of every list."""

import csv
from io import StringIO

import pytest

from tests.builders import ana, in_days
from voucherpool.operations import worker


@pytest.fixture
def generate(client, make):
    """Return a function that issues a voucher to Ana and returns its code."""
    make.customer()

    def post(expiry, **more):
        body = {"email": ana, "offer_name": "KOI", "discount": 22.1, "expiry": expiry} | more
        return client.post("/vouchers/generate", json=body).json["code"]

    return post


def test_a_null_expiry_is_none_in_every_answer(client, generate):
    code = generate(None)
    [listed] = client.get(f"/vouchers?email={ana}").json
    assert listed == {
        "code": code,
        "offer_name": "KOI",
        "discount": 22.1,
        "discount_type": "percentage",
        "expires_at": None,
    }
    checked = client.check(code).json
    assert (checked["redeemable"], "expires_at" in checked) == (True, False)
    record = client.post("/vouchers/lookup", json={"code": code}).json
    assert record["expires_at"] is None
    assert client.redeem(code).status_code == 201


def test_an_expiry_must_still_be_named(client, make):
    make.customer()
    body = {"email": ana, "offer_name": "KOI", "discount": 22.1}
    answer = client.post("/vouchers/generate", json=body)
    assert (answer.status_code, list(answer.json["errors"])) == (422, ["expiry"])


def test_it_is_the_last_of_the_list_and_of_its_pages(client, generate):
    first, last = generate(None), generate(None)
    soon = generate(in_days(3))
    later = generate("2199-12-31T23:59:59Z")
    assert client.listed() == [soon, later, first, last]
    seen, path = [], f"/vouchers?email={ana}&limit=1"
    while path:
        page = client.get(path)
        seen += [voucher["code"] for voucher in page.json]
        link = page.headers.get("Link")
        path = link and link[1 : link.index(">")]
    assert seen == [soon, later, first, last]


@pytest.mark.one_machine("a cluster takes one of the first 64")
def test_it_is_claimed_last(client, generate):
    never, soon = generate(None, email=None), generate(in_days(3), email=None)
    claims = [
        client.post("/vouchers/claim", json={"email": ana, "offer_name": "KOI"}).json
        for _ in range(2)
    ]
    assert [claim["code"] for claim in claims] == [soon, never]
    assert claims[1]["expires_at"] is None


def test_a_batch_without_expiry_exports_that_they_never_expire(app, client, sql):
    offer = client.post("/offers", json={"name": "KOI", "discount": 10}).json["id"]
    asked = client.post(f"/offers/{offer}/batches", json={"count": 2, "expiry": None})
    assert asked.status_code == 202
    with app.app_context():
        while worker.add_chunk_to_batch():
            pass
    with client.get(f"/batches/{asked.json['id']}/codes") as answer:
        rows = csv.DictReader(StringIO(answer.text))
    assert [row["expires_at"] for row in rows] == ["never", "never"]
    assert sql("SELECT DISTINCT expires_at::text FROM vouchers") == [("infinity",)]


def test_its_events_say_null(client, generate, sql):
    sql(
        "INSERT INTO webhooks (url, event_types, secret, active_from)"
        " VALUES ('http://example.org', ARRAY['voucher.issued'], '', now())"
    )
    generate(None)
    [(data,)] = sql("SELECT data FROM events")
    assert data["voucher"]["expires_at"] is None


def test_the_archive_never_takes_it_as_expired(app, client, generate, make, sql):
    generate(None)
    used = generate(None)
    client.redeemed(used)
    make.older(400)
    sql("UPDATE vouchers SET expires_at = 'infinity'")
    archive = ["vouchers", "archive", "--older-than", "90d"]
    assert "1 voucher" in app.test_cli_runner().invoke(args=archive).output
    assert sql("SELECT used_at FROM vouchers") == [(None,)]
    assert client.post("/vouchers/lookup", json={"code": used}).json["expires_at"] is None

"""Input that can only mean one thing is taken for it."""

import re
import uuid

import pytest

from tests.builders import ana, in_days
from tests.shop import outcome

moment = "2100-01-01T00:00:00+01:00"


def generate(client, **terms):
    return client.post(
        "/vouchers/generate", json={"email": ana, "offer_name": "KOI", "discount": 22.1, **terms}
    )


def test_expires_at_is_another_name_of_expiry(client, make, sql):
    make.customer(ana)
    assert generate(client, expires_at=moment).status_code == 201
    batch = {"count": 1, "expires_at": moment}
    assert client.post("/offers/1/batches", json=batch).status_code == 202
    rows = sql("SELECT expires_at FROM vouchers UNION SELECT expires_at FROM batches")
    assert [row.expires_at.isoformat() for row in rows] == ["2099-12-31T23:00:00+00:00"]


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"expiry": "tomorrow"}, "expiry"),
        ({"expiry": moment, "expires_at": moment}, "expires_at"),
        ({}, "expiry"),
    ],
)
def test_a_wrong_moment_is_named_as_the_request_names_it(client, make, terms, field):
    make.customer(ana)
    answer = generate(client, **terms)
    assert (*outcome(answer), list(answer.json["errors"])) == (422, "validation_failed", [field])


def test_the_plus_of_an_offset_may_stand_bare_in_a_query(client, make, sql):
    make.voucher()
    path = f"/offers/1/imports?expiry={moment}"
    answer = client.post(path, data="code\nSUMMER-1\n", content_type="text/csv")
    assert answer.status_code == 201, answer.text
    [row] = sql("SELECT expires_at FROM vouchers WHERE code = 'SUMMER-1'")
    assert row.expires_at.isoformat() == "2099-12-31T23:00:00+00:00"


def test_an_e_mail_with_a_bare_plus_in_a_query_is_refused_with_what_to_write(client):
    answer = client.get("/vouchers?email=ana+shop@example.org")
    assert outcome(answer) == (422, "validation_failed")
    assert answer.json["errors"]["email"][-1] == "In a query, write + as %2B."
    assert outcome(client.get("/vouchers?email=ana%2Bshop@example.org"))[0] == 404
    assert len(client.get("/vouchers?email=ana").json["errors"]["email"]) == 1


@pytest.mark.parametrize(
    "path",
    [
        "/vouchers?email=+{}",
        "/vouchers?email=%20+{}",
        "/vouchers?email={}+",
        "/vouchers?limit=1&email=+{}",
        "/customers?email=+{}",
        "/redemptions?email=+{}",
        "/redemptions?order_ref=+{}",
    ],
)
def test_a_plus_that_became_a_blank_and_would_be_trimmed_is_refused(client, make, path):
    """A + in front is another customer's e-mail."""
    make.voucher(ana)
    answer = client.get(path.format(ana))
    assert outcome(answer) == (422, "validation_failed")
    assert list(answer.json["errors"].values()) == [["In a query, write + as %2B."]]


def test_a_blank_inside_of_a_reference_may_be_written_as_a_plus(client, make):
    client.redeem(make.voucher(), order_ref="order 1")
    for written in ("order+1", "order%201", "%20order+1%20"):
        assert len(client.get(f"/redemptions?order_ref={written}").json["items"]) == 1


@pytest.mark.parametrize(
    "path", ["/vouchers?email=caf%E9@example.org", "/redemptions?order_ref=%FF"]
)
def test_a_query_that_is_not_utf_8_names_no_other_value(client, path):
    answer = client.get(path)
    assert outcome(answer) == (422, "validation_failed")
    assert list(answer.json["errors"].values()) == [["Must be UTF-8, percent-encoded."]]


def test_a_byte_order_mark_before_json_is_ignored(client, make):
    body = b'\xef\xbb\xbf{"code":"' + make.voucher().encode() + b'","email":"ana@example.org"}'
    assert client.post("/vouchers/check", data=body).json["redeemable"]


def test_null_is_absent_wherever_a_field_is_optional(app, client, make):
    """Each route that takes a body, with null for all its optional fields."""
    make.voucher(code="SUMMER-1")
    client.post("/offers", json={"name": "TEN", "discount": 10})
    known = {"code": "SUMMER-1", "email": ana, "offer_name": "KOI", "discount": 22.1}
    known |= {"expiry": moment, "name": "NEW", "cron": "0 9 * * 1", "timezone": "UTC", "count": 1}
    known |= {"audience": "pool", "valid_for": "1d", "since": "2026-01-01", "order_ref": "order 1"}
    known |= {"hold_id": str(uuid.uuid4()), "url": "https://example.org", "event_types": ["x"]}
    bodies = list(null_bodies(client.get("/openapi.json").json, known))
    assert len(bodies) > 15
    for method, path, body in bodies:
        answer = client.open(path, method=method, json=body, buffered=True)
        assert "null" not in answer.text.partition("errors")[2], (path, answer.text)


def null_bodies(document, known):
    """Yield method, path and body of each operation whose body may leave fields out."""
    for path, methods in document["paths"].items():
        for method in ("post", "patch", "put"):
            content = methods.get(method, {}).get("requestBody", {}).get("content", {})
            if "application/json" in content:
                name = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
                schema = document["components"]["schemas"][name]
                needed = {field: known[field] for field in schema.get("required", [])}
                body = dict.fromkeys(schema["properties"]) | needed
                yield method, re.sub("{[a-z]+_id}", "2", path), body


def test_null_beside_its_other_name_is_absent(client, make, sql):
    make.customer(ana)
    for terms in ({"expiry": None, "expires_at": moment}, {"expiry": moment, "expires_at": None}):
        assert generate(client, **terms).status_code == 201
    assert generate(client, expiry=None, expires_at=None).status_code == 201
    rows = sql("SELECT isfinite(expires_at) AS ends FROM vouchers ORDER BY issue_number")
    assert [row.ends for row in rows] == [True, True, False]


def test_null_has_its_meaning_where_it_has_one(client, make):
    make.voucher()
    terms = {"max_redemptions_per_customer": 3, "name": "SPRING"}
    assert client.patch("/offers/1", json=terms).status_code == 200
    cleared = client.patch("/offers/1", json=dict.fromkeys(terms)).json
    assert (cleared["name"], cleared["max_redemptions_per_customer"]) == ("SPRING", None)


def test_amounts_may_be_decimal_strings(client, make):
    make.customer(ana)
    code = generate(client, discount="22.1", expiry=in_days(1)).json["code"]
    checked = client.check(code, order_amount="59.90", currency="EUR").json
    assert (checked["discount"], checked["discount_amount"]) == (22.1, 13.24)
    terms = {"name": "TEN", "discount": "10.00", "discount_type": "fixed_amount", "currency": "EUR"}
    assert client.post("/offers", json=terms).json["discount"] == 10


def test_the_noise_of_a_double_is_not_read_as_decimals(client, make):
    checked = client.check(make.voucher(), order_amount=0.1 + 0.2, currency="EUR").json
    assert checked["redeemable"]


def test_an_end_before_the_beginning_is_refused_and_not_an_empty_answer(client):
    first, last = "2026-12-01", "2026-11-01"
    span = {"from": first, "to": last}
    for answer, begin, end in (
        (client.get("/stats", query_string=span), "from", "to"),
        (client.get("/audit-log", query_string=span), "from", "to"),
        (client.get("/audit-log/export", query_string=span), "from", "to"),
        (client.post("/redemptions/search", json=span), "from", "to"),
        (client.post("/redemptions/export", json=span), "from", "to"),
        (
            client.post("/vouchers/search", json={"expires_from": first, "expires_to": last}),
            "expires_from",
            "expires_to",
        ),
    ):
        assert answer.json["errors"] == {end: [f"Must not be before {begin}."]}


def test_a_body_that_is_no_object_is_told_so(client):
    for body in (b"null", b'["SUMMER-1"]', b'"SUMMER-1"'):
        answer = client.post("/vouchers/check", data=body)
        assert answer.json["errors"] == {"body": ["Must be a JSON object."]}

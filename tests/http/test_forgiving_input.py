"""Input that can only mean one thing is taken for it."""

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

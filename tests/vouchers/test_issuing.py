"""POST /vouchers/generate."""

import re

import pytest

from tests.builders import ana, in_days
from voucherpool.vouchers import codes

path = "/vouchers/generate"


def body(**changes):
    wanted = {"email": ana, "offer_name": "KOI", "discount": 22.1, "expiry": in_days(30)}
    return wanted | changes


def test_it_answers_a_code_that_redeems_for_the_discount(client, make):
    make.customer()
    answer = client.post(path, json=body())
    assert answer.status_code == 201
    assert re.fullmatch(r"([0-9A-HJKMNP-TV-Z]{4}-){2}[0-9A-HJKMNP-TV-Z]{4}", answer.json["code"])
    redeemed = client.post("/vouchers/validate", json=answer.json | {"email": ana})
    assert redeemed.status_code == 201
    assert redeemed.json["discount"] == 22.1


def test_it_makes_an_offer_of_a_new_name_and_overwrites_the_discount_of_a_known_one(
    client, make, sql
):
    make.customer()
    first = client.post(path, json=body(discount=10)).json["code"]
    client.post(path, json=body(discount=15.25))
    assert [str(row.discount) for row in sql("SELECT discount FROM offers")] == ["15.25"]
    followed = client.redeem(first)
    assert followed.json["discount"] == 15.25


def test_an_offer_keeps_its_row_untouched_while_its_discount_stays(client, make, sql):
    make.customer()
    client.post(path, json=body(discount=10))
    before = sql("SELECT xmin, xmax, ctid FROM offers")
    client.post(path, json=body(discount=10.00))
    assert sql("SELECT xmin, ctid FROM offers") == [(before[0].xmin, before[0].ctid)]


def test_an_unknown_customer_is_404_and_leaves_nothing(client, sql):
    answer = client.post(path, json=body(email="nobody@example.org"))
    assert (answer.status_code, answer.json["code"]) == (404, "customer_not_found")
    assert sql("SELECT * FROM offers") == []


def test_an_expiry_in_the_past_is_422_and_leaves_nothing(client, make, sql):
    make.customer()
    answer = client.post(path, json=body(expiry=in_days(-0.001)))
    assert (answer.status_code, answer.json["code"]) == (422, "validation_failed")
    assert "expiry" in answer.json["errors"]
    assert sql("SELECT * FROM offers") == []


@pytest.mark.parametrize("discount", [0.01, 1, 99.99, 100, 22.10])
def test_a_discount_of_up_to_100_percent_and_2_decimals_is_answered_as_given(
    client, make, discount
):
    make.customer()
    assert client.post(path, json=body(discount=discount)).status_code == 201
    [listed] = client.get("/vouchers", query_string={"email": ana}).json
    assert listed["discount"] == discount


def test_the_email_is_matched_trimmed_and_without_its_case(client, make):
    make.customer("Ana@Example.org")
    assert client.post(path, json=body(email="  aNA@eXample.ORG ")).status_code == 201


def test_a_code_that_is_taken_is_drawn_again(client, make, monkeypatch):
    taken = make.voucher()
    drawn = iter([taken, taken.lower(), "0000-0000-0001"])
    monkeypatch.setattr(codes, "generate", lambda: next(drawn))
    assert client.post(path, json=body()).json == {"code": "0000-0000-0001"}


def test_a_body_without_a_content_type_is_read_as_json(client, make):
    make.customer()
    text = f'{{"email":"{ana}","offer_name":"KOI","discount":5,"expiry":"{in_days(1)}"}}'
    for content_type in (None, "application/x-www-form-urlencoded", "text/plain"):
        assert client.post(path, data=text, content_type=content_type).status_code == 201


@pytest.mark.parametrize("content_type", ["multipart/form-data", "application/xml", "a/b+xml"])
def test_multipart_and_xml_are_415(client, content_type):
    answer = client.post(path, data="{}", content_type=content_type)
    assert (answer.status_code, answer.json["code"]) == (415, "unsupported_media_type")

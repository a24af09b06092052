"""The currency of an order beside its amount, and what it decides."""

from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text, update

from tests.builders import ana
from tests.shop import outcome
from voucherpool.database.model import db
from voucherpool.input.amounts import currency_decimals
from voucherpool.offers.models import Offer
from voucherpool.vouchers.eligibility import rules

amounts = st.decimals(0, 10**12, places=4)
percentages = st.decimals("0.01", 100, places=2)
caps = st.none() | st.decimals("0.0001", 10**9, places=4)


@pytest.fixture
def voucher(client, make, sql):
    """Return a function that makes an offer of the terms, and returns the code of a voucher."""

    def issue(**terms):
        code = make.voucher()
        answer = client.post("/offers", json={"name": code, "discount": 10} | terms)
        assert answer.status_code == 201, answer.json
        offer = {"offer": answer.json["id"], "code": code}
        sql("UPDATE vouchers SET offer_id = :offer WHERE code = :code", **offer)
        return code

    return issue


def test_an_order_in_another_currency_than_the_offers_is_refused(client, voucher, sql):
    terms = {"discount_type": "fixed_amount", "currency": "EUR"}
    assert client.redeem(voucher(**terms)).status_code == 201
    sql("TRUNCATE redemptions")
    code = voucher(**terms)
    order = {"order_amount": 5000, "currency": "JPY"}
    for answer in (client.redeem(code, **order), client.hold(code, **order)):
        assert outcome(answer) == (409, "currency_mismatch")
    assert client.check(code, **order).json["reason"] == "currency_mismatch"
    assert sql("SELECT FROM redemptions") == []
    assert client.redeem(code, order_amount=50, currency="EUR").json["discount_amount"] == 10


@pytest.mark.parametrize(
    "terms",
    [
        {"discount_type": "fixed_amount", "currency": "EUR"},
        {"min_order_amount": 5},
        {"max_discount_amount": 5},
    ],
)
def test_an_amount_needs_its_currency_where_the_offer_names_amounts(client, voucher, terms):
    code = voucher(**terms)
    answers = (client.redeem(code, order_amount=50), client.hold(code, order_amount=50))
    for answer in answers:
        assert outcome(answer) == (422, "currency_required")
    assert client.check(code, order_amount=50).json["reason"] == "currency_required"
    assert client.hold(code).status_code == 201
    optional = voucher(**terms, currency_optional=True)
    assert client.redeem(optional, order_amount=50).status_code == 201
    assert client.redeem(code, order_amount=50, currency="EUR").status_code == 201


def test_a_percentage_needs_no_currency(client, voucher):
    assert client.redeem(voucher(currency="EUR"), order_amount=50).json["currency"] == "EUR"
    assert "currency" not in client.redeem(voucher(), order_amount=50).json


def test_a_percentage_is_rounded_by_the_currency_of_the_order(client, voucher):
    rounded = {None: 10.01, "EUR": 10.01, "JPY": 10, "KWD": 10.006}
    code = voucher()
    for currency, amount in rounded.items():
        checked = client.check(
            code, order_amount=100.056, **{"currency": currency} if currency else {}
        )
        assert (checked.json.get("currency"), checked.json["discount_amount"]) == (currency, amount)


def test_a_cap_of_no_currency_is_cut_to_the_orders_minor_unit(client, voucher):
    code = voucher(max_discount_amount=9.99)
    assert client.check(code, order_amount=5000, currency="JPY").json["discount_amount"] == 9


def test_the_ledger_and_the_statistics_keep_the_orders_currency(client, make, audit):
    for currency in ("EUR", "JPY", "EUR"):
        redeemed = client.redeemed(make.voucher(), order_amount=100, currency=currency)
        assert redeemed["currency"] == currency
    assert client.get("/offers/1/stats").json["discounted"] == [
        {"currency": "EUR", "amount": 44.2},
        {"currency": "JPY", "amount": 22},
    ]
    audit()


def test_a_repeat_of_an_order_in_another_currency_is_409(client, voucher):
    code = voucher()
    order = {"order_ref": "A-1", "order_amount": 50}
    first = client.redeem(code, **order, currency="EUR")
    assert client.redeem(code, **order, currency="EUR").data == first.data
    assert outcome(client.redeem(code, **order, currency="JPY")) == (409, "order_mismatch")


def test_an_unknown_currency_is_422(client, make):
    answer = client.redeem(make.voucher(), order_amount=50, currency="XXX")
    assert (answer.status_code, list(answer.json["errors"])) == (422, ["currency"])


def test_an_offer_can_get_a_currency_once(client):
    offer = client.post("/offers", json={"name": "KOI", "discount": 10}).json
    path = f"/offers/{offer['id']}"
    assert client.patch(path, json={"currency": "JPY"}).json["currency"] == "JPY"
    assert client.patch(path, json={"currency": "JPY"}).status_code == 200
    refused = client.patch(path, json={"currency": "EUR"})
    assert (refused.status_code, list(refused.json["errors"])) == (422, ["currency"])
    cap = client.patch(path, json={"max_discount_amount": 5.5})
    assert (cap.status_code, list(cap.json["errors"])) == (422, ["max_discount_amount"])


def test_without_a_currency_an_order_is_rounded_by_the_one_that_the_offer_got(client, voucher):
    code = voucher(currency_optional=True)
    assert client.check(code, order_amount=1006).json["discount_amount"] == 100.6
    offer = client.get("/offers").json["items"][-1]["id"]
    assert client.patch(f"/offers/{offer}", json={"currency": "JPY"}).status_code == 200
    assert client.check(code, order_amount=1006).json["discount_amount"] == 101


def rounded(exact, decimals, mode):
    return exact.quantize(Decimal(1).scaleb(-decimals), mode)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(sorted(currency_decimals)), percentages, amounts, caps)
def test_all_amounts_are_rounded_as_decimal_arithmetic_does(
    database, currency, percent, order, cap
):
    decimals = currency_decimals[currency]
    wanted = rounded(order * percent / 100, decimals, ROUND_HALF_UP)
    for limit in (order, *filter(None, [cap])):
        wanted = min(wanted, rounded(limit, decimals, ROUND_DOWN))
    database.execute(update(Offer).values(max_discount_amount=cap))
    values = {"percent": percent, "order_amount": order, "order_decimals": decimals}
    assert database.execute(amount_of_offer, values).scalar_one() == wanted


amount_of_offer = text(f"""
    SELECT {rules.discount_amount}
    FROM offers, (SELECT CAST(:percent AS numeric) AS frozen_discount) AS vouchers""")


@pytest.fixture
def database(app, make):
    """Return a connection to a database with one offer."""
    make.voucher()
    with app.app_context(), db.engine.connect() as connection:
        yield connection


def test_a_locked_discount_is_not_overwritten_by_generating(client, make, sql):
    make.customer()
    client.post("/offers", json={"name": "KOI", "discount": 10, "discount_locked": True})
    issue = {"email": ana, "offer_name": "KOI", "expiry": "2090-01-01T00:00:00Z"}
    refused = client.post("/vouchers/generate", json=issue | {"discount": 11})
    assert outcome(refused) == (409, "offer_discount_differs")
    for more in ({}, {"discount": 10}):
        assert client.post("/vouchers/generate", json=issue | more).status_code == 201
    client.patch("/offers/1", json={"discount": 12})
    assert outcome(client.post("/vouchers/generate", json=issue | {"discount": 10}))[0] == 409
    client.patch("/offers/1", json={"discount_locked": False})
    assert client.post("/vouchers/generate", json=issue | {"discount": 10}).status_code == 201
    assert sql("SELECT discount FROM offers") == [(10,)]

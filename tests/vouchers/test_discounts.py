"""Discounts: their kinds, rounding, limits, windows and frozen discounts."""

from decimal import Decimal

import pytest

from tests.builders import ana, in_days


@pytest.fixture
def voucher(client, make, sql):
    """Return a function that makes an offer of the terms, and answers the code of a voucher."""

    def issue(**terms):
        code = make.voucher()
        answer = client.post(
            "/offers", json={"name": code, "discount": 10, "currency_optional": True} | terms
        )
        assert answer.status_code == 201
        offer = {"offer": answer.json["id"], "code": code}
        sql("UPDATE vouchers SET offer_id = :offer WHERE code = :code", **offer)
        return code

    return issue


def off(client, code, order_amount):
    """Return what a check says comes off an order."""
    return client.check(code, order_amount=order_amount).json["discount_amount"]


def test_a_percentage_comes_off_the_order_and_stands_in_the_ledger(client, voucher, sql):
    answer = client.redeem(voucher(discount=22.1), order_amount=80)
    assert answer.status_code == 201
    given = {name: answer.json[name] for name in ("discount", "discount_type", "discount_amount")}
    assert given == {"discount": 22.1, "discount_type": "percentage", "discount_amount": 17.68}
    [row] = sql("SELECT discount, order_amount, discount_amount FROM redemptions")
    assert row == (Decimal("22.1"), 80, Decimal("17.68"))


def test_a_fixed_amount_comes_off_the_order_in_its_currency(client, voucher, sql):
    code = voucher(discount=150.5, discount_type="fixed_amount", currency="EUR")
    [listed] = client.get("/vouchers", query_string={"email": ana}).json
    answer = client.redeem(code, order_amount=200)
    for given in (listed, answer.json):
        assert given["discount"] == 150.5
        assert (given["discount_type"], given["currency"]) == ("fixed_amount", "EUR")
    assert answer.json["discount_amount"] == 150.5
    assert sql("SELECT discount, discount_amount FROM redemptions") == [(150.5, 150.5)]


def test_without_an_order_amount_there_is_no_discount_amount(client, voucher, sql):
    answer = client.redeem(voucher())
    assert answer.status_code == 201
    assert "discount_amount" not in answer.json
    assert sql("SELECT order_amount, discount_amount FROM redemptions") == [(None, None)]


def test_half_a_minor_unit_is_rounded_up(client, voucher):
    for currency, below, half, up in [
        ("EUR", 10.04, 10.05, 1.01),
        ("JPY", 104, 105, 11),
        ("KWD", 1.004, 1.005, 0.101),
        (None, 10.04, 10.05, 1.01),
    ]:
        code = voucher(discount=10, currency=currency)
        assert off(client, code, below) < up
        assert off(client, code, half) == up


def test_a_discount_is_capped(client, voucher):
    code = voucher(discount=10, max_discount_amount=5)
    assert [off(client, code, amount) for amount in (49.9, 50, 50.1, 10**12)] == [4.99, 5, 5, 5]
    assert client.redeem(code, order_amount=200).json["discount_amount"] == 5


def test_a_cap_beyond_the_minor_unit_is_422(client):
    terms = {"name": "Cap", "discount": 10, "currency": "JPY", "max_discount_amount": 5.5}
    answer = client.post("/offers", json=terms)
    assert answer.status_code == 422
    assert list(answer.json["errors"]) == ["max_discount_amount"]


def test_no_more_comes_off_than_the_order_is_worth(client, voucher):
    code = voucher(discount=20, discount_type="fixed_amount", currency="EUR")
    assert [off(client, code, amount) for amount in (0, 19.99, 20, 21)] == [0, 19.99, 20, 20]
    assert client.redeem(code, order_amount=7.5).json["discount_amount"] == 7.5


def test_what_comes_off_an_order_of_parts_of_a_minor_unit_has_none(client, voucher):
    code = voucher(discount=100, discount_type="fixed_amount", currency="JPY")
    answer = client.check(code, order_amount=10.5)
    assert answer.status_code == 422 or answer.json["discount_amount"] == 10


def test_an_order_below_the_minimum_is_422_and_takes_nothing(client, voucher, sql):
    code = voucher(min_order_amount=50)
    for order in ({"order_amount": 49.99}, {"order_amount": 0}, {}):
        answer = client.redeem(code, **order)
        assert (answer.status_code, answer.json["code"]) == (422, "order_below_minimum")
        refused = {"redeemable": False, "reason": "order_below_minimum"}
        assert client.check(code, **order).json == refused
    assert sql("SELECT * FROM redemptions") == []
    assert client.redeem(code, order_amount=50).json["discount_amount"] == 5


def test_outside_of_the_offers_window_a_voucher_is_409_and_not_listed(client, voucher):
    for window in (
        {"starts_at": in_days(0.01)},
        {"ends_at": in_days(-0.01)},
        {"starts_at": in_days(-2), "ends_at": in_days(-1)},
    ):
        code = voucher(**window)
        answer = client.redeem(code)
        assert (answer.status_code, answer.json["code"]) == (409, "offer_not_active")
        assert client.check(code).json == {"redeemable": False, "reason": "offer_not_active"}
    assert client.get("/vouchers", query_string={"email": ana}).json == []


def test_inside_of_the_offers_window_a_voucher_redeems(client, voucher):
    code = voucher(starts_at=in_days(-0.01), ends_at=in_days(0.01))
    assert len(client.get("/vouchers", query_string={"email": ana}).json) == 1
    assert client.redeem(code).status_code == 201


def test_a_frozen_discount_ignores_what_becomes_of_the_offers(client, make, sql):
    make.customer()
    wanted = {"email": ana, "offer_name": "KOI", "discount": 10, "expiry": in_days(30)}
    following, frozen = (
        client.post("/vouchers/generate", json=wanted | {"freeze_discount": freeze}).json["code"]
        for freeze in (False, True)
    )
    client.post("/vouchers/generate", json=wanted | {"discount": 30})
    [[offer]] = sql("SELECT id FROM offers")
    assert client.patch(f"/offers/{offer}", json={"discount": 40}).status_code == 200
    listed = {
        voucher["code"]: voucher["discount"]
        for voucher in client.get("/vouchers", query_string={"email": ana}).json
    }
    for code, discount in ((following, 40), (frozen, 10)):
        assert listed[code] == discount
        assert client.check(code).json["discount"] == discount
        answer = client.redeem(code, order_amount=50)
        assert (answer.json["discount"], answer.json["discount_amount"]) == (
            discount,
            discount / 2,
        )

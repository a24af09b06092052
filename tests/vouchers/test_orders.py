"""order_ref: the same order redeems a voucher only once."""

import pytest

from tests.builders import ana, ben


@pytest.mark.parametrize("uses", [1, 2])
def test_the_same_order_redeems_once_and_is_answered_the_same(client, make, sql, uses):
    code = make.voucher(max_redemptions=uses)
    order = {"order_ref": "order-1", "order_amount": 99.5}
    first = client.redeem(code, **order)
    sql("UPDATE offers SET discount = 50")
    assert first.status_code == 201
    assert first.json["discount_amount"] == 21.99
    again = client.redeem(code, **order)
    assert (again.status_code, again.data) == (201, first.data)
    assert len(sql("SELECT * FROM redemptions")) == 1


def test_another_order_takes_another_use(client, make, sql):
    code = make.voucher(max_redemptions=2)
    for order in ("a", "b", "a", "b"):
        assert client.redeem(code, order_ref=order).status_code == 201
    assert len(sql("SELECT * FROM redemptions")) == 2


@pytest.mark.parametrize(
    "other",
    [
        {"email": ben, "order_amount": 10},
        {"order_amount": 11},
        {"order_amount": 10.01},
        {},
    ],
)
def test_the_same_order_with_another_customer_or_amount_is_409(client, make, sql, other):
    make.customer(ben)
    code = make.voucher(customer_id=None, max_redemptions=5)
    assert client.redeem(code, order_ref="o", order_amount=10).status_code == 201
    answer = client.redeem(code, order_ref="o", **other)
    assert (answer.status_code, answer.json["code"]) == (409, "order_mismatch")
    assert len(sql("SELECT * FROM redemptions")) == 1


def test_a_stranger_learns_nothing_of_the_order(client, make):
    make.customer(ben)
    code = make.voucher()
    client.redeem(code, order_ref="o")
    answer = client.redeem(code, ben, order_ref="o")
    assert (answer.status_code, answer.json["code"]) == (404, "voucher_not_found")


def test_an_order_that_gave_its_use_back_does_not_take_it_again(client, make, sql):
    code = make.voucher()
    client.redeem(code, order_ref="o")
    client.post("/redemptions/reverse", json={"order_ref": "o"})
    answer = client.redeem(code, order_ref="o")
    assert (answer.status_code, answer.json["code"]) == (409, "redemption_reversed")
    assert client.redeem(code, order_ref="o-2").status_code == 201


def test_the_amount_is_compared_as_a_number(client, make):
    code = make.voucher()
    first = client.redeem(code, order_ref="o", order_amount=10)
    again = client.post(
        "/vouchers/validate",
        data=f'{{"code":"{code}","email":"{ana}","order_ref":"o","order_amount":10.00}}',
    )
    assert (again.status_code, again.data) == (201, first.data)

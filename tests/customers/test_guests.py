"""create_customer: a request that names an unknown e-mail makes it a customer first."""

import pytest

from tests.builders import ana, in_days
from tests.server import at_once
from tests.shop import outcome

guest = "guest@example.org"
below_minimum = (422, "order_below_minimum")
issue = {"offer_name": "KOI", "discount": 22.1, "expiry": in_days(30)}


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("generate", issue),
        ("claim", {"offer_name": "KOI"}),
        ("hold", {}),
        ("redeem", {}),
        ("validate", {}),
    ],
)
def test_a_guest_becomes_a_customer_and_is_served(client, make, sql, route, body):
    code = make.voucher(customer_id=None)
    body = body or {"code": code}
    wanted = body | {"email": guest}
    assert outcome(client.post(f"/vouchers/{route}", json=wanted)) == (404, "customer_not_found")
    for create in (True, True, False):
        sql("UPDATE vouchers SET max_redemptions = 9, used_at = NULL")
        answer = client.post(f"/vouchers/{route}", json=wanted | {"create_customer": create})
        assert answer.status_code == 201 or route == "claim", answer.json
    assert sql("SELECT email FROM customers ORDER BY id") == [(ana,), (guest,)]


def test_the_first_order_of_a_guest_keeps_its_metadata(client, make):
    code = make.voucher(customer_id=None)
    body = {"code": code, "email": guest, "create_customer": True, "order_ref": "A-1"}
    answer = client.post("/vouchers/redeem", json=body | {"metadata": {"channel": "app"}})
    assert answer.status_code == 201, answer.json
    [redemption] = client.get("/redemptions?order_ref=A-1").json["items"]
    assert redemption["metadata"] == {"channel": "app"}


def test_a_guest_who_is_refused_is_no_customer(client, make, sql):
    foreign, code = make.voucher(), make.voucher(customer_id=None)
    sql("UPDATE offers SET min_order_amount = 30, currency = 'EUR'")
    body = {"email": guest, "create_customer": True, "order_amount": 20, "currency": "EUR"}
    for route in ("redeem", "hold"):
        for each, refusal in ((foreign, (404, "voucher_not_found")), (code, below_minimum)):
            answer = client.post(f"/vouchers/{route}", json=body | {"code": each})
            assert outcome(answer) == refusal
    assert sql("SELECT email FROM customers") == [(ana,)]


def test_a_guest_holds_a_voucher_before_the_order_has_an_amount(client, make, sql):
    code = make.voucher(customer_id=None)
    sql("UPDATE offers SET min_order_amount = 30, currency = 'EUR'")
    assert client.hold(code, guest, create_customer=True).status_code == 201
    redeem = {"email": guest, "create_customer": True, "order_amount": 30, "currency": "EUR"}
    assert client.redeem(code, **redeem).status_code == 201


def test_a_repeat_does_not_bring_an_erased_guest_back(client, make, sql):
    code, headers = make.voucher(customer_id=None), {"Idempotency-Key": "k"}
    for _ in range(2):
        answer = client.redeem(code, guest, create_customer=True, headers=headers)
        assert answer.status_code == 201
        client.delete("/customers/2")
    assert sql("SELECT email FROM customers ORDER BY id") == [(ana,), (None,)]


def test_an_unbound_voucher_is_issued_without_a_guest(client, make, sql):
    body = issue | {"email": None, "create_customer": True}
    assert client.post("/vouchers/generate", json=body).status_code == 201
    assert sql("SELECT email FROM customers") == []


def test_first_orders_at_once_make_one_customer(server, make, sql):
    code = make.voucher(customer_id=None, max_redemptions=50)
    body = {"code": code, "create_customer": True}
    answers = at_once(20, lambda _: server.post("/vouchers/redeem", {**body, "email": guest})[0])
    assert answers == [201] * 20
    assert sql("SELECT count(*) FROM customers WHERE email = :guest", guest=guest) == [(1,)]

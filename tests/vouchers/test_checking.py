"""POST /vouchers/check."""

from contextlib import nullcontext

import pytest
from sqlalchemy import text

from tests.builders import ana, ben, moved
from voucherpool.database.model import db
from voucherpool.database.transactions import transaction
from voucherpool.vouchers import schemas
from voucherpool.vouchers.checkout import checking
from voucherpool.vouchers.eligibility import rules
from voucherpool.vouchers.errors import OrderMismatch, RedemptionReversed

refusal_of = {refusal.code(): refusal for refusal in rules.refusals}


def content(sql):
    tables = ("vouchers", "offers", "customers", "redemptions")
    return {table: sql(f"SELECT * FROM {table} ORDER BY 1") for table in tables}


def test_it_answers_what_the_voucher_gives_and_until_when(client, make, sql):
    code = make.voucher(offer="KOI", discount="22.1")
    sql("UPDATE vouchers SET expires_at = '2199-04-21T18:25:43-05:00'")
    answer = client.check(code)
    assert answer.status_code == 200
    assert answer.json == {
        "redeemable": True,
        "offer_name": "KOI",
        "discount": 22.1,
        "discount_type": "percentage",
        "expires_at": "2199-04-21T23:25:43Z",
    }


def test_with_an_order_amount_it_answers_what_would_come_off(client, make):
    code = make.voucher(discount="22.1")
    assert client.check(code, order_amount=80).json["discount_amount"] == 17.68
    assert client.check(code, order_amount=0).json["discount_amount"] == 0
    order = {"code": code, "email": ana, "order_amount": 80}
    assert client.post("/vouchers/validate", json=order).json["discount_amount"] == 17.68


def test_it_changes_nothing(client, make, sql):
    make.customer(ben)
    good, used = make.voucher(max_redemptions=2), make.voucher()
    client.redeem(used)
    before = content(sql)
    assert [client.check(good).json["redeemable"] for _ in range(3)] == [True] * 3
    for code, email in ((used, ana), (good, ben), (good, "nobody@example.org")):
        assert client.check(code, email).json["redeemable"] is False
    assert content(sql) == before


ben_id = f"(SELECT id FROM customers WHERE email = '{ben}')"
hold_of_ben = (
    "jsonb_build_object('h',"
    f" jsonb_build_object('customer', {ben_id}, 'until', extract(epoch FROM now()) + 3600))"
)


refusals = [
    (404, "voucher_not_found", "DELETE FROM vouchers"),
    (404, "voucher_not_found", f"UPDATE vouchers SET customer_id = {ben_id}"),
    (
        409,
        "voucher_already_redeemed",
        "UPDATE vouchers SET redemption_count = 1, used_at = now()",
    ),
    (
        409,
        "redemption_limit_reached",
        "UPDATE vouchers SET max_redemptions = 2, redemption_count = 2, used_at = now()",
    ),
    (410, "voucher_expired", "UPDATE vouchers SET expires_at = now()"),
    (409, "voucher_disabled", "UPDATE vouchers SET disabled_at = now()"),
    (409, "offer_not_active", "UPDATE offers SET starts_at = now() + interval '1 minute'"),
    (409, "offer_not_active", "UPDATE offers SET ends_at = now(), starts_at = NULL"),
    (409, "voucher_held", f"UPDATE vouchers SET holds = {hold_of_ben}"),
    (
        409,
        "customer_limit_reached",
        "UPDATE offers SET max_redemptions_per_customer = 2;"
        " INSERT INTO customer_totals SELECT c.id, o.id, 2 FROM offers o, customers c",
    ),
    (409, "currency_mismatch", "UPDATE offers SET currency = 'JPY'"),
    (422, "order_below_minimum", "UPDATE offers SET currency = 'EUR', min_order_amount = 50.01"),
    (404, "customer_not_found", "UPDATE customers SET email_key = 'gone' || id"),
]


def test_the_reason_is_the_code_that_validate_answers(client, make, sql):
    make.customer(ben)
    for number, (status, reason, change) in enumerate(refusals):
        code = make.voucher(offer=f"offer {number}")  # which the changes before did not meet
        sql(change)
        order = {"code": code, "email": ana, "order_amount": 50, "currency": "EUR"}
        answer = client.post("/vouchers/check", json=order)
        assert answer.status_code == 200
        assert answer.json == {"redeemable": False, "reason": reason}
        refused = client.post("/vouchers/validate", json=order)
        assert (refused.status_code, refused.json["code"]) == (status, reason)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("vouchers SET expires_at = now()", "voucher_expired"),
        ("offers SET ends_at = now()", "offer_not_active"),
        ("offers SET starts_at = now()", None),
        (f"vouchers SET holds = {hold_of_ben.replace('3600', '0')}", None),
    ],
)
@pytest.mark.one_machine("on a cluster each machine has a now() of its own")
def test_what_ends_now_is_over_and_what_begins_now_has_begun(app, make, change, reason):
    make.customer(ben)
    code = make.voucher(customer_id=None)
    with app.app_context(), transaction():  # in which now() stands still
        db.session.execute(text(f"UPDATE {change}"))
        refused = nullcontext() if reason is None else pytest.raises(refusal_of[reason])
        with refused:
            checking.check(code, ana)


def test_another_customers_voucher_answers_exactly_like_an_unknown_code(client, make):
    make.customer(ben)
    code = make.voucher(ana)
    answers = [client.check(text, ben).data for text in (code, "0000-0000-0000", "ÄÖÜ!")]
    assert len(set(answers)) == 1


def test_without_an_email_an_unbound_voucher_is_checked_for_anybody(client, make, sql):
    unbound, bound = make.voucher(customer_id=None), make.voucher()
    for guest in ({}, {"email": None}, {"email": "new@example.org", "create_customer": True}):
        answers = [
            client.post("/vouchers/check", json={"code": code, **guest}).json
            for code in (unbound, bound, "0000-0000-0000")
        ]
        assert answers[0]["redeemable"] is True
        assert answers[1] == answers[2] == {"redeemable": False, "reason": "voucher_not_found"}
    client.hold(unbound)
    held = client.post("/vouchers/check", json={"code": unbound}).json
    assert held == {"redeemable": False, "reason": "voucher_held"}
    assert sql("SELECT email FROM customers") == [(ana,)]


def test_ones_own_hold_does_not_stand_in_the_way(client, make):
    code = make.voucher()
    assert client.hold(code).status_code == 201
    assert client.check(code).json["redeemable"] is True


def test_a_wrong_order_amount_is_422_and_named(client, make, sql):
    body = {"code": make.voucher(), "email": ana}
    for amount in (True, "5O", -0.01, 1.00001, 10**12 + 1, 10**30, [], {}):
        for route in ("check", "validate"):
            answer = client.post(f"/vouchers/{route}", json=body | {"order_amount": amount})
            assert (answer.status_code, answer.json["code"]) == (422, "validation_failed"), amount
            assert list(answer.json["errors"]) == ["order_amount"], amount
    assert sql("SELECT * FROM redemptions") == []


def test_an_order_amount_with_an_extreme_exponent_is_never_a_500(client, make, app):
    app.testing = False
    body = f'{{"code": "{make.voucher(max_redemptions=9)}", "email": "{ana}", "order_amount": X}}'
    for amount in ("1e-99999999999999999999", "0e99999999999999999999", "0e9999999999", "0e-16384"):
        for route in ("check", "validate"):
            answer = client.post(f"/vouchers/{route}", data=body.replace("X", amount))
            assert answer.status_code < 500, amount


orders = [
    {},
    {"order_ref": "other"},
    {"order_amount": 8},
    {"currency": "USD"},
    {"email": ben},
    {"email": "new@example.org", "create_customer": True},
]


@pytest.mark.parametrize("uses", [1, 3])
@pytest.mark.parametrize("changed", orders, ids=str)
@pytest.mark.parametrize("later", ["", "UPDATE offers SET discount = 50", "reverse", "archive"])
def test_a_check_of_an_order_answers_what_redeeming_would(
    app, client, make, sql, uses, changed, later
):
    make.customer(ben)
    code = make.voucher(customer_id=None, discount="22.1", max_redemptions=uses)
    order = {"code": code, "email": ana, "order_ref": "order-1", "order_amount": 7}
    order |= {"currency": "EUR"}
    client.post("/vouchers/redeem", json=order)
    if later == "reverse":
        client.post("/redemptions/reverse", json={"order_ref": "order-1"})
    elif later == "archive":
        sql(f"UPDATE vouchers SET expires_at = {moved('expires_at', -400)}")
        app.test_cli_runner().invoke(args=["vouchers", "archive", "--older-than", "90d"])
    elif later:
        sql(later)
    checked = client.post("/vouchers/check", json=order | changed).json
    known = sql("SELECT count(*) FROM customers")
    redeemed = client.post("/vouchers/redeem", json=order | changed)
    assert checked["redeemable"] == (redeemed.status_code == 201), redeemed.json
    if checked["redeemable"]:
        shared = checked.keys() & redeemed.json.keys()
        assert {name: checked[name] for name in shared} == {
            name: redeemed.json[name] for name in shared
        }
        assert shared == {"discount", "discount_type", "currency", "discount_amount"}
    else:
        assert checked["reason"] == redeemed.json["code"]
        assert sql("SELECT count(*) FROM customers") == known


def test_the_document_names_all_reasons():
    of_order = (*rules.order_refusals, OrderMismatch, RedemptionReversed)
    assert set(schemas.reasons) == {it.code() for it in (*rules.refusals, *of_order)}

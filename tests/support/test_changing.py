"""POST /vouchers/change: one voucher, under its lock."""

import pytest

from tests.builders import ana, ben, in_days
from tests.server import at_once
from tests.shop import outcome


@pytest.fixture
def change(client):
    """Return a function that changes a voucher."""

    def post(code, **terms):
        return client.post("/vouchers/change", json={"code": code, **terms})

    return post


def changed(answer, *names):
    assert answer.status_code == 200, answer.json
    return tuple(answer.json[name] for name in names)


def test_only_the_terms_that_are_given_change(change, make):
    code = make.voucher(max_redemptions=3)
    before = change(code, max_redemptions=4).json
    after = change(code.lower(), expires_at="2199-04-21T18:25:43-05:00").json
    for record in (before, after):
        del record["changes"]
    assert after == before | {"expires_at": "2199-04-21T23:25:43Z"}


def test_a_voucher_that_expired_is_extended_and_redeems(change, make, client):
    code = make.voucher(days=-1)
    assert outcome(client.redeem(code)) == (410, "voucher_expired")
    assert change(code, expiry=in_days(1)).status_code == 200
    assert client.redeem(code).status_code == 201


def test_an_expiry_can_be_taken_away_and_set_again(change, make):
    code = make.voucher()
    assert changed(change(code, expires_at=None), "expires_at") == (None,)
    assert changed(change(code, expires_at="2199-01-01T00:00:00Z"), "expires_at") == (
        "2199-01-01T00:00:00Z",
    )


def test_a_voucher_redeems_from_its_start_on(change, make, client, sql):
    code = make.voucher()
    change(code, starts_at=in_days(1))
    assert outcome(client.redeem(code)) == (409, "voucher_not_started")
    assert outcome(client.hold(code)) == (409, "voucher_not_started")
    assert client.check(code).json == {"redeemable": False, "reason": "voucher_not_started"}
    assert client.listed() == []
    sql("UPDATE vouchers SET starts_at = now()")
    assert client.listed() == [code]
    change(code, starts_at=None)
    assert client.redeem(code).status_code == 201


def test_a_start_is_before_the_expiry(change, make):
    code = make.voucher(days=3)
    answer = change(code, starts_at=in_days(4))
    assert answer.json["errors"] == {"starts_at": ["Must be before the expiry."]}
    change(code, starts_at=in_days(2))
    assert outcome(change(code, expires_at=in_days(1))) == (422, "validation_failed")
    assert change(code, starts_at=in_days(4), expires_at=in_days(5)).status_code == 200


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({}, "expiry"),
        ({"reason": "why"}, "expiry"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, "expiry"),
        ({"max_redemptions": 0}, "max_redemptions"),
        ({"disabled": "yes"}, "disabled"),
        ({"discount": 5}, "discount"),
    ],
)
def test_what_is_wrong_is_named(change, make, terms, field):
    answer = change(make.voucher(), **terms)
    assert (answer.status_code, list(answer.json["errors"])) == (422, [field])


def test_a_limit_may_fall_to_the_uses_and_open_holds_but_not_below(change, make, client):
    code = make.voucher(customer_id=None, max_redemptions=5)
    make.customer(ben)
    client.redeemed(code)
    hold = client.hold(code, ben).json["hold_id"]
    assert outcome(change(code, max_redemptions=1)) == (409, "limit_below_uses")
    assert changed(change(code, max_redemptions=2), "max_redemptions", "used_at") == (2, None)
    assert outcome(client.redeem(code)) == (409, "voucher_held")
    client.post("/vouchers/release", json={"hold_id": hold})
    [used_at] = changed(change(code, max_redemptions=1), "used_at")
    assert used_at is not None
    assert outcome(client.redeem(code)) == (409, "voucher_already_redeemed")
    assert changed(change(code, max_redemptions=2), "used_at") == (None,)
    assert client.redeem(code).status_code == 201


def test_another_customer_gets_an_unused_voucher(change, make, client):
    code = make.voucher(ana)
    make.customer(ben)
    assert changed(change(code, email=ben), "email") == (ben,)
    assert outcome(client.redeem(code, ana)) == (404, "voucher_not_found")
    assert client.redeem(code, ben).status_code == 201


def test_a_used_or_held_voucher_stays_with_its_customer(change, make, client):
    make.customer(ben)
    held, used, given_back = (make.voucher(max_redemptions=2) for _ in range(3))
    client.hold(held)
    client.redeemed(used)
    redemption = client.redeemed(given_back)["redemption_id"]
    client.post(f"/redemptions/{redemption}/reverse")
    for code in (held, used, given_back):
        assert outcome(change(code, email=ben)) == (409, "voucher_in_use")
        assert changed(change(code, email=ana), "email") == (ana,)
    assert outcome(change(held, email="nobody@example.org")) == (404, "customer_not_found")


def test_a_claim_goes_to_the_new_customer_with_its_voucher(change, make, client, audit):
    code = make.voucher(customer_id=None)
    make.customer(ben)
    claim = {"offer_name": "KOI", "claim_ref": "c-1"}
    assert client.post("/vouchers/claim", json=claim | {"email": ana}).json["code"] == code
    change(code, email=ben)
    again = client.post("/vouchers/claim", json=claim | {"email": ana})
    assert outcome(again) == (409, "claim_mismatch")
    assert client.post("/vouchers/claim", json=claim | {"email": ben}).json["code"] == code
    audit()


def test_it_disables_and_enables(change, make, client, sql):
    sql(
        "INSERT INTO webhooks (url, event_types, secret, active_from)"
        " VALUES ('http://example.org', ARRAY['voucher.disabled'], '', now())"
    )
    code = make.voucher()
    [first] = changed(change(code, disabled=True, reason="leaked"), "disabled_at")
    assert first is not None
    assert changed(change(code, disabled=True), "disabled_at") == (first,)
    assert sql("SELECT count(*) FROM events") == [(1,)]
    assert outcome(client.redeem(code)) == (409, "voucher_disabled")
    assert changed(change(code, disabled=False), "disabled_at") == (None,)
    assert client.redeem(code).status_code == 201


def test_an_unknown_code_is_404_and_an_archived_voucher_stays(change, make, client, app, sql):
    assert outcome(change("2222-2222-2222", disabled=True)) == (404, "voucher_not_found")
    code = make.voucher()
    client.redeemed(code)
    make.older(100)
    app.test_cli_runner().invoke(args=["vouchers", "archive", "--older-than", "90d"])
    assert outcome(change(code, disabled=True)) == (409, "voucher_archived")


def test_a_limit_that_falls_while_customers_redeem_is_never_passed(server, make, sql, audit):
    code = make.voucher(customer_id=None, max_redemptions=40)
    people = [make.customer(f"c{number}@example.org") for number in range(16)]

    def call(number):
        if number % 4 == 0:
            return server.post("/vouchers/change", {"code": code, "max_redemptions": 9})
        return server.post("/vouchers/redeem", {"code": code, "email": people[number]})

    statuses = [status for status, _ in at_once(16, call)]
    [(count, limit)] = sql("SELECT redemption_count, max_redemptions FROM vouchers")
    assert count == sum(status == 201 for status in statuses)
    assert (limit == 9) == (200 in statuses)
    assert count <= limit
    audit()

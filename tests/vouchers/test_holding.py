"""POST /vouchers/hold and /vouchers/release, and what a hold means to the other routes."""

import uuid
from datetime import datetime, timedelta

import pytest

from tests.builders import ana, ben, end_holds
from tests.patience import until
from tests.shop import outcome


def unbound(make, **changes):
    make.customer(ben)
    return make.voucher(customer_id=None, **changes)


held = (409, "voucher_held")


def now(sql):
    [(moment,)] = sql("SELECT now()")
    return moment


def test_a_hold_lasts_900_seconds_unless_told_otherwise(client, make, sql):
    for options, seconds in (({}, 900), ({"ttl_seconds": 60}, 60), ({"ttl_seconds": 86400}, 86400)):
        code, begun = make.voucher(), now(sql)
        answer = client.hold(code, **options)
        assert answer.status_code == 201
        assert uuid.UUID(answer.json["hold_id"])
        held_at = datetime.fromisoformat(answer.json["held_until"]) - timedelta(seconds=seconds)
        assert begun <= held_at <= now(sql)


def test_a_ttl_of_no_time_or_more_than_a_day_is_422(client, make):
    code = make.voucher()
    for ttl in (0, -1, 86401, 10**30, 1.5, "60", True):
        answer = client.hold(code, ttl_seconds=ttl)
        assert (answer.status_code, list(answer.json["errors"])) == (422, ["ttl_seconds"])


def test_a_held_voucher_is_refused_to_others_and_redeems_for_its_holder(client, make, sql):
    code = unbound(make)
    hold_id = client.hold(code).json["hold_id"]
    assert outcome(client.hold(code, ben)) == held
    assert outcome(client.redeem(code, ben)) == held
    checked = client.check(code, ben).json
    assert checked == {"redeemable": False, "reason": "voucher_held"}
    assert client.redeem(code, ana, hold_id=hold_id).status_code == 201
    assert sql("SELECT holds FROM vouchers") == [(None,)]


def test_the_holder_needs_no_hold_id(client, make):
    code = unbound(make)
    client.hold(code)
    assert client.redeem(code).status_code == 201


def test_the_same_customer_gets_the_same_hold_extended(client, make):
    code = make.voucher()
    first, second = client.hold(code, ttl_seconds=60), client.hold(code, ttl_seconds=600)
    assert first.json["hold_id"] == second.json["hold_id"]
    assert first.json["held_until"] < second.json["held_until"]


def test_a_hold_is_never_shortened(client, make):
    code = make.voucher()
    long, short = client.hold(code, ttl_seconds=600), client.hold(code, ttl_seconds=60)
    assert long.json == short.json


def test_a_hold_that_is_over_binds_nobody_without_anything_having_run(client, make, sql):
    code = unbound(make)
    old = client.hold(code).json["hold_id"]
    end_holds(sql)
    new = client.hold(code, ben)
    assert new.status_code == 201
    assert new.json["hold_id"] != old
    assert outcome(client.redeem(code, ana, hold_id=old)) == held
    end_holds(sql)
    assert client.redeem(code, ana, hold_id=old).status_code == 201


def test_a_held_voucher_is_free_when_its_time_is_over_and_not_before(client, make):
    code = unbound(make)
    held_until = client.hold(code, ttl_seconds=1).json["held_until"]
    until(lambda: client.redeem(code, ben, order_ref="o").status_code == 201)
    assert client.redeem(code, ben, order_ref="o").json["redeemed_at"] >= held_until


def test_a_hold_that_is_over_is_not_extended(client, make, sql):
    code = unbound(make)
    old = client.hold(code).json["hold_id"]
    end_holds(sql)
    assert client.hold(code).json["hold_id"] != old


def test_releasing_a_hold_leaves_those_of_others(client, make):
    code = unbound(make, max_redemptions=2)
    hold_id = client.hold(code, ana).json["hold_id"]
    client.hold(code, ben)
    client.post("/vouchers/release", json={"hold_id": hold_id})
    assert outcome(client.redeem(code, ana)) == (201, None)
    assert outcome(client.redeem(code, ana)) == held
    assert outcome(client.redeem(code, ben)) == (201, None)


def test_a_released_voucher_is_free_and_releasing_twice_is_no_error(client, make):
    code = unbound(make)
    hold_id = client.hold(code).json["hold_id"]
    for _ in range(2):
        answer = client.post("/vouchers/release", json={"hold_id": hold_id})
        assert (answer.status_code, answer.data) == (204, b"")
    assert client.redeem(code, ben).status_code == 201


def test_open_holds_and_uses_never_pass_the_maximum(client, make):
    people = [make.customer(f"c{n}@example.org") for n in range(4)]
    code = unbound(make, max_redemptions=3)
    assert client.hold(code, people[0]).status_code == 201
    assert client.redeem(code, people[1]).status_code == 201
    assert client.hold(code, people[2]).status_code == 201
    assert outcome(client.redeem(code, people[3])) == held
    assert client.redeem(code, people[0]).status_code == 201
    assert outcome(client.redeem(code, people[0])) == held
    assert client.redeem(code, people[2]).status_code == 201
    assert outcome(client.redeem(code, people[2])) == (409, "redemption_limit_reached")


def test_a_held_voucher_is_listed_for_its_holder_only(client, make, sql):
    code = make.voucher()
    listed = lambda: [v["code"] for v in client.get(f"/vouchers?email={ana}").json]  # noqa: E731
    client.hold(code)
    assert listed() == [code]
    make.customer(ben)
    sql(
        "UPDATE vouchers SET holds = (SELECT jsonb_object_agg(hold.id, terms ||"
        " jsonb_build_object('customer', customers.id)) FROM jsonb_each(holds) AS hold(id, terms))"
        " FROM customers WHERE customers.email = :ben",
        ben=ben,
    )
    assert listed() == []


def test_what_would_not_redeem_cannot_be_held(client, make):
    code = make.voucher()
    client.redeem(code)
    assert outcome(client.hold(code)) == (409, "voucher_already_redeemed")
    assert outcome(client.hold(make.voucher(days=-1))) == (410, "voucher_expired")
    assert outcome(client.hold("0000-0000-0000")) == (404, "voucher_not_found")
    assert outcome(client.hold(make.voucher(), "nobody@example.org")) == (
        404,
        "customer_not_found",
    )


def test_another_customers_voucher_cannot_be_held(client, make, sql):
    make.customer(ben)
    assert outcome(client.hold(make.voucher(ana), ben)) == (404, "voucher_not_found")
    assert sql("SELECT holds FROM vouchers") == [(None,)]


def test_an_offer_with_a_minimum_order_can_be_held(client, make, sql):
    code = make.voucher()
    for limit in (None, 1):
        sql("UPDATE offers SET min_order_amount = 50, max_redemptions_per_customer = :n", n=limit)
        assert client.hold(code).status_code == 201


def hold_by_others(sql, count):
    """Let so many others hold the only voucher."""
    sql(
        "UPDATE vouchers SET holds = (SELECT jsonb_object_agg(gen_random_uuid()::text,"
        " jsonb_build_object('customer', 1000000 + n, 'until', extract(epoch FROM now()) + 900))"
        " FROM generate_series(1, :count) AS n)",
        count=count,
    )


def test_at_most_1000_customers_hold_a_voucher_and_each_may_hold_it_longer(client, make, sql):
    code = unbound(make, max_redemptions=10_000)
    hold_by_others(sql, 999)
    first = client.hold(code, ana, ttl_seconds=60)
    assert first.status_code == 201
    refused = client.hold(code, ben)
    assert outcome(refused) == (409, "too_many_holds")
    assert "1000 customers" in refused.json["detail"]
    longer = client.hold(code, ana, ttl_seconds=600)
    assert longer.json["hold_id"] == first.json["hold_id"]
    assert longer.json["held_until"] > first.json["held_until"]
    [held] = sql("SELECT count(*) FROM vouchers, jsonb_each(holds)")
    assert held == (1000,)


def test_a_voucher_that_as_many_hold_as_may_redeems_for_all(client, make, sql):
    code = unbound(make, max_redemptions=10_000)
    hold_by_others(sql, 1000)
    assert outcome(client.hold(code, ana)) == (409, "too_many_holds")
    assert client.check(code, ana).json["redeemable"] is True
    assert client.redeem(code, ana).status_code == 201
    shown = client.post("/vouchers/lookup", json={"code": code}).json
    [attempt] = shown["refused_attempts"]
    assert (attempt["action"], attempt["reason"]) == ("hold", "too_many_holds")


def test_holds_that_are_over_make_room(client, make, sql):
    code = unbound(make, max_redemptions=10_000)
    hold_by_others(sql, 1000)
    end_holds(sql)
    assert client.hold(code, ana).status_code == 201
    assert sql("SELECT count(*) FROM vouchers, jsonb_each(holds)") == [(1,)]


past = "statement_timestamp()"


@pytest.mark.parametrize(
    "ended",
    [
        f"UPDATE vouchers SET expires_at = {past}",
        f"UPDATE offers SET ends_at = {past}",
        f"UPDATE offers SET ends_at = {past}, max_redemptions_per_customer = 1",
    ],
)
def test_a_hold_made_in_time_is_honoured_until_it_ends(client, make, sql, audit, ended):
    make.customer(ben)
    code = unbound(make, max_redemptions=2)
    client.hold(code)
    sql(ended)
    assert client.check(code).json["redeemable"]
    refused = outcome(client.redeem(code, ben))
    assert refused[1] in ("voucher_expired", "offer_not_active")
    assert client.check(code, ben).json == {"redeemable": False, "reason": refused[1]}
    # Neither a longer hold nor a second use was promised.
    assert outcome(client.hold(code)) == refused
    assert outcome(client.redeem(code)) == (201, None)
    assert outcome(client.redeem(code)) == refused
    audit()


def test_a_hold_that_is_over_does_not_outlive_the_voucher(client, make, sql):
    code = unbound(make)
    client.hold(code)
    sql(f"UPDATE vouchers SET expires_at = {past}")
    end_holds(sql)
    assert client.check(code).json["reason"] == "voucher_expired"
    assert outcome(client.redeem(code)) == (410, "voucher_expired")


def test_disabling_wins_over_a_hold(client, make):
    code = unbound(make)
    client.hold(code)
    client.post("/vouchers/disable", json={"code": code})
    assert outcome(client.redeem(code)) == (409, "voucher_disabled")
    assert client.check(code).json["reason"] == "voucher_disabled"

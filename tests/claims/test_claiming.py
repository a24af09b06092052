"""POST /vouchers/claim."""

import re

import pytest

from tests.builders import ana, ben, end_holds, in_days
from tests.claims.pools import body, fill
from voucherpool.claims import pool
from voucherpool.operations import integrity


def claim(client, email=ana, **more):
    return client.post("/vouchers/claim", json=body(email, **more))


def refusal(answer):
    return answer.status_code, answer.json["code"]


@pytest.fixture(autouse=True)
def _sound(app, make):
    make.customer(ana)
    make.customer(ben)
    yield
    with app.app_context():
        breaches = integrity.breaches()
    assert not any(breaches.values()), breaches


def test_a_claimed_voucher_is_bound_to_its_customer(client, make):
    code = make.voucher(customer_id=None)
    answer = claim(client)
    assert answer.status_code == 201
    assert answer.json["code"] == code
    [listed] = client.get(f"/vouchers?email={ana}").json
    assert answer.json == {name: listed[name] for name in ("code", "expires_at", "offer_name")}
    redeem = {"code": code, "email": ben}
    assert client.post("/vouchers/validate", json=redeem).json["code"] == "voucher_not_found"
    assert client.post("/vouchers/validate", json=redeem | {"email": ana}).status_code == 201


@pytest.mark.one_machine("a cluster takes one of the first 64")
def test_the_oldest_expiry_goes_first_then_the_first_issued(client, make, sql):
    late, first, second = (make.voucher(customer_id=None, days=days) for days in (9, 5, 5))
    sql("UPDATE vouchers SET expires_at = '2199-01-01' WHERE code <> :late", late=late)
    sql("UPDATE vouchers SET expires_at = '2199-01-02' WHERE code = :late", late=late)
    assert [claim(client).json["code"] for _ in range(3)] == [first, second, late]
    assert refusal(claim(client)) == (409, "pool_empty")


def test_support_sees_when_it_was_claimed(client, make):
    code = make.voucher(customer_id=None)
    assert client.post("/vouchers/lookup", json={"code": code}).json["claimed_at"] is None
    claim(client)
    shown = client.post("/vouchers/lookup", json={"code": code}).json
    assert shown["claimed_at"] >= shown["created_at"]
    assert shown["email"] == ana


def test_a_voucher_of_somebody_or_that_would_not_redeem_is_not_in_the_pool(client, make, sql):
    make.voucher(ben)
    make.voucher(customer_id=None, days=-1)
    make.voucher(customer_id=None, offer="OTHER")
    client.post("/vouchers/disable", json={"code": make.voucher(customer_id=None)})
    partly = make.voucher(customer_id=None, max_redemptions=3)
    assert client.redeem(partly).status_code == 201
    assert refusal(claim(client)) == (409, "pool_empty")
    good = make.voucher(customer_id=None)
    assert claim(client).json["code"] == good


def test_a_voucher_that_anybody_holds_is_not_in_the_pool_until_the_hold_ends(client, make):
    code = make.voucher(customer_id=None, max_redemptions=3)
    held = client.hold(code).json
    for email in (ana, ben):
        assert refusal(claim(client, email)) == (409, "pool_empty")
    client.post("/vouchers/release", json={"hold_id": held["hold_id"]})
    assert claim(client, ben).json["code"] == code


def test_a_voucher_whose_hold_is_over_is_in_the_pool(client, make, sql):
    code = make.voucher(customer_id=None)
    client.post("/vouchers/hold", json={"code": code, "email": ben, "ttl_seconds": 1})
    end_holds(sql)
    assert claim(client).json["code"] == code


def test_an_unknown_customer_or_offer_is_404(client, make):
    make.voucher(customer_id=None)
    for more in ({}, {"claim_ref": "c-1"}):
        assert refusal(claim(client, "nobody@example.org", **more)) == (404, "customer_not_found")
        assert refusal(claim(client, offer_name="koi", **more)) == (404, "offer_not_found")


def test_an_offer_that_is_not_open_hands_out_nothing(client, make, sql):
    make.voucher(customer_id=None)
    sql("UPDATE offers SET starts_at = now() + interval '1 day'")
    assert refusal(claim(client)) == (409, "offer_not_active")
    sql("UPDATE offers SET starts_at = NULL, ends_at = now()")
    assert refusal(claim(client)) == (409, "offer_not_active")


def test_who_redeemed_as_often_as_one_customer_may_claims_nothing(client, make, sql):
    make.voucher(customer_id=None)
    client.redeem(make.voucher())
    sql("UPDATE offers SET max_redemptions_per_customer = 1")
    assert refusal(claim(client)) == (409, "customer_limit_reached")
    assert claim(client, ben).status_code == 201


def test_the_same_claim_ref_gets_the_same_voucher_for_ever(client, sql):
    fill(sql, 3)
    first = claim(client, claim_ref="c-1")
    assert first.status_code == 201
    client.redeem(first.json["code"])
    sql("UPDATE offers SET ends_at = now()")
    again = claim(client, " ANA@example.org", claim_ref="c-1")
    assert (again.status_code, again.data) == (201, first.data)
    assert refusal(claim(client, ben, claim_ref="c-1")) == (409, "claim_mismatch")
    sql("UPDATE offers SET ends_at = NULL")
    assert claim(client, claim_ref="c-2").json["code"] != first.json["code"]
    assert sql("SELECT count(claimed_at), count(*) FROM vouchers") == [(2, 3)]


def test_each_claim_ref_keeps_its_own_voucher(client, make):
    codes = {make.voucher(customer_id=None) for _ in range(2)}
    refs = ("c-1", "c-2", "c-1", "c-2")
    first, second, *repeated = [claim(client, claim_ref=ref).json["code"] for ref in refs]
    assert {first, second} == codes
    assert repeated == [first, second]


def test_a_claim_ref_is_of_one_offer(client, make):
    offers = ("KOI", "ORCA", "KOI", "ORCA")
    codes = [make.voucher(customer_id=None, offer=offer) for offer in offers[:2]]
    claims = [claim(client, offer_name=offer, claim_ref="c-1") for offer in offers]
    assert [answer.json["code"] for answer in claims] == codes * 2


def test_a_claim_ref_does_not_get_a_later_voucher_of_the_same_code(client, make, sql):
    code = make.voucher(customer_id=None)
    assert claim(client, claim_ref="c-1").json["code"] == code
    sql(
        "UPDATE vouchers SET customer_id = NULL, claimed_at = NULL, created_at = now()"
    )  # as after a purge
    assert refusal(claim(client, claim_ref="c-1")) == (404, "voucher_not_found")


def test_a_refused_claim_is_decided_again(client, sql):
    fill(sql, 0)
    assert refusal(claim(client, claim_ref="c-1")) == (409, "pool_empty")
    assert sql("SELECT * FROM claims") == []
    fill(sql, 1)
    assert claim(client, ben, claim_ref="c-1").status_code == 201


def test_an_idempotency_key_repeats_a_claim(client, sql):
    fill(sql, 2)
    answers = [
        client.post("/vouchers/claim", json=body(), headers={"Idempotency-Key": "k"})
        for _ in range(2)
    ]
    assert answers[0].data == answers[1].data
    assert sql("SELECT count(claimed_at) FROM vouchers") == [(1,)]


def test_a_wrong_field_is_422_and_named(client):
    for field, values in {
        "email": [None, "", "ana", 1],
        "offer_name": [None, "", "x" * 201, 1],
        "claim_ref": ["", "x" * 201, "a\nb", 1, True],
        "count": [2],
    }.items():
        for value in values:
            answer = claim(client, **{field: value}) if field != "email" else claim(client, value)
            assert (answer.status_code, list(answer.json["errors"])) == (422, [field]), value


def values_of(statement, customer_id):
    if statement == "candidates":
        return {"offer_id": 1}
    terms = {"claim_ref": None, "claim_limit": None, "timezone": "UTC"}
    return {"offer_id": 1, "customer_id": customer_id, **terms}


@pytest.mark.one_machine("reads the plans of one PostgreSQL")
@pytest.mark.parametrize("statement", ["take_first", "candidates"])
def test_a_claim_reads_the_pool_in_order_by_its_index_alone(client, explain, sql, statement):
    fill(sql, 5_000)
    sql(
        "UPDATE vouchers SET customer_id = (SELECT min(id) FROM customers), claimed_at = now()"
        " WHERE issue_number <= 3750"
    )
    sql("UPDATE offer_counts SET claimed = 3751")
    sql("ANALYZE vouchers, customers, offers")
    [[customer_id]] = sql("SELECT min(id) FROM customers")
    plan = explain(getattr(pool, statement), **values_of(statement, customer_id))
    assert "vouchers_claimable_idx" in plan
    assert "Seq Scan on vouchers" not in plan
    assert "Sort" not in plan, plan
    assert claim(client).status_code == 201


@pytest.mark.one_machine("reads the plans of one PostgreSQL")
@pytest.mark.parametrize("statement", ["take_first", "candidates"])
def test_a_claim_passes_no_voucher_that_has_left_the_pool(client, explain, sql, statement):
    fill(sql, 2_000)
    sql("UPDATE vouchers SET max_redemptions = 3")
    sql("ANALYZE vouchers, customers, offers")
    codes = [row.code for row in sql("SELECT code FROM vouchers ORDER BY expires_at LIMIT 60")]
    for place, code in enumerate(codes[:40]):
        redeemed = client.redeemed(code)
        if place % 2:
            as_an_earlier_release = "UPDATE vouchers SET was_redeemed = NULL WHERE code = :code"
            sql(as_an_earlier_release, code=code)
            client.post(f"/redemptions/{redeemed['redemption_id']}/reverse")
    for code in codes[40:]:
        client.post("/vouchers/disable", json={"code": code})
    sql("UPDATE offer_counts SET claimed = 1")
    plan = explain(getattr(pool, statement), **values_of(statement, 1))
    assert "vouchers_claimable_idx" in plan
    assert "Rows Removed" not in plan, plan
    [read] = re.findall(r"vouchers_claimable_idx on vouchers.* rows=(\S+) loops=1\)", plan)
    assert float(read) <= (1 if statement == "take_first" else pool.most_candidates)
    client.post("/vouchers/enable", json={"code": codes[-1]})
    assert claim(client).json["code"] == codes[-1]


def test_generate_fills_the_pool_from_which_is_claimed(client):
    new = {"email": None, "offer_name": "NEW", "discount": 5, "expiry": in_days(1)}
    code = client.post("/vouchers/generate", json=new).json["code"]
    assert claim(client, offer_name="NEW").json["code"] == code


def test_a_use_that_was_given_back_is_for_who_had_it_and_not_for_a_claim(client, make):
    code = make.voucher(customer_id=None)
    order = {"order_ref": "o"}
    client.post("/vouchers/validate", json={"code": code, "email": ana} | order)
    assert client.post("/redemptions/reverse", json=order).status_code == 200
    make.customer(ben)
    assert client.post("/vouchers/claim", json=body(ben)).json["code"] == "pool_empty"
    assert client.redeem(code).status_code == 201


@pytest.mark.parametrize(
    ("now", "valid_for", "expires_at"),
    [
        ("2027-03-20 23:30Z", "P7D", "2027-03-28 22:00Z"),  # a local day later, across a change
        ("2027-01-31 12:00Z", "P1M", "2027-02-28 23:00Z"),
        ("2027-01-31 12:00Z", "P6M", "2027-07-01 00:00Z"),  # the batch's expiry is earlier
    ],
)
def test_a_voucher_that_is_valid_from_its_claim_on_expires_at_the_end_of_a_local_day(
    sql, now, valid_for, expires_at
):
    expiry = pool.expiry_by_claim.replace("now()", f"timestamptz '{now}'")
    [[row]] = sql(
        f"SELECT {expiry} = timestamptz '{expires_at}' FROM (SELECT timestamptz '2027-07-01Z',"
        f" interval '{valid_for}') AS vouchers (expires_at, valid_for)",
        timezone="Europe/Berlin",
    )
    assert row


def test_a_claim_answers_and_keeps_the_expiry_that_it_sets(client, make, sql):
    make.customer()
    fill(sql, 2)
    sql("UPDATE vouchers SET expires_at = 'infinity', valid_for = 'P30D' WHERE issue_number = 1")
    later = [claim(client).json["expires_at"] for _ in range(2)]
    today = sql("SELECT to_char(now() AT TIME ZONE 'UTC' + interval '31 days', 'YYYY-MM-DD')")
    assert max(later) == f"{today[0][0]}T00:00:00Z"
    assert {row["expires_at"] for row in client.get(f"/vouchers?email={ana}").json} == set(later)


def test_a_customer_claims_as_often_as_the_offer_allows(client, make, sql):
    make.customer()
    make.customer(ben)
    fill(sql, 5)
    claim(client, claim_ref="c-0")
    offer = client.get("/offers").json["items"][0]["id"]
    client.patch(f"/offers/{offer}", json={"max_claims_per_customer": 2})
    assert claim(client, claim_ref="c-1").status_code == 201
    assert refusal(claim(client)) == (409, "claim_limit_reached")
    assert refusal(claim(client, claim_ref="c-2")) == (409, "claim_limit_reached")
    assert claim(client, claim_ref="c-1").status_code == 201
    assert claim(client, ben).status_code == 201
    client.patch(f"/offers/{offer}", json={"max_claims_per_customer": None})
    assert claim(client, claim_ref="c-2").status_code == 201

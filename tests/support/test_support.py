"""POST /vouchers/lookup, /disable and /enable."""

from tests.builders import ana, ben
from voucherpool.support import service as support
from voucherpool.vouchers.checkout import refusals


def record(client, code, route="lookup"):
    answer = client.post(f"/vouchers/{route}", json={"code": code})
    assert answer.status_code == 200
    return answer.json


def test_it_shows_the_whole_record_of_a_new_voucher_in_any_spelling(client, make, sql):
    code = make.voucher(offer="KOI", discount="22.1", max_redemptions=3)
    sql("UPDATE vouchers SET expires_at = '2199-04-21T18:25:43-05:00'")
    sql("UPDATE vouchers SET created_at = '2026-01-01T00:00:00Z'")
    assert record(client, code.lower().replace("-", " ")) == {
        "code": code,
        "email": ana,
        "offer_name": "KOI",
        "discount": 22.1,
        "discount_type": "percentage",
        "currency": None,
        "frozen": False,
        "starts_at": None,
        "expires_at": "2199-04-21T23:25:43Z",
        "max_redemptions": 3,
        "redemption_count": 0,
        "used_at": None,
        "disabled_at": None,
        "created_at": "2026-01-01T00:00:00Z",
        "claimed_at": None,
        "archived_at": None,
        "holds": [],
        "batch_id": None,
        "claim_ref": None,
        "redemptions": [],
        "next_redemptions": None,
        "changes": [],
        "refused_attempts": [],
    }


def test_it_shows_holds_and_redemptions_with_their_customers(client, make):
    make.customer(ben)
    code = make.voucher(customer_id=None, max_redemptions=3)
    held = client.hold(code, ben).json
    first = client.redeem(code, order_ref="A-1", order_amount=80).json
    second = client.redeem(code).json
    shown = record(client, code)
    assert shown["email"] is None
    assert shown["holds"] == [held | {"email": ben}]
    assert shown["redemption_count"] == 2
    newest, oldest = shown["redemptions"]
    assert (newest["id"], oldest["id"]) == (second["redemption_id"], first["redemption_id"])
    assert (oldest["email"], oldest["order_ref"]) == (ana, "A-1")
    assert oldest["discount_amount"] == 17.68
    assert client.redeem(code, ben).status_code == 201
    used = record(client, code)
    assert used["holds"] == []
    assert used["used_at"] == used["redemptions"][0]["redeemed_at"]


def test_it_shows_refused_attempts_with_their_true_reasons_the_newest_first(client, make):
    make.customer(ben)
    code = make.voucher(ana)
    client.redeem(code, ben)
    client.redeem(code, "nobody@example.org")
    client.hold(code, ben)
    assert client.redeem(code).status_code == 201
    client.redeem(code)
    client.check(code, order_ref="A-1")
    attempts = record(client, code)["refused_attempts"]
    shown = ("action", "order_ref", "email", "reason")
    assert [tuple(attempt[name] for name in shown) for attempt in attempts] == [
        ("check", "A-1", ana, "voucher_already_redeemed"),
        ("redeem", None, ana, "voucher_already_redeemed"),
        ("hold", None, ben, "bound_to_another_customer"),
        ("redeem", None, None, "customer_not_found"),
        ("redeem", None, ben, "bound_to_another_customer"),
    ]
    moments = [attempt["attempted_at"] for attempt in attempts]
    assert moments == sorted(moments, reverse=True)


def test_the_20_newest_refused_attempts_are_kept(client, make, sql):
    make.customer(ben)
    code, other = make.voucher(days=-1), make.voucher(days=-1)
    assert refusals.attempts_kept == 20
    for _ in range(3):
        client.redeem(code, ben)
    for each in (other, *[code] * 19, other, code):
        client.redeem(each)
    attempts = record(client, code)["refused_attempts"]
    assert [attempt["reason"] for attempt in attempts] == ["voucher_expired"] * 20
    assert len(record(client, other)["refused_attempts"]) == 2
    assert len(sql("SELECT * FROM refused_attempts")) == 22


def test_attempts_on_unknown_codes_share_one_place_and_name_no_code(client, make, sql):
    make.customer()
    for number in range(3):
        assert client.redeem(f"0000-0000-000{number}").status_code == 404
    kept = sql("SELECT code_key, reason FROM refused_attempts")
    assert kept == [("", "voucher_not_found")] * 3


def test_an_unknown_code_is_404_and_a_wrong_one_422(client, make, sql):
    make.voucher()
    before = sql("SELECT * FROM vouchers")
    for route in ("lookup", "disable", "enable"):
        for code in ("0000-0000-0000", "ÄÖÜ!", "----"):
            answer = client.post(f"/vouchers/{route}", json={"code": code})
            assert (answer.status_code, answer.json["code"]) == (404, "voucher_not_found")
        for code in (None, True, 1, "", "x" * 101, [], "a\nb"):
            answer = client.post(f"/vouchers/{route}", json={"code": code})
            assert (answer.status_code, list(answer.json["errors"])) == (422, ["code"])
    assert sql("SELECT * FROM vouchers") == before


def test_a_disabled_voucher_is_refused_by_every_route_until_it_is_enabled(client, make):
    code = make.voucher()
    disabled = record(client, code, "disable")
    assert disabled["disabled_at"] is not None
    assert disabled == record(client, code)
    for route in ("validate", "hold"):
        answer = client.post(f"/vouchers/{route}", json={"code": code, "email": ana})
        assert (answer.status_code, answer.json["code"]) == (409, "voucher_disabled")
    assert client.get("/vouchers", query_string={"email": ana}).json == []

    assert record(client, code, "enable")["disabled_at"] is None
    assert len(client.get("/vouchers", query_string={"email": ana}).json) == 1
    assert client.redeem(code).status_code == 201


def test_disabling_and_enabling_twice_change_nothing_more(client, make):
    code = make.voucher()
    assert record(client, code, "enable") == record(client, code, "enable")
    first = record(client, code, "disable")
    assert record(client, code, "disable") == first
    record(client, code, "enable")
    again = record(client, code, "disable")
    assert again["disabled_at"] > first["disabled_at"]


def test_a_frozen_discount_is_shown_as_the_vouchers_own(client, make, sql):
    code = make.voucher(discount="10", frozen_discount=5)
    shown = record(client, code)
    assert (shown["discount"], shown["frozen"]) == (5, True)


def test_a_record_names_its_batch_and_its_claim(client, make, sql):
    code = make.voucher(customer_id=None, batch_id=7)
    claimed = client.post(
        "/vouchers/claim", json={"email": ana, "offer_name": "KOI", "claim_ref": "letter 7"}
    )
    assert claimed.json["code"] == code
    found = record(client, code)
    assert (found["batch_id"], found["claim_ref"]) == (7, "letter 7")
    assert record(client, make.voucher())["claim_ref"] is None


def test_the_history_of_a_voucher_is_shown_by_pages(client, make, monkeypatch):
    monkeypatch.setattr(support, "history_shown", 3)
    code = make.voucher(max_redemptions=10)
    for number in range(8):
        client.redeemed(code, order_ref=f"A-{number}")
    orders, page = [], {}
    while page is not None:
        found = client.post("/vouchers/lookup", json={"code": code, **page}).json
        orders.append([each["order_ref"] for each in found["redemptions"]])
        page = {"cursor": found["next_redemptions"]} if found["next_redemptions"] else None
    assert orders == [["A-7", "A-6", "A-5"], ["A-4", "A-3", "A-2"], ["A-1", "A-0"]]


def test_a_record_says_who_disabled_the_voucher_and_why(client, make):
    code = make.voucher()
    named = {"Voucherpool-Actor": "Eve of support"}
    client.post("/vouchers/disable", json={"code": code, "reason": "leaked"}, headers=named)
    client.post("/vouchers/enable", json={"code": code})
    shown = [
        (each["action"], each["api_key"], each["actor"], each["reason"])
        for each in record(client, code)["changes"]
    ]
    assert shown == [
        ("voucher.enabled", "tests", None, None),
        ("voucher.disabled", "tests", "Eve of support", "leaked"),
    ]

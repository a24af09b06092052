"""GET /redemptions, POST /redemptions/{id}/reverse and POST /redemptions/reverse."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.builders import ana, ben, moved


def reverse(client, redemption):
    answer = client.post(f"/redemptions/{redemption['redemption_id']}/reverse")
    assert answer.status_code == 200
    return answer


def reverse_order(client, order_ref):
    return client.post("/redemptions/reverse", json={"order_ref": order_ref})


def ledger(client, **query):
    answer = client.get("/redemptions", query_string=query)
    assert answer.status_code == 200
    return answer.json


@pytest.fixture
def limited(client, make, sql):
    """Return a function that issues a voucher of an offer with a limit per customer."""

    def issue(limit=1):
        code = make.voucher()
        sql("UPDATE offers SET max_redemptions_per_customer = :limit", limit=limit)
        return code

    return issue


def test_a_redemption_is_shown_with_all_that_it_was(client, make):
    code = make.voucher(offer="KOI", discount="22.1")
    answer = client.redeem(code, order_ref="A-1", order_amount=80).json
    shown = {
        "id": answer["redemption_id"],
        "code": code,
        "email": ana,
        "offer_name": "KOI",
        "order_ref": "A-1",
        "order_amount": 80,
        "discount": 22.1,
        "discount_type": "percentage",
        "currency": None,
        "discount_amount": 17.68,
        "redeemed_at": answer["redeemed_at"],
        "reversed_at": None,
        "kind": "redeemed",
        "metadata": None,
    }
    assert ledger(client, email=ana) == {"items": [shown], "next": None, "discounted": None}
    make.voucher(offer="KOI", discount="50")
    assert ledger(client, email=ana)["items"][0]["discount"] == 22.1


def test_a_redemption_without_an_order_is_shown_with_nulls(client, make):
    client.redeem(make.voucher())
    [shown] = ledger(client, email=ana)["items"]
    names = ("order_ref", "order_amount", "discount_amount", "reversed_at")
    assert [shown[name] for name in names] == [None] * 4


def test_it_lists_by_customer_and_by_order_the_oldest_first(client, make):
    make.customer(ben)
    for email, order_ref in ((ana, "A-1"), (ben, "A-1"), (ana, "A-2"), (ana, "a-1")):
        assert client.redeem(make.voucher(email), email, order_ref=order_ref).status_code == 201

    def shown(**query):
        return [(row["email"], row["order_ref"]) for row in ledger(client, **query)["items"]]

    assert shown(email="ANA@example.org") == [(ana, "A-1"), (ana, "A-2"), (ana, "a-1")]
    assert shown(order_ref="A-1") == [(ana, "A-1"), (ben, "A-1")]
    assert shown(email=ben, order_ref="A-1") == [(ben, "A-1")]
    assert shown(email=ben, order_ref="A-2") == []


def test_the_pages_join_into_the_whole_ledger(client, make, sql):
    for email in (ana, ana, ben, ana, ben, ana, ana, ana):
        client.redeem(make.voucher(email), email, order_ref="A-1")
    # As if of one moment, but for the last: a page may end between them.
    sql(
        "UPDATE redemptions SET redeemed_at = '2026-01-01T00:00:00.000001Z'"
        " WHERE redeemed_at < (SELECT max(redeemed_at) FROM redemptions)"
    )
    for query, lengths in (
        ({"email": ana}, [2, 2, 2]),
        ({"order_ref": "A-1"}, [2, 2, 2, 2]),
        ({"email": ben, "order_ref": "A-1"}, [2]),
    ):
        whole = ledger(client, **query)
        assert whole["next"] is None
        pages, cursor = [], {}
        while cursor is not None:
            page = ledger(client, limit=2, **query, **cursor)
            pages.append(page["items"])
            cursor = page["next"] and {"cursor": page["next"]}
        assert [len(page) for page in pages] == lengths
        assert sum(pages, []) == whole["items"]


def test_a_wrong_query_is_422_and_named(client):
    for field, values in {
        "email": ["", "ana", "a\x00b@example.org"],
        "order_ref": ["", "x" * 201, "a\x00b"],
        "limit": ["0", "501", "-1", "1.5", "x", "１"],
        "cursor": ["", "x", "%00", "MjAyNw", "MjAyNi0wMS0wMVQwMDowMDowMFp-MQ"],
        "page": ["2"],
    }.items():
        for value in values:
            answer = client.get("/redemptions", query_string={field: value})
            assert (answer.status_code, list(answer.json["errors"])) == (422, [field]), value


def test_a_redemption_that_is_given_back_leaves_the_voucher_as_it_was(client, make, sql):
    code = make.voucher()
    [before] = sql("SELECT * FROM vouchers")
    redeemed = client.redeem(code, order_ref="A-1").json
    [entry] = ledger(client, email=ana)["items"]
    assert client.listed() == []

    given_back = reverse(client, redeemed).json
    assert given_back["reversed_at"] >= entry["redeemed_at"]
    assert given_back == entry | {"reversed_at": given_back["reversed_at"]}
    assert ledger(client, email=ana)["items"] == [given_back]
    [after] = sql("SELECT * FROM vouchers")
    assert after._asdict() == before._asdict() | {"was_redeemed": True}
    assert client.listed() == [code]
    assert client.redeem(code).status_code == 201


def test_giving_back_one_use_of_many_leaves_the_others(client, make, sql):
    code = make.voucher(max_redemptions=2)
    first, second = client.redeem(code).json, client.redeem(code).json
    reverse(client, second)
    [voucher] = sql("SELECT redemption_count, used_at FROM vouchers")
    assert voucher == (1, None)
    assert sql("SELECT id::text FROM redemptions WHERE reversed_at IS NULL") == [
        (first["redemption_id"],)
    ]
    assert [client.redeem(code).status_code for _ in range(2)] == [201, 409]


def test_giving_back_twice_has_one_effect_and_answers_the_same(client, make, sql):
    code = make.voucher(max_redemptions=3)
    first = client.redeem(code, order_ref="A-1").json
    client.redeem(code, order_ref="A-2")
    answer = reverse(client, first)
    assert reverse(client, first).data == answer.data
    answers = [reverse_order(client, "A-1") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].data == answers[1].data
    assert answers[0].json == {"items": [answer.json]}
    assert sql("SELECT redemption_count FROM vouchers") == [(1,)]


def test_an_unknown_redemption_or_order_is_404(client, make):
    client.redeem(make.voucher())  # without an order
    for answer in (
        client.post(f"/redemptions/{uuid.uuid4()}/reverse"),
        reverse_order(client, "A-1"),
    ):
        assert (answer.status_code, answer.json["code"]) == (404, "redemption_not_found")
    assert client.post("/redemptions/1/reverse").status_code == 404
    for wrong in (None, True, 1, "", "x" * 201, [], "a\nb"):
        answer = reverse_order(client, wrong)
        assert (answer.status_code, list(answer.json["errors"])) == (422, ["order_ref"])


def test_an_order_of_several_vouchers_is_given_back_at_once(client, make, sql):
    codes = [make.voucher(max_redemptions=uses) for uses in (1, 1, 2)]
    for code in codes:
        client.redeem(code, order_ref="A-1")
    client.redeem(codes[2], order_ref="A-2")
    assert client.listed() == []

    answer = reverse_order(client, "A-1")
    assert answer.status_code == 200
    assert [row["code"] for row in answer.json["items"]] == codes
    assert all(row["reversed_at"] for row in answer.json["items"])
    assert reverse_order(client, "A-1").data == answer.data
    assert sorted(client.listed()) == sorted(codes)
    counts = sql("SELECT redemption_count FROM vouchers ORDER BY issue_number")
    assert counts == [(0,), (0,), (1,)]


def test_an_order_of_which_a_part_was_given_back_is_given_back_whole(client, make, sql):
    codes = [make.voucher(max_redemptions=2) for _ in range(2)]
    redeemed = [client.redeem(code, order_ref="A-1").json for code in codes]
    first = reverse(client, redeemed[0]).json
    items = reverse_order(client, "A-1").json["items"]
    assert items[0] == first
    assert items[1]["reversed_at"] is not None
    assert sql("SELECT redemption_count FROM vouchers") == [(0,), (0,)]


def test_the_vouchers_of_an_order_are_locked_in_the_order_of_their_codes(client, make, gate, sql):
    first, last = sorted(make.voucher() for _ in range(2))
    for code in (last, first):
        client.redeem(code, order_ref="A-1")
    with ThreadPoolExecutor(1) as pool:
        this = "WHERE code_key = replace({}, '-', '') FOR UPDATE"
        with gate.closed(f"SELECT FROM vouchers {this.format(repr(first))}"):
            reversing = pool.submit(reverse_order, client, "A-1")
            gate.until_waiting(1)
            free = f"SELECT code FROM vouchers {this.format(':code')} NOWAIT"
            assert sql(free, code=last) == [(last,)]
        assert reversing.result().status_code == 200


def test_a_redemption_that_began_after_its_reversal_is_given_back(client, make, gate):
    code, headers = make.voucher(), {"Idempotency-Key": "k"}
    asked = ("/redemptions/reverse",), {"json": {"order_ref": "A-1"}, "headers": headers}
    assert client.post(*asked[0], **asked[1]).status_code == 404  # prepares its statements
    with ThreadPoolExecutor(1) as pool:
        with gate.closed("LOCK TABLE idempotency_keys IN SHARE MODE"):
            reversing = pool.submit(client.post, *asked[0], **asked[1])
            gate.until_waiting(1)
            assert client.redeem(code, order_ref="A-1").status_code == 201
        [given_back] = reversing.result().json["items"]
    assert given_back["reversed_at"] == given_back["redeemed_at"]


def test_an_order_that_was_given_back_does_not_redeem_again(client, make):
    code = make.voucher()
    reverse(client, client.redeem(code, order_ref="A-1").json)
    answer = client.redeem(code, order_ref="A-1")
    assert (answer.status_code, answer.json["code"]) == (409, "redemption_reversed")
    assert client.redeem(code, order_ref="A-2").status_code == 201


def test_giving_back_an_expired_voucher_does_not_revive_it(client, make, sql):
    code = make.voucher()
    redeemed = client.redeem(code).json
    sql("UPDATE vouchers SET expires_at = now()")
    reverse(client, redeemed)
    assert client.listed() == []
    assert client.redeem(code).json["code"] == "voucher_expired"


def test_giving_back_counts_for_the_limit_per_customer(client, limited, sql):
    first, second = limited(), limited()
    redeemed = client.redeem(first).json
    answer = client.redeem(second)
    assert (answer.status_code, answer.json["code"]) == (409, "customer_limit_reached")
    assert client.listed() == []
    for _ in range(2):
        reverse(client, redeemed)
    assert sql("SELECT count(*) FROM redemptions WHERE reversed_at IS NULL") == [(0,)]
    assert [client.redeem(code).status_code for code in (second, first)] == [201, 409]


def test_giving_an_order_back_counts_each_of_its_vouchers_for_each_customer(
    client, make, limited, sql
):
    make.customer(ben)
    codes = [limited(limit=3) for _ in range(3)]
    sql("UPDATE vouchers SET customer_id = NULL")
    for code, email in zip(codes, (ana, ana, ben), strict=True):
        client.redeem(code, email, order_ref="A-1")
    client.redeem(limited(limit=3), order_ref="A-2")
    counts = "SELECT count(*) FROM redemptions WHERE reversed_at IS NULL GROUP BY customer_id"
    assert sorted(sql(counts)) == [(1,), (3,)]
    reverse_order(client, "A-1")
    assert sql(counts) == [(1,)]


def test_what_was_redeemed_while_there_was_no_limit_can_be_given_back(client, make, limited, sql):
    counted = client.redeem(limited()).json
    [[offer]] = sql("SELECT id FROM offers")
    client.patch(f"/offers/{offer}", json={"max_redemptions_per_customer": None})
    uncounted = client.redeem(make.voucher()).json
    for redeemed in (counted, uncounted):
        assert reverse(client, redeemed).json["reversed_at"] is not None


def test_the_ledger_of_nobody_in_particular_is_422(client):
    answer = client.get("/redemptions")
    assert (answer.status_code, list(answer.json["errors"])) == (422, ["email"])
    assert client.get("/redemptions?email=nobody@example.org").status_code == 404
    nothing = {"items": [], "next": None, "discounted": []}
    assert client.get("/redemptions?order_ref=unknown").json == nothing


def test_reversing_takes_an_empty_body_or_none(client, make):
    redemption = client.redeem(make.voucher()).json
    route = f"/redemptions/{redemption['redemption_id']}/reverse"
    assert client.post(route).status_code == 200
    assert client.post(route, data="{}").status_code == 200
    assert client.post(route, data="junk{").status_code == 400
    assert client.post(route, data="<a/>", content_type="text/xml").status_code == 415


def test_the_ledger_of_an_order_tells_what_its_vouchers_took_off_in_all(app, client, make, sql):
    first, second, other = (make.voucher(discount="50") for _ in range(3))
    order = {"order_ref": "order 1", "currency": "EUR"}
    taken = client.redeemed(first, order_amount=7, **order)["discount_amount"]
    left = client.redeemed(second, order_amount=7 - taken, **order)["discount_amount"]
    assert (taken, left) == (3.5, 1.75)
    client.redeemed(other, order_ref="order 2", order_amount=100, currency="EUR")

    def of_order(limit=100):
        answer = client.get(f"/redemptions?order_ref=order%201&limit={limit}").json
        return len(answer["items"]), answer["discounted"]

    assert of_order() == (2, [{"currency": "EUR", "amount": 5.25}])
    assert of_order(limit=1) == (1, [{"currency": "EUR", "amount": 5.25}])
    sql(f"UPDATE vouchers SET expires_at = {moved('expires_at', -400)}")
    app.test_cli_runner().invoke(args=["vouchers", "archive", "--older-than", "90d"])
    assert of_order() == (2, [{"currency": "EUR", "amount": 5.25}])
    assert client.get(f"/redemptions?email={ana}").json["discounted"] is None


def test_what_an_order_gave_back_was_not_taken_off(client, make):
    client.redeemed(make.voucher(), order_ref="order-1", order_amount=100, currency="EUR")
    client.redeemed(make.voucher(), order_ref="order-1")
    client.post("/redemptions/reverse", json={"order_ref": "order-1"})
    assert client.get("/redemptions?order_ref=order-1").json["discounted"] == []

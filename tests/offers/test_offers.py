"""/offers: made, listed, read and changed."""

import pytest

from tests.builders import in_days
from tests.shop import outcome


def make_offer(client, **terms):
    answer = client.post("/offers", json={"name": "KOI", "discount": 22.1} | terms)
    assert answer.status_code == 201
    return answer.json


def change(client, offer, **changes):
    return client.patch(f"/offers/{offer['id']}", json=changes)


def refused(answer, *fields):
    """Say whether the answer refuses just these fields."""
    assert (answer.status_code, answer.json["code"]) == (422, "validation_failed")
    return list(answer.json["errors"]) == list(fields)


def test_an_offer_is_made_with_a_name_and_a_discount(client):
    answer = client.post("/offers", json={"name": " KOI ", "discount": 22.10})
    assert answer.status_code == 201
    offer = answer.json
    assert offer["created_at"] == offer["updated_at"]
    assert offer == {
        "id": offer["id"],
        "name": "KOI",
        "discount": 22.1,
        "discount_locked": False,
        "discount_type": "percentage",
        "currency": None,
        "currency_optional": False,
        "min_order_amount": None,
        "max_discount_amount": None,
        "starts_at": None,
        "ends_at": None,
        "max_redemptions_per_customer": None,
        "max_claims_per_customer": None,
        "max_redemptions": None,
        "max_discount_total": None,
        "pool_low_at": None,
        "reminder_days": None,
        "metadata": None,
        "created_at": offer["created_at"],
        "updated_at": offer["created_at"],
    }
    assert client.get(f"/offers/{offer['id']}").json == offer


def test_an_offer_is_made_with_all_its_terms(client):
    terms = {
        "name": "Ten off",
        "discount": 1000.005,
        "discount_type": "fixed_amount",
        "currency": "KWD",
        "min_order_amount": 50.5,
        "max_discount_amount": 7,
        "starts_at": "2027-04-21T18:25:43-05:00",
        "ends_at": "2027-05-01T00:00:00Z",
        "max_redemptions_per_customer": 3,
    }
    answer = client.post("/offers", json=terms)
    assert answer.status_code == 201
    assert answer.json.items() >= (terms | {"starts_at": "2027-04-21T23:25:43Z"}).items()


def test_a_name_that_is_taken_is_409(client, make):
    make.voucher(offer="generated")
    first, second = make_offer(client), make_offer(client, name="Other")
    for name in ("KOI", " KOI ", "generated"):
        answer = client.post("/offers", json={"name": name, "discount": 5})
        assert (answer.status_code, answer.json["code"]) == (409, "offer_exists")
        answer = change(client, second, name=name, discount=5)
        assert (answer.status_code, answer.json["code"]) == (409, "offer_exists")
    assert [client.get(f"/offers/{offer['id']}").json for offer in (first, second)] == [
        first,
        second,
    ]
    assert change(client, first, name="KOI").status_code == 200


def test_the_pages_join_into_the_whole_list(client):
    offers = [make_offer(client, name=f"offer {number}") for number in range(4)]
    assert client.get("/offers").json == {"items": offers, "next": None}
    pages, query = [], {"limit": 2}
    while query:
        page = client.get("/offers", query_string=query).json
        pages.append(page["items"])
        query = page["next"] and {"limit": 2, "cursor": page["next"]}
    assert pages == [offers[:2], offers[2:]]


def test_a_wrong_query_is_422_and_named(client):
    for field, values in {
        "limit": ["0", "501", "-1", "1.5", "x", "１", "9" * 5000],
        "cursor": ["", "x", "%00", "LTE", "77yR", "OTk5OTk5OTk5OTk5OTk5OTk5OTk"],
        "name": ["KOI"],
    }.items():
        for value in values:
            assert refused(client.get("/offers", query_string={field: value}), field), value


def test_an_unknown_offer_is_404(client):
    make_offer(client)
    for method in ("GET", "PATCH"):
        for unknown in (0, 10**9, 10**18 - 1):
            answer = client.open(f"/offers/{unknown}", method=method, json={})
            assert (answer.status_code, answer.json["code"]) == (404, "offer_not_found")
        for no_id in (10**18, 2**63, "9" * 5000, -1, "1.0", "１", "KOI", "%00", "1%00"):
            assert client.open(f"/offers/{no_id}", method=method, json={}).status_code == 404


def test_each_term_changes_and_null_takes_a_limit_away(client):
    offer = make_offer(client, currency="EUR")
    limits = {
        "min_order_amount": 50.5,
        "max_discount_amount": 10,
        "starts_at": "2027-01-01T00:00:00Z",
        "ends_at": "2027-02-01T00:00:00Z",
        "max_redemptions_per_customer": 2,
    }
    for changes in (
        {"name": "New"},
        {"discount": 99.99},
        limits,
        *({name: None} for name in limits),
    ):
        answer = change(client, offer, **changes)
        assert answer.status_code == 200
        changed = answer.json
        assert changed["updated_at"] > offer["updated_at"]
        assert changed == offer | changes | {"updated_at": changed["updated_at"]}
        assert client.get(f"/offers/{offer['id']}").json == changed
        offer = changed


def test_a_change_without_changes_answers_the_offer(client):
    offer = make_offer(client)
    answer = change(client, offer)
    assert answer.status_code == 200
    assert answer.json == offer | {"updated_at": answer.json["updated_at"]}


def test_a_limit_per_customer_counts_what_was_redeemed_while_there_was_none(client, make, sql):
    codes = [make.voucher() for _ in range(4)]
    [[offer]] = sql("SELECT id FROM offers")
    answers = []
    for code, limit in zip(codes, (1, None, 2, 3), strict=True):
        change(client, {"id": offer}, max_redemptions_per_customer=limit)
        answers.append(client.redeem(code))
    assert [answer.status_code for answer in answers] == [201, 201, 409, 201]
    assert answers[2].json["code"] == "customer_limit_reached"


fixed = {"discount_type": "fixed_amount", "currency": "EUR"}


discords = [
    ({}, {"discount": 100.01}, "discount"),
    ({}, {"discount": 22.123}, "discount"),
    ({"currency": "JPY"}, {"discount": 22.123}, "discount"),
    (fixed | {"discount": 5}, {"discount": 5.005}, "discount"),
    (fixed | {"discount": 5, "currency": "JPY"}, {"discount": 5.5}, "discount"),
    (fixed | {"discount": 5, "currency": "KWD"}, {"discount": 5.0005}, "discount"),
    ({"starts_at": in_days(2)}, {"ends_at": in_days(1)}, "ends_at"),
    ({"ends_at": in_days(1)}, {"starts_at": in_days(2)}, "ends_at"),
    (
        {"starts_at": "2027-01-01T00:00:00Z"},
        {"ends_at": "2027-01-01T01:00:00+01:00"},
        "ends_at",
    ),
]


def test_terms_that_do_not_go_together_are_422_and_named(client):
    for number, (terms, changes, field) in enumerate(discords):
        answer = client.post("/offers", json={"name": "Both", "discount": 10} | terms | changes)
        assert refused(answer, field), changes
        offer = make_offer(client, name=f"offer {number}", **terms)
        assert refused(change(client, offer, **changes), field), changes
        assert client.get(f"/offers/{offer['id']}").json == offer


def test_a_fixed_amount_needs_a_currency(client):
    for currency in ({}, {"currency": None}):
        terms = {"name": "KOI", "discount": 5, "discount_type": "fixed_amount"}
        assert refused(client.post("/offers", json=terms | currency), "currency")


def test_the_kind_of_discount_and_the_currency_stay_for_ever(client):
    offer = make_offer(client, currency="EUR")
    for field, value in (
        ("discount_type", "fixed_amount"),
        ("discount_type", "percentage"),
        ("currency", "USD"),
        ("id", 7),
        ("created_at", "2027-01-01T00:00:00Z"),
    ):
        assert refused(change(client, offer, **{field: value}), field)
    assert client.get("/offers").json["items"] == [offer]


never = [True, False, [], {}, ["a"], {"a": 1}]
wrong_amounts = [*never, 0, -1, "1e1", "１０", 1e-9, 10**12 + 1, 10**30]
wrong_moments = [
    *never,
    1,
    "",
    "2027-02-30",
    "2027-04-21T18:25:43",
    "0001-01-01T00:00:00+01:00",
    "9999-12-31T23:59:59-01:00",
    "2027-02-30T00:00:00Z",
    "infinity",
    "now",
]
wrong_values = {
    "name": [*never, 1, "", " ", "x" * 201, "a\nb", "a\u2028b"],
    "discount": [*wrong_amounts, 101],
    "min_order_amount": wrong_amounts,
    "max_discount_amount": wrong_amounts,
    "starts_at": wrong_moments,
    "ends_at": wrong_moments,
    "max_redemptions_per_customer": [*never, 0, -1, 1.5, "2", 10**9 + 1, 10**30],
}
wrong_for_new = {
    "discount_type": [*never, 1, "", "gift", "Percentage"],
    "currency": [*never, 1, "", "E", "eur", "EURO", "ABC", "XAU", "ＥＵＲ"],
}


def test_a_wrong_value_is_422_and_named_and_changes_nothing(client):
    offer = make_offer(client)
    for field, values in (wrong_values | wrong_for_new).items():
        for value in values:
            new = {"name": "New", "discount": 5, field: value}
            assert refused(client.post("/offers", json=new), field), value
            if field in wrong_values:
                assert refused(change(client, offer, **{field: value}), field), value
    assert client.get("/offers").json["items"] == [offer]


def test_a_value_that_is_not_acceptable_json_is_400_and_named(client):
    offer = make_offer(client)
    for field in wrong_values | wrong_for_new:
        for text in ('"a\\u0000b"', '"\\ud800"', "NaN", "1e999", "9" * 50):
            for method, path in (("POST", "/offers"), ("PATCH", f"/offers/{offer['id']}")):
                answer = client.open(path, method=method, data=f'{{"{field}": {text}}}')
                assert (answer.status_code, answer.json["code"]) == (400, "malformed_json")
                assert list(answer.json["errors"]) == [field]
    assert client.get("/offers").json["items"] == [offer]


def test_a_missing_or_unknown_field_is_422_and_named(client):
    assert refused(client.post("/offers", json={"discount": 5}), "name")
    assert refused(client.post("/offers", json={"name": "KOI"}), "discount")
    assert refused(client.post("/offers", json={"name": "KOI", "discount": 5, "gift": 1}), "gift")


def test_offers_are_found_by_a_part_of_their_name(client):
    for name in ("SPRING 26", "SPRING 27", "100%"):
        client.post("/offers", json={"name": name, "discount": 5})
    for part, expected in (("spring", 2), ("g 27", 1), ("%", 1), ("_", 0)):
        found = client.get("/offers", query_string={"part": part, "limit": 1}).json
        names = [each["name"] for each in found["items"]]
        if found["next"]:
            more = client.get("/offers", query_string={"part": part, "cursor": found["next"]}).json
            names += [each["name"] for each in more["items"]]
        assert len(names) == expected, part


def test_a_name_that_differs_only_in_case_or_blanks_is_409_and_named(client):
    for name in ("Black Friday", "BLACKFRIDAY", "black friday"):
        make_offer(client, name=name, allow_similar_name=True)
    for name in ("Black Friday", "BLACKFRIDAY"):
        answer = client.post("/offers", json={"name": name, "discount": 5})
        assert outcome(answer) == (409, "offer_exists")
    answer = client.post("/offers", json={"name": "BLACK friday", "discount": 5})
    assert outcome(answer) == (409, "offer_name_similar")
    assert '"Black Friday"' in answer.json["detail"]
    assert client.post("/offers", json={"name": "Blackfriday 2", "discount": 5}).status_code == 201


@pytest.mark.parametrize(
    ("name", "alike"),
    [
        ("BLACK-FRIDAY", "BLACK\u2013FRIDAY"),
        ("BLACK-FRIDAY", "Black\u2011Friday"),
        ("Mother\u2019s Day", "Mother's Day"),
        ("KOI 10%", "ＫＯＩ　１０％"),
    ],
)
def test_a_name_that_looks_like_another_is_409(client, name, alike):
    make_offer(client, name=name)
    answer = client.post("/offers", json={"name": alike, "discount": 5})
    assert outcome(answer) == (409, "offer_name_similar")
    assert client.post("/offers", json={"name": "BLACK_FRIDAY", "discount": 5}).status_code == 201


def test_generate_makes_a_similar_offer_and_the_log_names_the_other(client, make, caplog):
    def generate(name):
        terms = {"email": None, "offer_name": name, "discount": 5, "expiry": in_days(1)}
        return client.post("/vouchers/generate", json=terms)

    for name, warnings in (("Black Friday", 0), ("BLACK FRIDAY", 1), ("BLACK FRIDAY", 1)):
        assert list(generate(name).json) == ["code"]
        told = [it.getMessage() for it in caplog.records if it.levelname == "WARNING"]
        assert len(told) == warnings
    assert "'BLACK FRIDAY' beside 'Black Friday'" in told[0]

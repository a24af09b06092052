"""The options of POST /vouchers/generate: own codes, uses, no customer, freezing."""

from tests.builders import ana, ben, in_days

path = "/vouchers/generate"


def body(**changes):
    wanted = {"email": ana, "offer_name": "KOI", "discount": 22.1, "expiry": in_days(30)}
    return wanted | changes


def test_a_chosen_code_redeems_in_any_spelling(client, make):
    make.customer()
    answer = client.post(path, json=body(code="SUMMER-26", max_redemptions=4))
    assert (answer.status_code, answer.json) == (201, {"code": "SUMMER-26"})
    for spelling in ("SUMMER-26", "summer26", " Summer 26 ", "S-U-M-M-E-R--26"):
        assert client.redeem(spelling).status_code == 201, spelling


def test_a_chosen_code_is_shown_as_it_was_chosen(client, make):
    make.customer()
    for code in ("Hello World", "abcd", "9" * 64, "A-B-C-E"):
        assert client.post(path, json=body(code=code)).status_code == 201
        assert client.listed()[-1] == code


def test_a_chosen_code_that_is_taken_is_409_and_leaves_nothing(client, make, sql):
    make.customer()
    assert client.post(path, json=body(code="OLD-KOI-26")).status_code == 201
    for code in ("OLD-KOI-26", "old koi 26", "01DK0126", "--0iD-kO-L26"):
        for other in ({}, {"discount": 50}, {"offer_name": "New"}):
            answer = client.post(path, json=body(code=code, **other))
            assert (answer.status_code, answer.json["code"]) == (409, "voucher_exists")
    assert [(row.name, str(row.discount)) for row in sql("SELECT * FROM offers")] == [
        ("KOI", "22.1")
    ]
    assert client.listed() == ["OLD-KOI-26"]


def test_an_unacceptable_code_is_422_and_named(client, make, sql):
    make.customer()
    other_characters = [
        "SUMMER!26",
        "SUMMER,26",
        "SÜMMER26",
        "SUMMER²⁶",
        "SUM／MER",
        "ſummer",
    ]
    wrong_lengths = ["", "----", "- - - -", "A" * 65, "A" + "-" * 100 + "BCD"]
    for code in [*other_characters, *wrong_lengths, "SUM\nMER", 123456, True, [], {}]:
        answer = client.post(path, json=body(code=code))
        assert (answer.status_code, answer.json["code"]) == (422, "validation_failed"), code
        assert list(answer.json["errors"]) == ["code"], code
    assert sql("SELECT * FROM offers") == []


def test_a_voucher_has_as_many_uses_as_asked_for(client, make):
    make.customer()
    code = client.post(path, json=body(max_redemptions=3)).json["code"]
    assert [client.redeem(code).status_code for _ in range(4)] == [201, 201, 201, 409]
    assert client.redeem(code).json["code"] == "redemption_limit_reached"


def test_a_wrong_option_is_422_and_named(client, make, sql):
    make.customer()
    for field, wrong in {
        "max_redemptions": [True, False, 0, -1, 1.5, "2", 10**9 + 1, 10**30, [], {}],
        "freeze_discount": [1, 0, 1.5, "true", "false", "", [], {}],
    }.items():
        for value in wrong:
            answer = client.post(path, json=body(**{field: value}))
            assert (answer.status_code, answer.json["code"]) == (422, "validation_failed"), value
            assert list(answer.json["errors"]) == [field], value
    assert sql("SELECT * FROM offers") == []


def test_a_number_of_50_digits_is_400_and_named(client, make):
    make.customer()
    answer = client.post(path, json=body(max_redemptions=10**50))
    assert (answer.status_code, answer.json["code"]) == (400, "malformed_json")
    assert list(answer.json["errors"]) == ["max_redemptions"]


def test_an_unbound_voucher_is_in_nobodys_list_and_redeems_for_any_known_customer(client, make):
    make.customer(ana)
    make.customer(ben)
    answer = client.post(path, json=body(email=None, max_redemptions=2))
    assert answer.status_code == 201
    code = answer.json["code"]
    assert (client.listed(ana), client.listed(ben)) == ([], [])
    unknown = client.redeem(code, "nobody@example.org")
    assert (unknown.status_code, unknown.json["code"]) == (404, "customer_not_found")
    assert [client.redeem(code, email).status_code for email in (ana, ben)] == [201, 201]


def test_an_offer_of_a_fixed_amount_is_409_and_stays_as_it_is(client, make, sql):
    make.customer()
    terms = {"name": "KOI", "discount": 5, "discount_type": "fixed_amount", "currency": "EUR"}
    assert client.post("/offers", json=terms).status_code == 201
    before = sql("SELECT * FROM offers")
    for discount in (5, 22.1):
        answer = client.post(path, json=body(discount=discount))
        assert (answer.status_code, answer.json["code"]) == (409, "offer_not_percentage")
    assert sql("SELECT * FROM offers") == before
    assert sql("SELECT * FROM vouchers") == []


def test_without_a_discount_the_offer_stays_as_it_is_whatever_its_kind(client, make):
    make.customer()
    fixed = {"name": "FIXED", "discount": 500, "discount_type": "fixed_amount", "currency": "EUR"}
    assert client.post("/offers", json=fixed).status_code == 201
    wanted = {"email": ana, "offer_name": "FIXED", "expiry": in_days(1)}
    code = client.post("/vouchers/generate", json=wanted).json["code"]
    redeemed = client.redeem(code, order_amount=800, currency="EUR").json
    assert (redeemed["discount"], redeemed["discount_amount"]) == (500, 500)
    frozen = client.post("/vouchers/generate", json=wanted | {"freeze_discount": True})
    assert frozen.status_code == 201
    refused = client.post("/vouchers/generate", json=wanted | {"offer_name": "NEW"})
    assert (refused.status_code, list(refused.json["errors"])) == (422, ["discount"])

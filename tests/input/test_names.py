"""Names and references: which are one."""

import unicodedata

import pytest

from tests.builders import ana, in_days
from tests.shop import outcome

name = "Été 2030"
spellings = [unicodedata.normalize("NFD", name), "Été\u00a02030", "  Été \t"[:-1] + "\u3000 2030 "]


@pytest.mark.parametrize("spelling", spellings)
def test_generate_finds_an_offer_in_every_spelling_that_looks_the_same(client, make, sql, spelling):
    make.customer(ana)
    client.post("/offers", json={"name": name, "discount": 5, "max_redemptions_per_customer": 1})
    terms = {"email": ana, "offer_name": spelling, "discount": 50, "expiry": in_days(1)}
    assert client.post("/vouchers/generate", json=terms).status_code == 201
    assert [row.name for row in sql("SELECT name FROM offers")] == [name]
    again = client.post("/offers", json={"name": spelling, "discount": 5})
    assert again.json["code"] == "offer_exists"


@pytest.mark.parametrize(
    "invisible", ["\u200b", "\u00ad", "\u2060", "\ufe0f", "\u202e", "\u2800", "\ufffc"]
)
def test_what_nobody_sees_is_refused_in_every_name_and_reference(client, make, invisible):
    code, wrong = make.voucher(), f"KOI{invisible}"
    for answer in (
        client.post("/offers", json={"name": wrong, "discount": 5}),
        client.redeem(code, order_ref=wrong),
        client.post("/vouchers/claim", json={"email": ana, "offer_name": wrong}),
        client.get("/redemptions", query_string={"order_ref": wrong}),
    ):
        assert outcome(answer) == (422, "validation_failed")
        assert "without invisible characters" in str(answer.json["errors"])


def test_an_order_is_found_in_every_spelling_of_its_reference(client, make):
    code = make.voucher()
    first = client.redeem(code, order_ref="Été\u00a01").json
    assert client.redeem(code, order_ref=unicodedata.normalize("NFD", "Été  1")).json == first
    found = client.get("/redemptions", query_string={"order_ref": "Été 1"}).json["items"]
    assert [it["order_ref"] for it in found] == ["Été 1"]
    reversed_ = client.post("/redemptions/reverse", json={"order_ref": "E\u0301te\u0301 1"})
    assert reversed_.status_code == 200


def test_a_command_and_a_seed_file_find_an_offer_in_every_spelling(app, client, sql, tmp_path):
    client.post("/offers", json={"name": name, "discount": 5})
    (tmp_path / "customers.json").write_text("[]")
    seed = f'\ufeff[{{"name": "{spellings[0]}", "discount": 10}}]'
    (tmp_path / "offers.json").write_text(seed, encoding="utf-8")
    run = app.test_cli_runner().invoke
    planted = run(args=["seed", "--directory", str(tmp_path)])
    assert "0 offers" in planted.output
    issue = ["vouchers", "issue", spellings[1], "--count", "1", "--expiry", "2099-12-31"]
    assert run(args=issue).exit_code == 0
    assert run(args=["vouchers", "export", "--offer", spellings[2]]).exit_code == 0


def test_a_name_is_measured_as_it_is_stored(client):
    """NFC makes two letters of क़, so 150 of them would be 300."""
    answer = client.post("/offers", json={"name": "\u0958" * 150, "discount": 5})
    assert answer.json["errors"] == {"name": ["Must have 1 to 200 characters."]}


def test_a_persons_name_may_hold_what_its_script_needs(client):
    persian = "می\u200cخواهم"
    answer = client.post("/customers", json={"email": ana, "name": persian})
    assert answer.json["name"] == persian

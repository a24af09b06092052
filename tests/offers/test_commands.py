"""`voucherpool offers`."""

import json

import pytest

from tests.tables import columns


@pytest.fixture
def run(app):
    runner = app.test_cli_runner()
    return lambda *arguments: runner.invoke(args=("offers", *arguments))


def test_offers_are_listed_with_their_ids(client, run):
    client.post("/offers", json={"name": "KOI", "discount": 22.1})
    terms = {"discount": 5, "discount_type": "fixed_amount", "currency": "EUR"}
    client.post("/offers", json={"name": "SPRING", **terms, "ends_at": "2030-01-01T00:00:00Z"})
    assert columns(run("list").output) == [
        ["ID", "NAME", "DISCOUNT", "DISCOUNT TYPE", "CURRENCY", "STARTS AT", "ENDS AT"],
        ["1", "KOI", "22.1", "percentage", "-", "-", "-"],
        ["2", "SPRING", "5", "fixed_amount", "EUR", "-", "2030-01-01T00:00:00Z"],
    ]
    assert json.loads(run("list", "--json").output) == client.get("/offers").json["items"]


def test_an_offer_is_shown_by_its_name(client, run):
    offer = client.post("/offers", json={"name": "KOI", "discount": 22.1}).json
    shown = dict(line.split("  ", 1) for line in run("show", "KOI").output.splitlines())
    assert shown["name"].strip() == "KOI"
    assert {name.replace(" ", "_") for name in shown} == offer.keys()
    assert json.loads(run("show", "KOI", "--json").output) == offer


def test_the_statistics_of_an_offer_are_shown_by_its_name(client, make, run):
    client.redeem(make.voucher(), order_amount=100, currency="EUR")
    lines = run("stats", "KOI").output.splitlines()
    assert ["discounted", "EUR", "22.1"] in [line.split() for line in lines]
    [headings, today] = columns("\n".join(lines[lines.index("Days:") + 1 :]))
    assert headings == ["DAY", "ISSUED", "CLAIMED", "REDEEMED", "REVERSED"]
    assert today[1:] == ["1", "0", "1", "0"]
    assert json.loads(run("stats", "KOI", "--json").output) == client.get("/offers/1/stats").json


@pytest.mark.parametrize("command", ["show", "stats"])
def test_a_name_that_no_offer_has_is_one_line_and_exit_code_1(run, command):
    ended = run(command, "NEW")
    assert (ended.exit_code, ended.output) == (1, "Error: No offer has this name.\n")

"""Searching vouchers: what is found, in what order, and in what state."""

import itertools
import random
from datetime import timedelta

import pytest

from tests.builders import ana, ben
from voucherpool.archive import moving
from voucherpool.database.transactions import transaction
from voucherpool.support import schemas, search

carl = "carl@example.org"


@pytest.fixture
def find(app):
    """Return a function that returns all vouchers that a search finds, page by page."""

    def run(limit=500, **criteria):
        with app.app_context():
            found, after = [], None
            while True:
                page = search.search(limit, after, **criteria)
                assert len(page.items) <= limit
                found += page.items
                if (after := page.next) is None:
                    return found

    return run


@pytest.fixture
def population(client, make, sql):
    """Make vouchers of every state and kind; return the customer of each, None if it is unbound."""
    made = {}
    chance = random.Random(20261130)  # noqa: S311
    for number in range(100):
        email, offer = chance.choice((ana, ben, carl)), f"offer {chance.randrange(5)}"
        days = chance.choice((-1, 3, 3, 30))
        uses = chance.choice((1, 1, 2, 3))
        code = make.voucher(email, offer, "10", days=30, max_redemptions=uses)
        made[code] = email
        for taken in range(chance.randrange(uses + 1)):
            client.redeemed(code, email=email, order_ref=f"{number}-{taken}")
        if chance.random() < 0.2:
            client.post("/redemptions/reverse", json={"order_ref": f"{number}-0"})
        if chance.random() < 0.15:
            client.hold(code, email)
        if chance.random() < 0.15:
            client.post("/vouchers/disable", json={"code": code})
        key = {"key": code.replace("-", "")}
        if chance.random() < 0.3:
            sql("UPDATE vouchers SET customer_id = NULL WHERE code_key = :key", **key)
            made[code] = None
        sql(f"UPDATE vouchers SET expires_at = {at(days)} WHERE code_key = :key", **key)
        if number % 20 == 0:
            sql(f"UPDATE vouchers SET starts_at = {at(1)} WHERE code_key = :key", **key)
    spent(client, "offer 4")
    for name, change in changes.items():
        sql(f"UPDATE offers SET {change} WHERE name = :name", name=name)
    return made


changes = {
    "offer 1": "ends_at = now()",
    "offer 2": "max_redemptions_per_customer = 5",
    "offer 3": "max_redemptions_per_customer = 1000",
}


def spent(client, name):
    """Let an offer have no budget left."""
    [offer] = client.get("/offers", query_string={"part": name}).json["items"]
    used = client.get(f"/offers/{offer['id']}/stats").json
    budget = {"max_redemptions": max(1, used["redeemed"] - used["reversed"])}
    assert client.patch(f"/offers/{offer['id']}", json=budget).status_code == 200


def at(days):
    return f"now() + interval '{days} days'"


def checked(client, code, email):
    """Return the state of a voucher, as a check tells it."""
    body = {"code": code} if email is None else {"code": code, "email": email}
    answer = client.post("/vouchers/check", json=body).json
    return search.redeemable if answer["redeemable"] else answer["reason"]


def test_a_search_and_a_check_agree_about_every_voucher(client, find, population):
    states = {code: checked(client, code, email) for code, email in population.items()}
    assert {each.code: each.state for each in find()} == states
    met = set(states.values())
    assert met >= set(search.states) - {"customer_not_found"}, set(search.states) - met
    for state in search.states:
        expected = {code for code, found in states.items() if found == state}
        assert {each.code for each in find(limit=7, state=state)} == expected, state


def test_all_criteria_together_find_what_each_of_them_finds(find, population):
    everything = {each.code: each for each in find()}
    for email, offer, state in itertools.product(
        (None, ana), (None, "offer 0", "offer 2"), (None, "redeemable", "voucher_already_redeemed")
    ):
        expected = {
            code
            for code, each in everything.items()
            if email in (None, each.email)
            and offer in (None, each.offer_name)
            and state in (None, each.state)
        }
        found = {each.code for each in find(limit=5, email=email, offer_name=offer, state=state)}
        assert found == expected, (email, offer, state)


def test_pages_come_in_the_order_of_expiry(find, population):
    for descending in (False, True):
        found = find(limit=7, descending=descending)
        assert len(found) == len({each.code for each in found}) == len(population)
        places = [(each.at_0, each.at_1) for each in found]
        assert places == sorted(places, reverse=descending)
        by_offer = find(limit=7, offer_name="offer 0", descending=descending)
        assert by_offer == [each for each in found if each.offer_name == "offer 0"]


def test_a_range_of_expiry_begins_at_its_first_moment_and_ends_before_its_last(find, make, sql):
    codes = [make.voucher(days=days) for days in (1, 2, 3)]
    moments = [moment for (moment,) in sql("SELECT expires_at FROM vouchers ORDER BY 1")]
    found = find(expires_from=moments[0], expires_to=moments[2])
    assert [each.code for each in found] == codes[:2]


def test_a_part_of_a_chosen_code_finds_it_in_any_spelling(find, make):
    make.voucher(code="SUMMER-26-FISH")
    make.voucher(code="SUMMER-27-BIRD")
    make.voucher()
    for part, expected in (("mer-26", 1), ("summer", 2), ("SUMMER 2", 2), ("b1rd", 1), ("x%", 0)):
        assert len(find(code_part=part)) == expected, part


def test_a_batch_comes_in_the_order_of_issue(find, make, sql):
    codes = [make.voucher(days=days) for days in (3, 1, 2)]
    sql(
        "INSERT INTO batches (offer_id, requested, expires_at, max_redemptions, pattern)"
        " VALUES (1, 3, now(), 1, '############')"
    )
    sql("UPDATE vouchers SET batch_id = 1")
    assert [each.code for each in find(limit=1, batch_id=1)] == codes
    assert [each.code for each in find(limit=1, batch_id=1, descending=True)] == codes[::-1]


def test_archived_vouchers_are_found_too(client, find, make, app, sql):
    code, other = make.voucher(code="OLD-FISH"), make.voucher()
    client.redeemed(code)
    before = find()[0]
    archive(app)
    assert {each.code for each in find()} == {code, other}
    for criteria in ({"email": ana}, {"offer_name": "KOI"}, {"code_part": "old"}):
        [found] = [each for each in find(**criteria) if each.archived_at]
        assert found._replace(archived_at=None) == next(
            each for each in (before,) if each.code == code
        )


def archive(app):
    with app.app_context():
        with transaction():
            blocks = moving.blocks()
        for first in blocks:
            with transaction():
                moving.archive(timedelta(0), first)


def test_the_states_of_requests_are_those_that_searches_find():
    assert set(schemas.states) == set(search.states)


def test_nobody_redeems_the_voucher_of_an_erased_customer(client, find, make):
    make.voucher()
    client.delete("/customers/1")
    assert [(each.email, each.state) for each in find()] == [(None, "customer_not_found")]

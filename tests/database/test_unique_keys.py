"""Two writers want one name: one gets it, and the other is told. No other taken key is retried."""

from collections import Counter

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from tests.gate import senders
from tests.shop import open_shop
from voucherpool.database.model import db


@pytest.fixture
def prepared(client, make):
    """Make ten customers, ten offers and ten schedules."""
    for number in range(senders):
        make.customer(f"c{number}@example.org")
        client.post("/offers", json={"name": f"O{number}", "discount": 5})
        schedule = {"name": f"S{number}", "offer_name": "O0", "cron": "0 9 * * 1"}
        schedule |= {"timezone": "UTC", "audience": "all_customers", "valid_for": "7d"}
        assert client.post("/schedules", json=schedule).status_code == 201


@pytest.mark.parametrize(
    ("path", "wanted", "refusal"),
    [
        ("customers", {"email": "new@example.org"}, "customer_exists"),
        ("offers", {"name": "NEW"}, "offer_exists"),
        ("schedules", {"name": "NEW"}, "schedule_exists"),
    ],
)
def test_of_those_who_change_to_one_name_one_has_it(server, gate, prepared, path, wanted, refusal):
    def change(number):
        status, answer = server.request("PATCH", f"/{path}/{number + 1}", wanted)
        return status, answer.get("code")

    # Each has seen that the name is free.
    answers = Counter(gate.race(change, f"LOCK TABLE {path} IN SHARE MODE"))
    assert answers == {(200, None): 1, (409, refusal): senders - 1}


@pytest.mark.one_machine("adds a unique index, which no shard could hold")
def test_a_key_that_nobody_named_is_an_error_and_not_a_race(own_app):
    own_app.testing = True
    shop = open_shop(own_app)
    with own_app.app_context(), db.engine.begin() as connection:
        connection.execute(text("CREATE UNIQUE INDEX surprise ON offers (discount)"))
    assert shop.post("/offers", json={"name": "A", "discount": 5}).status_code == 201
    with pytest.raises(IntegrityError, match="surprise"):
        shop.post("/offers", json={"name": "B", "discount": 5})

"""Which statements ask one shard of a cluster, and which ask all: by EXPLAIN."""

import re

import pytest

from tests import cluster
from tests.builders import ana
from voucherpool.claims import on_cluster as claiming
from voucherpool.claims import pool
from voucherpool.database.model import db
from voucherpool.http.idempotency import stored_answers
from voucherpool.redemptions import service as redemptions
from voucherpool.vouchers import events, listing, on_cluster
from voucherpool.vouchers.checkout import holding
from voucherpool.vouchers.eligibility import budgets, limits, state

pytestmark = pytest.mark.cluster

asked = state.request("ABCD01234567", ana)
unknown = {name: value for name, value in asked.items() if name != "email"}
held = {
    name: value for name, value in asked.items() if name not in ("order_ref", "order_decimals")
} | {"ttl": 60, "new_id": "h"}
key = {"key": "ABCD01234567"}
no_id = "00000000-0000-0000-0000-000000000000"
one_voucher = {
    "redeem": (on_cluster.redeem_short.take, asked),
    "redeem with an order": (on_cluster.redeem_short.take, asked | {"order_ref": "o"}),
    "redeem with an amount": (
        on_cluster.redeem_short.take,
        asked | {"order_amount": 10, "order_currency": "EUR", "order_decimals": 2},
    ),
    "check": (state.for_redemption.of_customer, asked),
    "check in the archive": (state.for_redemption.of_customer_including_archive, asked),
    "check without a customer": (state.for_redemption.of_unknown, unknown),
    "hold": (holding.hold_short, held),
    "claim a candidate": (pool.lock_candidate, {"offer_id": 1, **key}),
    "count a claim": (claiming.add_claimed, {"offer_id": 1}),
    "give back": (redemptions.give_back, {**key, "id": no_id}),
    "take an Idempotency-Key": (
        stored_answers.take_key,
        {"key": "k", "scope": "redeem", "fingerprint": bytes(32)},
    ),
    "store an answer": (
        stored_answers.store_answer,
        {"this": "k", "in_scope": "redeem", "code": 201, "text": "{}", "customer_ids": None},
    ),
    "ask for a budget's room": (
        budgets.read_room,
        {"offer_id": 1, "customer_id": 1, "amount": 5, **key},
    ),
    "add to a budget": (
        budgets.add_used,
        {"offer_id": 1, "uses": 1, "amount": 5, "currency": "EUR"},
    ),
    "ask for subscribers": (on_cluster.find_subscribers, {"type": "voucher.redeemed"}),
    "record an event": (
        events.record_one,
        {**key, "type": "voucher.redeemed", "announced": False},
    ),
    "record a redemption": (on_cluster.record_redemption, {**key, "redemption": no_id}),
}
all_vouchers = {
    "list": (
        listing.list_some,
        {
            "customer_id": 1,
            "exhausted": [],
            "count": 3,
            "expires_at": "-infinity",
            "issue_number": 0,
        },
    ),
    "count towards a limit": (limits.count, {"customer_id": 1, "offer_id": 1}),
    "candidates of a claim": (pool.candidates, {"offer_id": 1}),
}


@pytest.fixture
def planned(app):
    """Return a function that returns Citus's plan of a statement."""

    def run(statement, values):
        explained = f"EXPLAIN {statement.sql}"
        with app.app_context(), db.engine.connect() as connection:
            return "\n".join(connection.exec_driver_sql(explained, values).scalars())

    return run


def tasks(plan):
    """Return how many shards a plan asks."""
    return max(int(number) for number in re.findall(r"Task Count: (\d+)", plan))


@pytest.mark.parametrize("name", one_voucher)
def test_a_statement_about_one_voucher_asks_one_shard(planned, name):
    assert tasks(planned(*one_voucher[name])) == 1


@pytest.mark.parametrize("name", one_voucher)
def test_the_rows_of_events_alone_go_by_way_of_the_coordinator(planned, name):
    goes = "pull to coordinator" in planned(*one_voucher[name])
    assert goes == (name in ("give back", "record an event", "record a redemption"))


@pytest.mark.parametrize("name", all_vouchers)
def test_a_statement_about_many_vouchers_asks_all_shards(planned, name):
    assert tasks(planned(*all_vouchers[name])) == cluster.shards

"""Metadata: the shop's own texts, kept with offers, batches and redemptions."""

import pytest

from tests.builders import ana, in_days
from voucherpool.batches import generating
from voucherpool.database.transactions import transaction

channel = {"channel": "app", "Überschrift": "Straße 1"}


def test_a_redemption_answers_its_metadata_back_everywhere(client, make, sql):
    code = make.voucher(max_redemptions=9)
    order = {"order_ref": "o", "metadata": channel}
    first = client.redeemed(code, **order)
    assert first["metadata"] == channel
    again = client.redeem(code, order_ref="o", metadata={"channel": "web"})
    assert (again.status_code, again.json) == (201, first)
    [row] = client.get("/redemptions?order_ref=o").json["items"]
    assert row["metadata"] == channel
    record = client.post("/vouchers/lookup", json={"code": code}).json
    assert record["redemptions"][0]["metadata"] == channel
    reversed_ = client.post("/redemptions/reverse", json={"order_ref": "o"}).json
    assert reversed_["items"][0]["metadata"] == channel
    assert "metadata" not in client.redeemed(code)
    assert sql("SELECT count(*) FROM redemptions WHERE metadata IS NULL") == [(1,)]


def test_a_held_voucher_and_one_of_a_limited_offer_keep_it_too(client, make):
    code, other = make.voucher(), make.voucher()
    client.hold(code)
    assert client.redeemed(code, metadata=channel)["metadata"] == channel
    assert client.patch("/offers/1", json={"max_redemptions": 9}).status_code == 200
    assert client.redeemed(other, metadata=channel)["metadata"] == channel


def test_a_check_takes_it_as_a_redemption_does(client, make):
    assert client.check(make.voucher(), metadata=channel).json["redeemable"]


def test_an_offer_keeps_it_until_it_is_changed_or_removed(client):
    answer = client.post("/offers", json={"name": "KOI", "discount": 5, "metadata": channel})
    assert (answer.status_code, answer.json["metadata"]) == (201, channel)
    [listed] = client.get("/offers").json["items"]
    assert listed == client.get("/offers/1").json == answer.json
    assert client.patch("/offers/1", json={"discount": 6}).json["metadata"] == channel
    assert client.patch("/offers/1", json={"metadata": {"a": "b"}}).json["metadata"] == {"a": "b"}
    [entry, *_] = client.get("/audit-log?subject=offer").json["items"]
    assert entry["after"] == {"metadata": {"a": "b"}}
    for nothing in ({}, None):
        client.patch("/offers/1", json={"metadata": channel})
        assert client.patch("/offers/1", json={"metadata": nothing}).json["metadata"] is None


def test_a_batch_keeps_it_and_its_event_shows_it(app, client, make, sql):
    make.voucher()
    sql(
        "INSERT INTO webhooks (url, event_types, secret, active_from) VALUES ('http://example.org',"
        " ARRAY['batch.finished', 'voucher.redeemed', 'redemption.reversed'], '', now())"
    )
    body = {"count": 1, "expiry": in_days(3), "metadata": channel}
    batch = client.post("/offers/1/batches", json=body).json
    assert batch["metadata"] == channel
    assert client.get(f"/batches/{batch['id']}").json == batch
    with app.app_context(), transaction():
        generating.advance()
    client.redeemed(make.voucher(), order_ref="o", metadata=channel)
    client.post("/redemptions/reverse", json={"order_ref": "o"})
    events = dict(sql("SELECT type, data FROM events").__iter__())
    assert events["batch.finished"]["batch"]["metadata"] == channel
    assert events["voucher.redeemed"]["redemption"]["metadata"] == channel
    assert events["redemption.reversed"]["redemption"]["metadata"] == channel


def test_it_moves_to_the_archive_with_its_redemption(app, client, make):
    client.redeemed(make.voucher(), order_ref="o", metadata=channel)
    make.older(130)
    moves = ["vouchers", "archive", "--older-than", "90d"]
    assert app.test_cli_runner().invoke(args=moves).exit_code == 0
    [row] = client.get("/redemptions?order_ref=o").json["items"]
    assert row["metadata"] == channel


def test_erasing_a_customer_removes_that_of_their_redemptions(app, client, make, sql):
    client.redeemed(make.voucher(), metadata={"note": f"for {ana}"})
    make.older(130)
    moves = ["vouchers", "archive", "--older-than", "90d"]
    assert app.test_cli_runner().invoke(args=moves).exit_code == 0
    client.redeemed(make.voucher(), metadata={"note": f"for {ana}"})
    assert client.delete("/customers/1").status_code == 204
    for table in ("redemptions", "archived_redemptions"):
        assert sql(f"SELECT metadata FROM {table}") == [(None,)]


@pytest.mark.parametrize(
    "wrong",
    [
        *("text", 5, True, [], [["a", "b"]]),
        *({"a": 5}, {"a": None}, {"a": ""}, {"a": {"b": "c"}}, {"a": "\n"}, {"a": "x" * 501}),
        *({"": "a"}, {"x" * 41: "a"}, {"a\nb": "c"}),
        {str(number): "x" for number in range(21)},
    ],
    ids=repr,
)
def test_what_is_no_small_object_of_texts_is_refused(client, make, wrong):
    batch = {"count": 1, "expiry": in_days(3), "metadata": wrong}
    answers = [
        client.redeem(make.voucher(), metadata=wrong),
        client.patch("/offers/1", json={"metadata": wrong}),
        client.post("/offers/1/batches", json=batch),
    ]
    for answer in answers:
        assert (answer.status_code, list(answer.json["errors"])) == (422, ["metadata"])


def test_twenty_long_texts_are_kept(client, make):
    most = {f"{number:040}": "ä" * 500 for number in range(20)}
    assert client.redeemed(make.voucher(), metadata=most)["metadata"] == most

"""The payloads of webhooks are what the OpenAPI document says."""

import pytest
from jsonschema_rs import Draft202012Validator

from tests.builders import ana, in_days
from voucherpool.claims import low_pools
from voucherpool.database.transactions import transaction
from voucherpool.events import event_types
from voucherpool.operations.worker import number_events
from voucherpool.vouchers import codes, events
from voucherpool.vouchers.eligibility import budget_watch
from voucherpool.webhooks.delivery import deliveries


@pytest.fixture
def document(anonymous):
    return anonymous.get("/openapi.json").json


def test_every_type_of_event_is_described(document):
    assert set(document["webhooks"]) == set(event_types.all_types)


def test_what_a_webhook_gets_is_as_the_document_says(app, create, client, make, document, sql):
    create("http://127.0.0.1:9/a", *event_types.all_types)
    other = create("http://127.0.0.1:9/b", event_types.pool_low)
    code = make.voucher(customer_id=None, max_redemptions=2)
    sql("UPDATE offers SET pool_low_at = 5")
    claimed = client.post("/vouchers/claim", json={"email": ana, "offer_name": "KOI"}).json["code"]
    redeemed = client.redeemed(claimed, order_ref="A-1", order_amount=80, currency="EUR")
    client.post(f"/redemptions/{redeemed['redemption_id']}/reverse", json={})
    client.post("/vouchers/disable", json={"code": code})
    client.post("/vouchers/enable", json={"code": code})
    batch = {"count": 2, "audience": [ana], "expiry": in_days(5), "notify": True}
    client.post("/offers/1/batches", json=batch)
    client.patch("/offers/1", json={"max_redemptions": 1})
    client.redeem(make.voucher(), order_ref="A-2")
    run = app.test_cli_runner()
    run.invoke(args=["vouchers", "issue", "--resume", "1"])
    with app.app_context():
        with transaction():
            low_pools.watch()
            budget_watch.recount()
            budget_watch.watch()
            deliveries.switch_off(other["id"], deliveries.failing)
            events.record_reminders.run({"keys": codes.normal_form(claimed), "days": 7})
        number_events()
    sent = {}
    for event in client.get("/events?limit=500").json["items"]:
        sent[event["type"]] = {
            "type": event["type"],
            "timestamp": event["created_at"],
            "number": event["number"],
            "data": event["data"],
        }
    assert set(sent) == set(event_types.all_types)
    for type_, payload in sent.items():
        body = document["webhooks"][type_]["post"]["requestBody"]["content"]["application/json"]
        schema = {**body["schema"], "components": document["components"]}
        Draft202012Validator(schema).validate(payload)

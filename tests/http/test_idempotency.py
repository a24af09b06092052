"""Idempotency-Key on every write."""

import re

import pytest

from tests.builders import ana, in_days
from tests.shop import open_shop
from voucherpool.apikeys import service as apikeys

path = "/vouchers/validate"


def send(client, key, body, path=path):
    return client.post(path, json=body, headers={"Idempotency-Key": key})


def test_a_repeat_gets_the_first_answer_byte_for_byte(client, make, sql):
    body = {"code": make.voucher(), "email": ana}
    first, second = send(client, "k1", body), send(client, "k1", body)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.data == second.data
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    assert second.content_type == first.content_type
    assert len(sql("SELECT * FROM redemptions")) == 1


reads = {
    *("/vouchers/check", "/vouchers/lookup", "/vouchers/search"),
    *("/redemptions/search", "/redemptions/export", "/schedules/preview"),
}
keyless = {"/unsubscribe/<string:token>"}
"""A mail program sends it; a repeat changes nothing."""
writing = {"POST", "PATCH", "PUT", "DELETE"}


@pytest.fixture
def writes(client, make):
    """Return what to send to each route that writes, in an order in which all of it succeeds."""
    make.voucher(customer_id=None)
    code = make.voucher(max_redemptions=9)
    redemption = client.redeem(code).json["redemption_id"]
    hold, asks = client.hold(code).json, {"code": code, "email": ana}
    unused = client.post("/offers", json={"name": "UNUSED", "discount": 5}).json["id"]
    issue = {"email": ana, "offer_name": "KOI", "discount": 5, "expiry": in_days(1)}
    schedule = {"name": "Monday", "offer_name": "KOI", "cron": "0 9 * * 1", "timezone": "UTC"}
    schedule |= {"audience": "all_customers", "valid_for": "7d"}
    return {
        "POST /vouchers/generate": issue,
        "POST /vouchers/claim": {"email": ana, "offer_name": "KOI"},
        "POST /vouchers/hold": asks,
        "POST /vouchers/release": {"hold_id": hold["hold_id"]},
        "POST /vouchers/redeem": asks | {"order_ref": "o1"},
        "POST /vouchers/validate": asks | {"order_ref": "o2"},
        "POST /vouchers/disable": {"code": code},
        "POST /vouchers/enable": {"code": code},
        "POST /redemptions/reverse": {"order_ref": "o1"},
        f"POST /redemptions/{redemption}/reverse": {},
        "POST /offers": {"name": "NEW", "discount": 5},
        "PATCH /offers/1": {"discount": 6},
        "POST /offers/1/batches": {"count": 1, "expiry": in_days(1)},
        "POST /batches/1/cancel": None,
        "POST /batches/1/changes": {"expires_at": {"add": "7d"}},
        "POST /changes/1/cancel": None,
        "POST /offers/1/changes": {"disabled": True, "reason": "leaked"},
        "DELETE /batches/1": None,
        f"DELETE /offers/{unused}": None,
        "POST /vouchers/change": {"code": code, "max_redemptions": 10},
        "POST /offers/1/imports": f"code,expires_at\r\nOWN-CODE-1,{in_days(1)}\r\n",
        "POST /customers": {"email": "new@example.org"},
        "PATCH /customers/1": {"name": "Ana"},
        "PUT /customers/1/opt-out": None,
        "DELETE /customers/1/opt-out": None,
        "DELETE /customers/1": None,
        "POST /webhooks": {"url": "http://8.8.8.8/", "event_types": ["batch.finished"]},
        "PATCH /webhooks/1": {"event_types": ["pool.low"]},
        "POST /webhooks/1/rotate-secret": {},
        "POST /webhooks/1/replay": {"since": in_days(-1)},
        "DELETE /webhooks/1": None,
        "POST /schedules": schedule,
        "PATCH /schedules/1": {"paused": True},
        "DELETE /schedules/1": None,
    }


def test_every_route_that_writes_takes_a_key(app, client, writes):
    left = {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in rule.methods & writing
        if rule.rule not in reads | keyless
        and not rule.rule.startswith("/console")  # whose forms have keys of their own
    }
    address = app.url_map.bind("localhost")
    for number, (name, body) in enumerate(writes.items()):
        method, path = name.split()
        left.remove((method, address.match(path, method, return_rule=True)[0].rule))
        csv = {"data": body, "content_type": "text/csv"} if isinstance(body, str) else {}
        sent = {"headers": {"Idempotency-Key": f"key-{number}"}, **(csv or {"json": body})}
        first, second = (client.open(path, method=method, **sent) for _ in "12")
        assert first.status_code < 300, (name, first.text)
        assert second.headers["Idempotent-Replayed"] == "true", name
        # A secret is shown once and not stored.
        shown = re.sub(rb'"whsec_[^"]+"', b"null", first.data)
        assert (second.status_code, second.data) == (first.status_code, shown)
    assert left == set(), "each route that writes needs a request above"


def test_an_answer_without_a_body_is_replayed_too(client):
    body = {"hold_id": "00000000-0000-4000-8000-000000000000"}
    for replayed in (None, "true"):
        answer = send(client, "k", body, "/vouchers/release")
        assert (answer.status_code, answer.data) == (204, b"")
        assert answer.headers.get("Idempotent-Replayed") == replayed


def test_another_body_or_route_under_the_key_is_422(client, make):
    code = make.voucher()
    body = {"code": code, "email": ana}
    assert send(client, "k", body).status_code == 201
    for other, route in (
        ({**body, "order_ref": "x"}, path),
        ({**body, "code": code.lower()}, path),
        (body, "/vouchers/hold"),
    ):
        answer = send(client, "k", other, route)
        assert (answer.status_code, answer.json["code"]) == (422, "idempotency_key_reused")


def test_an_amount_that_differs_by_a_cent_is_another_request(client, make):
    body = {"code": make.voucher(max_redemptions=9), "email": ana, "order_amount": 10.01}
    assert send(client, "k", body).status_code == 201
    answer = send(client, "k", body | {"order_amount": 10.02})
    assert (answer.status_code, answer.json["code"]) == (422, "idempotency_key_reused")


def test_another_method_under_the_key_is_422(client, make):
    make.customer()
    same = {"headers": {"Idempotency-Key": "k"}}
    assert client.put("/customers/1/opt-out", **same).status_code == 200
    answer = client.delete("/customers/1/opt-out", **same)
    assert (answer.status_code, answer.json["code"]) == (422, "idempotency_key_reused")


def test_a_key_of_one_scope_blocks_none_of_another(app, make):
    """Shops like to name keys after orders, so others can guess them."""
    body = {"code": make.voucher(max_redemptions=9), "email": ana}
    with app.app_context():
        issuer, redeemer, successor = (
            open_shop(app, apikeys.create(name, [scope]))
            for name, scope in {"1": "issue", "2": "redeem", "3": "redeem"}.items()
        )
    first = send(issuer, "order-77", {"email": "new@example.org"}, "/customers")
    second = send(redeemer, "order-77", body)
    assert (first.status_code, second.status_code) == (201, 201)
    assert send(issuer, "order-77", {"email": "new@example.org"}, "/customers").data == first.data
    for shop in (redeemer, successor):
        assert send(shop, "order-77", body).data == second.data
    other = send(redeemer, "order-77", body | {"order_ref": "x"})
    assert (other.status_code, other.json["code"]) == (422, "idempotency_key_reused")


def test_the_same_body_spelt_otherwise_is_the_same(client, make):
    code = make.voucher()
    spellings = [
        f'{{"code":"{code}","email":"{ana}","order_amount":100}}',
        f'{{ "order_amount": 1.00e2, "email": "{ana}", "code": "{code}" }}',
        f'{{"email":"{ana}","code":"\\u{ord(code[0]):04x}{code[1:]}","order_amount":100.0}}',
    ]
    answers = [client.post(path, data=text, headers={"Idempotency-Key": "k"}) for text in spellings]
    assert [answer.status_code for answer in answers] == [201, 201, 201]
    assert len({answer.data for answer in answers}) == 1


def test_a_refusal_is_not_remembered_but_decided_again(client, make, sql):
    code = make.voucher(days=-1)
    body = {"code": code, "email": ana}
    assert send(client, "k", body).status_code == 410
    assert sql("SELECT * FROM idempotency_keys") == []
    sql("UPDATE vouchers SET expires_at = now() + interval '1 day'")
    assert send(client, "k", body).status_code == 201


def test_bare_and_quoted_keys_are_the_same(client, make):
    body = {"code": make.voucher(), "email": ana}
    assert send(client, "a-key", body).status_code == 201
    assert send(client, '"a-key"', body).headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize("unacceptable", ["", "a b", "a" * 256, "\u00e4", '""'])
def test_an_unacceptable_key_is_422_and_named(client, make, unacceptable):
    answer = send(client, unacceptable, {"code": make.voucher(), "email": ana})
    assert (answer.status_code, list(answer.json["errors"])) == (422, ["Idempotency-Key"])


def test_cleanup_forgets_unused_keys_only_and_a_repeat_renews_its_key(app, client, make, sql):
    body = {"code": make.voucher(max_redemptions=2), "email": ana}
    send(client, "old", body)
    sql("UPDATE idempotency_keys SET used_at = now() - interval '49 hours'")
    first = send(client, "old", body)
    result = app.test_cli_runner().invoke(args=["cleanup"])
    assert result.output == "Deleted 0 idempotency keys and 0 refused attempts.\n"
    assert first.headers["Idempotent-Replayed"] == "true"
    sql("UPDATE idempotency_keys SET used_at = now() - interval '49 hours'")
    result = app.test_cli_runner().invoke(args=["cleanup"])
    assert result.output.startswith("Deleted 1 idempotency key and ")

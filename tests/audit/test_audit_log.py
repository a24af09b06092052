"""The audit log: each administrative write leaves one entry, which says who did what and why."""

import csv
from contextlib import suppress
from decimal import Decimal
from io import StringIO
from ipaddress import ip_network

import pytest
from cryptography.fernet import Fernet

from tests.builders import ana, ben, in_days
from voucherpool.audit import actor
from voucherpool.audit import service as audit
from voucherpool.database.transactions import transaction
from voucherpool.offers import service as offers

not_administrative = {
    "POST /vouchers/generate",
    "POST /vouchers/validate",
    "POST /vouchers/redeem",
    "POST /vouchers/check",
    "POST /vouchers/hold",
    "POST /vouchers/release",
    "POST /vouchers/claim",
    "POST /vouchers/lookup",
    "POST /vouchers/search",
    "POST /redemptions/search",
    "POST /redemptions/export",
    "POST /schedules/preview",
    "POST /unsubscribe/<string:token>",
}
"""What the shop and its customers do, and what only reads."""

this_machine = (ip_network("127.0.0.1"),)
schedule = {"name": "Monday", "offer_name": "KOI", "cron": "0 9 * * 1", "timezone": "UTC"}
schedule |= {"audience": "all_customers", "valid_for": "7d"}
csv_file = {"data": "code\nWELCOME-A1\n", "content_type": "text/csv"}
requests = {
    "POST /offers": {"json": {"name": "SPRING", "discount": 20}},
    "PATCH /offers/<id:offer_id>": {"json": {"discount": 99}},
    "POST /customers": {"json": {"email": ben}},
    "PATCH /customers/<id:customer_id>": {"json": {"name": "Ana"}},
    "POST /offers/<id:offer_id>/batches": {"json": {"count": 1, "expiry": in_days(30)}},
    "POST /offers/<id:offer_id>/imports": {"query_string": {"expiry": in_days(30)}, **csv_file},
    "POST /batches/<id:batch_id>/cancel": {},
    "POST /batches/<id:batch_id>/changes": {"json": {"expires_at": {"add": "7d"}}},
    "POST /changes/<id:change_id>/cancel": {},
    "POST /offers/<id:offer_id>/changes": {"json": {"disabled": True, "reason": "leaked"}},
    "DELETE /batches/<id:batch_id>": {},
    "DELETE /offers/<id:offer_id>": {"ids": {"offer_id": 2}},
    "POST /vouchers/change": {"json": {"code": "FISH-4-FRIENDS", "max_redemptions": 10}},
    "POST /vouchers/disable": {"json": {"code": "FISH-4-FRIENDS", "reason": "leaked"}},
    "POST /vouchers/enable": {"json": {"code": "FISH-4-FRIENDS", "reason": "found"}},
    "POST /redemptions/<uuid:redemption_id>/reverse": {"json": {"reason": "returned"}},
    "POST /redemptions/reverse": {"json": {"order_ref": "A-2", "reason": "cancelled"}},
    "POST /schedules": {"json": schedule},
    "PATCH /schedules/<id:schedule_id>": {"json": {"paused": True}},
    "DELETE /schedules/<id:schedule_id>": {},
    "POST /webhooks": {"json": {"url": "http://127.0.0.1:9/", "event_types": ["pool.low"]}},
    "PATCH /webhooks/<id:webhook_id>": {"json": {"event_types": ["batch.finished"]}},
    "POST /webhooks/<id:webhook_id>/rotate-secret": {},
    "POST /webhooks/<id:webhook_id>/replay": {"json": {"since": in_days(-1)}},
    "DELETE /webhooks/<id:webhook_id>": {},
    "PUT /customers/<id:customer_id>/opt-out": {},
    "DELETE /customers/<id:customer_id>/opt-out": {},
    "DELETE /customers/<id:customer_id>": {},
}
"""A request to each administrative route, in an order in which all succeed."""


@pytest.fixture
def entries(sql):
    """Return a function that returns the entries of the log, the oldest first, and empties it."""

    def run(columns="action, subject_id, before, after, reason"):
        found = sql(f"SELECT {columns} FROM audit_log ORDER BY id")
        sql("DELETE FROM audit_log")
        return [tuple(row) for row in found]

    return run


@pytest.fixture
def things(app, client, make, monkeypatch, entries):
    """Make one thing of each kind; return the values of the routes' parameters."""
    monkeypatch.setitem(app.config, "SECRET_KEYS", (Fernet.generate_key().decode(),))
    monkeypatch.setitem(app.config, "WEBHOOKS_ALLOW", this_machine)
    make.voucher(code="FISH-4-FRIENDS", max_redemptions=9)
    redeemed = [client.redeemed("FISH-4-FRIENDS", order_ref=f"A-{n}") for n in (1, 2)]
    entries()
    kinds = ("offer", "customer", "schedule", "webhook", "batch", "change")
    ids = dict.fromkeys((f"{kind}_id" for kind in kinds), 1)
    return ids | {"redemption_id": redeemed[0]["redemption_id"]}


def test_every_administrative_route_leaves_exactly_one_entry(app, client, things, entries):
    rules = {
        f"{method} {rule.rule}": rule
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"GET", "HEAD", "OPTIONS"}
        if not rule.rule.startswith("/console")
    }
    assert requests.keys() | not_administrative == rules.keys(), "say what a new route leaves"
    named = {"Voucherpool-Actor": "Eve of support", "X-Request-Id": "r-1"}
    for route, request in requests.items():
        method = route.partition(" ")[0]
        sent = dict(request)
        ids = things | sent.pop("ids", {})
        address = rules[route].build(ids, append_unknown=False)[1]
        answer = client.open(address, method=method, headers=named, **sent)
        assert answer.status_code < 300, (route, answer.text)
        found = entries("api_key, actor, request_id, reason")
        reason = request.get("json", {}).get("reason")
        assert found == [("tests", "Eve of support", "r-1", reason)], route


def test_what_is_not_administrative_leaves_no_entry(client, make, things, entries):
    order = {"code": "FISH-4-FRIENDS", "email": ana}
    hold = client.hold("FISH-4-FRIENDS").json
    wanted = {"email": None, "offer_name": "KOI", "expiry": in_days(30)}
    client.post("/vouchers/claim", json={"email": ana, "offer_name": "KOI"})
    for path, body in {
        "generate": wanted,
        "claim": {"email": ana, "offer_name": "KOI"},
        "check": order,
        "release": {"hold_id": hold["hold_id"]},
        "redeem": order,
        "validate": order,
        "lookup": {"code": "FISH-4-FRIENDS"},
    }.items():
        answer = client.post(f"/vouchers/{path}", json=body)
        assert answer.status_code < 300, (path, answer.text)
    assert entries() == []


def test_an_entry_says_what_was_before_and_what_is_after(client, things, entries):
    end = {"ends_at": "2030-01-01T00:00:00Z"}
    client.patch("/offers/1", json={"discount": 99, "name": "KOI", **end})
    client.patch("/customers/1", json={"email": "Ana2@example.org"})
    client.post("/offers", json={"name": "SPRING", "discount": 20.5})
    assert entries() == [
        (
            *("offer.changed", "1", {"discount": 22.1, "ends_at": None}),
            *({"discount": 99, **end}, None),
        ),
        ("customer.changed", "1", {"email": ana}, {"email": "Ana2@example.org"}, None),
        (
            *("offer.created", "2", None),
            *({"name": "SPRING", "discount": 20.5, "discount_type": "percentage"}, None),
        ),
    ]


def test_what_changes_nothing_leaves_no_entry(client, things, entries):
    client.post("/vouchers/disable", json={"code": "FISH-4-FRIENDS"})
    client.post("/redemptions/reverse", json={"order_ref": "A-1"})
    client.put("/customers/1/opt-out")
    assert len(entries()) == 3
    for _ in range(2):
        client.post("/vouchers/disable", json={"code": "FISH-4-FRIENDS"})
        client.post("/redemptions/reverse", json={"order_ref": "A-1"})
        client.put("/customers/1/opt-out")
        client.patch("/offers/1", json={"discount": 22.1})
        client.patch("/offers/1", json={})
        client.patch("/customers/1", json={"email": ana})
    assert entries() == []


def test_a_repeat_under_an_idempotency_key_leaves_no_second_entry(client, things, entries):
    key = {"Idempotency-Key": "k-1"}
    answers = [
        client.post("/offers", json={"name": "SPRING", "discount": 20}, headers=key)
        for _ in range(2)
    ]
    assert answers[0].data == answers[1].data
    assert [action for action, *_ in entries()] == ["offer.created"]


def test_a_refused_write_leaves_no_entry(client, things, entries):
    assert client.post("/offers", json={"name": "KOI", "discount": 20}).status_code == 409
    assert client.patch("/offers/1", json={"discount": 101}).status_code == 422
    assert client.delete("/customers/9").status_code == 404
    assert entries() == []


def test_the_entry_is_in_the_transaction_of_the_write(app, make, entries):
    make.voucher()
    entries()
    with app.app_context(), suppress(ZeroDivisionError), transaction():
        offers.change(1, discount=Decimal(99))
        raise ZeroDivisionError
    assert entries() == []


@pytest.mark.parametrize("name", ["", "a" * 256, "Bj\u00f6rn", " "])
def test_an_actor_that_no_log_should_show_is_refused(client, name):
    answer = client.get("/offers", headers={"Voucherpool-Actor": name})
    assert answer.status_code == 422
    assert list(answer.json["errors"]) == ["Voucherpool-Actor"]


def test_an_actor_does_not_stay_for_the_next_request(client, things, entries):
    client.patch("/offers/1", json={"discount": 1}, headers={"Voucherpool-Actor": "eve"})
    client.patch("/offers/1", json={"discount": 2})
    assert entries("actor") == [("eve",), (None,)]


def test_a_command_acts_for_the_user_of_the_system(app, entries):
    runner = app.test_cli_runner()
    assert runner.invoke(args=["apikeys", "create", "shop", "--scope", "read"]).exit_code == 0
    assert runner.invoke(args=["apikeys", "revoke", "shop"]).exit_code == 0
    found = entries("action, actor LIKE 'cli:_%', after, before")
    assert found == [
        ("api_key.created", True, {"name": "shop", "scopes": ["read"]}, None),
        ("api_key.revoked", True, None, {"name": "shop"}),
    ]
    assert actor.current() == actor.Actor()


def test_the_log_is_listed_by_pages_the_newest_first(client, things):
    for discount in range(1, 8):
        client.patch("/offers/1", json={"discount": discount})
    found, cursor = [], {}
    while cursor is not None:
        page = client.get("/audit-log", query_string={"limit": 3, **cursor}).json
        found += [entry["after"]["discount"] for entry in page["items"]]
        cursor = {"cursor": page["next"]} if page["next"] else None
    assert found == [7, 6, 5, 4, 3, 2, 1]


def test_filters_choose_entries(client, things, key):
    for name in ("eve", "bob"):
        client.patch("/offers/1", json={"name": name}, headers={"Voucherpool-Actor": name})
    client.patch("/customers/1", json={"name": "Ana"}, headers={"Voucherpool-Actor": "bob"})
    for query, expected in (
        ({"actor": "eve"}, ["offer.changed"]),
        ({"actor": "bob"}, ["customer.changed", "offer.changed"]),
        ({"action": "offer.changed"}, ["offer.changed"] * 2),
        ({"subject": "customer", "subject_id": "1"}, ["customer.changed"]),
        ({"subject": "customer", "subject_id": "2"}, []),
        ({"api_key_id": 1}, ["customer.changed"] + ["offer.changed"] * 2),
        ({"api_key_id": 2}, []),
        ({"from": in_days(-1), "to": in_days(1)}, ["customer.changed"] + ["offer.changed"] * 2),
        ({"from": in_days(1)}, []),
        ({"to": in_days(-1)}, []),
    ):
        answer = client.get("/audit-log", query_string=query).json
        assert [entry["action"] for entry in answer["items"]] == expected, query


def test_codes_do_not_belong_into_the_address(client):
    answer = client.get("/audit-log?subject=voucher&subject_id=FISH4FR1ENDS")
    assert list(answer.json["errors"]) == ["subject_id"]


def test_erasing_a_customer_removes_the_person_from_the_log(client, things, entries):
    client.patch("/customers/1", json={"email": "Ana2@example.org", "name": "Ana Z"})
    client.patch("/customers/1", json={"language": "fr"})
    assert client.delete("/customers/1").status_code == 204
    assert entries() == [
        ("customer.changed", "1", {}, {}, None),
        ("customer.changed", "1", {}, {}, None),
        ("customer.erased", "1", None, None, None),
    ]


def test_each_filter_reads_the_log_by_an_index(explain, sql):
    sql(
        "INSERT INTO audit_log (action, subject, subject_id, actor, api_key_id, created_at)"
        " SELECT 'offer.changed', 'offer', n % 500, 'a' || n % 500, n % 500,"
        " now() - n * interval '1 minute' FROM generate_series(1, 20000) AS n"
    )
    sql("ANALYZE audit_log")
    for filters in (
        {},
        {"actor": "a7"},
        {"subject": "offer", "subject_id": "7"},
        {"api_key_id": 7},
    ):
        statement = audit.chosen(**filters).order_by(*(c.desc() for c in audit.order)).limit(101)
        plan = explain(statement)
        assert "Seq Scan" not in plan, plan
        assert "Rows Removed" not in plan, plan


def test_the_file_has_what_the_list_has(client, things):
    for name in ("eve", "=bob"):
        client.patch("/offers/1", json={"name": name}, headers={"Voucherpool-Actor": name})
    answer = client.get(
        "/audit-log/export", query_string={"action": "offer.changed"}, buffered=True
    )
    rows = list(csv.DictReader(StringIO(answer.text)))
    assert [(row["actor"], row["action"], row["after"]) for row in rows] == [
        ("'=bob", "offer.changed", '{"name": "=bob"}'),
        ("eve", "offer.changed", '{"name": "eve"}'),
    ]
    assert rows[0].keys() == client.get("/audit-log").json["items"][0].keys()


def test_its_file_for_excel_begins_with_a_byte_order_mark(client, things):
    with client.get("/audit-log/export?bom=true") as answer:
        assert answer.data.startswith("\ufeffid,".encode())

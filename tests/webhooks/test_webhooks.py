"""The webhooks' routes."""

import json
from datetime import datetime

import pytest

from tests.erasure.test_erasure import dumped
from tests.shop import outcome

url = "http://127.0.0.1:9/hook"
types = ["voucher.redeemed", "voucher.issued"]


def moment(text):
    return datetime.fromisoformat(text)


@pytest.fixture
def webhook(create):
    return create(url, *types)


def test_a_new_webhook_is_answered_with_its_secret_and_shown_without(client, webhook):
    path = f"/webhooks/{webhook['id']}"
    secret = webhook.pop("secret")
    assert secret.startswith("whsec_")
    assert (webhook["url"], webhook["event_types"]) == (url, types)
    assert (webhook["disabled_at"], webhook["disabled_reason"]) == (None, None)
    for shown in (client.get(path), client.patch(path, json={})):
        assert shown.json == webhook
    assert client.get("/webhooks").json == {"items": [webhook], "next": None}


def test_a_webhook_is_active_from_the_moment_that_makes_it(webhook):
    assert moment(webhook["active_from"]) >= moment(webhook["created_at"])


def test_no_table_holds_a_secret_in_plain_text_and_a_repeat_does_not_show_it(client, allowed, sql):
    body, key = {"url": url, "event_types": types}, {"Idempotency-Key": "k"}
    first, repeat = (client.post("/webhooks", json=body, headers=key) for _ in range(2))
    assert (first.status_code, repeat.status_code) == (201, 201)
    assert repeat.json == first.json | {"secret": None}
    path = f"/webhooks/{first.json['id']}/rotate-secret"
    second, repeat = (client.post(path, json={}, headers={"Idempotency-Key": "r"}) for _ in "12")
    assert repeat.json == second.json | {"secret": None}
    secrets = {first.json["secret"], second.json["secret"]}
    assert len(secrets) == 2
    dump = dumped(sql)
    for secret in secrets:
        key = secret.removeprefix("whsec_")
        assert not any(text in dump for text in (key, key.encode().hex(), "whsec_"))


def test_a_request_that_only_names_something_secret_is_stored_as_it_is(client):
    body, key = {"name": "secret", "discount": 5}, {"Idempotency-Key": "k"}
    first, repeat = (client.post("/offers", json=body, headers=key) for _ in range(2))
    assert first.data == repeat.data


@pytest.mark.parametrize(
    ("changes", "moves"),
    [
        ({"event_types": ["voucher.issued"]}, False),
        ({"event_types": [*types, "pool.low"]}, True),
        ({"url": "http://127.0.0.1:9/other"}, False),
        ({"disabled": False}, False),
    ],
)
def test_active_from_moves_with_more_types_alone(client, webhook, changes, moves):
    changed = client.patch(f"/webhooks/{webhook['id']}", json=changes).json
    for name in changes.keys() - {"disabled"}:
        assert changed[name] == changes[name]
    assert (changed["active_from"] > webhook["active_from"]) == moves


def test_a_webhook_is_switched_off_and_on_and_is_then_active_later(client, webhook):
    path = f"/webhooks/{webhook['id']}"
    off = client.patch(path, json={"disabled": True}).json
    assert off["disabled_at"]
    assert off["disabled_reason"] == "requested"
    assert client.patch(path, json={"disabled": True}).json["disabled_at"] == off["disabled_at"]
    on = client.patch(path, json={"disabled": False}).json
    assert (on["disabled_at"], on["disabled_reason"]) == (None, None)
    assert on["active_from"] > webhook["active_from"]


def test_a_deleted_webhook_is_gone_and_its_deliveries_follow(
    client, webhook, in_background, sql, app
):
    path = f"/webhooks/{webhook['id']}"
    sql("INSERT INTO deliveries (webhook_id, event_number) SELECT id, 1 FROM webhooks")
    assert client.delete(path).status_code == 204
    assert client.get("/webhooks").json == {"items": [], "next": None}
    listed = app.test_cli_runner().invoke(args=["webhooks", "list"]).output
    assert url not in listed
    in_background()
    assert sql("SELECT 1 FROM deliveries") == sql("SELECT 1 FROM webhooks") == []


def test_a_deleted_webhook_is_unknown_from_then_on(client, webhook):
    path = f"/webhooks/{webhook['id']}"
    assert client.delete(path).status_code == 204
    since = {"since": "2026-01-01T00:00:00Z"}
    for answer in (
        *(client.get(path), client.get(f"{path}/deliveries"), client.delete(path)),
        *(client.patch(path, json={}), client.post(f"{path}/rotate-secret")),
        client.post(f"{path}/replay", json=since),
    ):
        assert outcome(answer) == (404, "webhook_not_found")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"url": url}, "event_types"),
        ({"url": url, "event_types": []}, "event_types"),
        ({"url": url, "event_types": ["voucher.lost"]}, "event_types"),
        *(
            ({"url": wrong, "event_types": types}, "url")
            for wrong in (
                *("ftp://example.org/", "//example.org/", "example.org", "http://", None, 5),
                *("http://user@example.org/", "http://user:pass@example.org/"),
                *("http://example.org/#part", "http://example.org:0/", "http://example.org:65536/"),
                *("http://exam ple.org/", "http://bücher.example/", "http://example.org/\r\nX: y"),
                *("http://a\\@127.0.0.1/", "http://[::1%25lo]/", f"http://e.org/{'x' * 2000}"),
            )
        ),
    ],
)
def test_what_is_no_webhook_is_refused_and_names_the_field(client, allowed, body, field):
    answer = client.post("/webhooks", json=body)
    assert outcome(answer) == (422, "validation_failed")
    assert field in answer.json["errors"]


@pytest.fixture
def others(webhook, sql):
    """Return a function that copies the webhook until there are so many."""
    return lambda number: sql(
        "INSERT INTO webhooks (url, event_types, secret, active_from)"
        " SELECT url, event_types, secret, now() FROM webhooks, generate_series(2, :number)",
        number=number,
    )


def test_there_are_at_most_100_webhooks_and_a_deleted_one_makes_room(client, webhook, others):
    others(100)
    body = {"url": url, "event_types": types}
    answer = client.post("/webhooks", json=body)
    assert outcome(answer) == (409, "too_many_webhooks")
    assert "delete one" in answer.json["detail"]
    client.delete(f"/webhooks/{webhook['id']}")
    assert client.post("/webhooks", json=body).status_code == 201
    assert outcome(client.post("/webhooks", json=body)) == (409, "too_many_webhooks")


def test_webhooks_that_are_created_at_once_are_never_too_many(server, gate, others, sql):
    others(95)
    body = {"url": "http://8.8.8.8/", "event_types": types}
    sent = gate.race(
        lambda _: server.post("/webhooks", body)[0], "LOCK TABLE webhooks IN SHARE MODE"
    )
    assert sorted(sent) == [201] * 5 + [409] * 5
    assert sql("SELECT count(*) FROM webhooks") == [(100,)]


def test_without_a_key_no_secret_is_made_and_the_answer_says_what_to_set(
    app, client, webhook, monkeypatch
):
    monkeypatch.setitem(app.config, "SECRET_KEYS", ())
    body = {"url": url, "event_types": types}
    for answer in (
        client.post("/webhooks", json=body),
        client.post(f"/webhooks/{webhook['id']}/rotate-secret"),
    ):
        assert outcome(answer) == (409, "secret_key_not_configured")
        assert "VOUCHERPOOL_SECRET_KEY" in answer.json["detail"]


def test_the_previous_secret_ends_with_a_rotation_that_gives_it_no_time(client, webhook, sql):
    client.post(f"/webhooks/{webhook['id']}/rotate-secret", json={"previous_valid_for_seconds": 0})
    assert sql("SELECT previous_secret, previous_until FROM webhooks") == [(None, None)]


@pytest.fixture
def numbered(sql):
    """Number events of the types, one a day, the last one now."""
    for days, type_ in enumerate([*types, "pool.low", *types]):
        sql(
            "INSERT INTO numbered_events (id, type, data, created_at, numbered_at) VALUES"
            " (gen_random_uuid(), :type, '{}', now(), now() - interval '1 day' * :days)",
            type=type_,
            days=4 - days,
        )


def test_a_replay_queues_the_events_of_the_types_from_a_moment_on(
    client, webhook, numbered, in_background, sql
):
    path = f"/webhooks/{webhook['id']}/replay"
    [(since,)] = sql("SELECT now() - interval '30 hours'")
    assert client.post(path, json={"since": since.isoformat()}).json == {"queued": 2}
    in_background()
    sql(
        "UPDATE deliveries SET state = 'delivered', finished_at = now(), attempts = 9, status = 200"
        " WHERE event_number = 4"
    )
    # Deliveries that wait already are not counted again.
    assert client.post(path, json={"since": since.isoformat()}).json == {"queued": 1}
    in_background()
    answer = client.post(path, json={"since": "2000-01-01T00:00:00Z"})
    assert (answer.status_code, answer.json) == (202, {"queued": 2})
    in_background()
    rows = sql("SELECT event_number, state, attempts, status FROM deliveries ORDER BY 1")
    assert rows == [(number, "waiting", 0, None) for number in (1, 2, 4, 5)]
    assert client.post(path, json={"since": "2100-01-01T00:00:00Z"}).json == {"queued": 0}
    assert in_background() == 0


def test_a_webhook_that_is_off_replays_nothing(client, webhook, numbered):
    path = f"/webhooks/{webhook['id']}"
    client.patch(path, json={"disabled": True})
    answer = client.post(f"{path}/replay", json={"since": "2000-01-01T00:00:00Z"})
    assert outcome(answer) == (409, "webhook_disabled")


def test_the_log_of_deliveries_has_pages_from_the_newest_on(
    client, webhook, numbered, in_background, sql
):
    path = f"/webhooks/{webhook['id']}"
    client.post(f"{path}/replay", json={"since": "2000-01-01T00:00:00Z"})
    in_background()
    sql(
        "UPDATE deliveries SET state = 'parked', finished_at = now(), status = 500,"
        " error = 'rejected' WHERE event_number = 2"
    )
    first = client.get(f"{path}/deliveries?limit=3").json
    second = client.get(f"{path}/deliveries?limit=3&cursor={first['next']}").json
    assert [row["number"] for row in first["items"]] == [5, 4, 2]
    assert [row["number"] for row in second["items"]] == [1]
    assert second["next"] is None
    [parked] = client.get(f"{path}/deliveries?state=parked").json["items"]
    assert (parked["number"], parked["type"], parked["status"]) == (2, types[1], 500)
    assert client.get(f"{path}/deliveries?state=lost").status_code == 422
    assert "token" not in json.dumps(first)

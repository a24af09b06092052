"""A schedule with a webhook and e-mails, as processes that are killed."""

import random
import time
from ipaddress import ip_network

import pytest

from tests.notifications.mail.conftest import keys, settings_of
from tests.notifications.mail.relay import run_relay
from tests.notifications.webhooks.conftest import until
from tests.notifications.webhooks.receiving import receiving

everybody = """
    INSERT INTO customers (email, email_key) SELECT email, email
    FROM (SELECT 'c' || n || '@example.org' AS email FROM generate_series(1, :people) AS n)"""
waiting = "{} WHERE state = 'waiting'"
queues = ("deliveries", "messages")


@pytest.fixture
def receiver():
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def inbox():
    with run_relay() as inbox:
        yield inbox


@pytest.fixture
def secret(app, client, receiver, monkeypatch):
    """Make a webhook for issued vouchers and return its secret."""
    monkeypatch.setitem(app.config, "SECRET_KEYS", keys)
    monkeypatch.setitem(app.config, "WEBHOOKS_ALLOW", (ip_network("127.0.0.1"),))
    body = {"url": receiver.url, "event_types": ["voucher.issued"]}
    return client.post("/webhooks", json=body).json["secret"]


@pytest.fixture
def start_worker(voucherpool, inbox):
    environ = settings_of(f"smtp+plain://127.0.0.1:{inbox.port}")
    environ["VOUCHERPOOL_WEBHOOKS_ALLOW"] = "127.0.0.1"
    return lambda: voucherpool("worker", **environ)


def schedule_for_everybody(client, sql, people):
    """Make customers, and a schedule that is due."""
    sql(everybody, people=people)
    client.post("/offers", json={"name": "KOI", "discount": 5})
    schedule = {
        "name": "Monday",
        "offer_name": "KOI",
        "cron": "0 9 * * 1",
        "timezone": "Europe/Berlin",
        "audience": "all_customers",
        "valid_for": "7d",
        "notify": True,
    }
    assert client.post("/schedules", json=schedule).status_code == 201
    sql("UPDATE schedules SET next_at = now() - interval '1 second'")


@pytest.mark.parametrize(
    ("people", "most_kills"), [(40, 2), pytest.param(1000, 1000, marks=pytest.mark.fault)]
)
def test_a_schedule_reaches_every_customer_though_its_workers_are_killed(
    client, sql, receiver, inbox, secret, start_worker, audit, people, most_kills
):
    schedule_for_everybody(client, sql, people)
    chance = random.Random(people)  # noqa: S311
    workers = [start_worker() for _ in range(4)]

    def count(rows):
        return sql(f"SELECT count(*) FROM {rows}")[0][0]

    def is_idle():
        is_made = count("numbered_events") == count("messages") == people
        return is_made and not any(
            count(f"{waiting.format(queue)} AND due_at <= now()") for queue in queues
        )

    kills = 0
    while kills < most_kills and not is_idle():
        time.sleep(1)
        victim = workers.pop(chance.randrange(4))
        victim.kill()
        victim.wait(5)
        kills += 1
        workers.append(start_worker())
    until(is_idle, 120)
    # What a killed worker had taken is due again after its lease.
    for queue in queues:
        sql(f"UPDATE {queue} SET due_at = now() WHERE state = 'waiting'")
    until(lambda: not any(count(waiting.format(queue)) for queue in queues), 60)

    assert count("vouchers") == people
    events = sql("SELECT id::text, data->'voucher'->>'code' AS code FROM numbered_events")
    codes = {row.code for row in sql("SELECT code FROM vouchers")}
    assert {event.code for event in events} == codes
    received = receiver.all()
    assert {request.id for request in received} == {event.id for event in events}
    assert {request.verified(secret)["data"]["voucher"]["code"] for request in received} == codes
    mails = sql(
        "SELECT email, attempts, state FROM messages JOIN customers ON customers.id = customer_id"
    )
    assert {mail.state for mail in mails} == {"sent"}
    assert all(1 <= inbox.recipients[mail.email] <= mail.attempts for mail in mails)
    assert sum(mail.attempts for mail in mails) <= people + most_kills
    audit()

"""A schedule with a webhook and e-mails, as processes that are killed."""

import random
import time
from ipaddress import ip_network

import pytest

from tests.builders import ana, in_days
from tests.erasure.test_erasure import dumped, traces
from tests.mail.conftest import keys, mail_to, settings_of
from tests.mail.relay import run_relay
from tests.patience import until
from voucherpool.operations.worker import number_events

everybody = """
    INSERT INTO customers (email, email_key) SELECT email, email
    FROM generate_series(1, :people) AS n, concat('c', n, '@example.org') AS email"""
waiting = "{} WHERE state = 'waiting'"
queues = ("deliveries", "messages")


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
    return lambda: voucherpool("worker", **environ_of(inbox))


def environ_of(inbox):
    environ = settings_of(f"smtp+plain://127.0.0.1:{inbox.port}")
    return environ | {"VOUCHERPOOL_WEBHOOKS_ALLOW": "127.0.0.1"}


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


@pytest.mark.long
@pytest.mark.parametrize(("people", "crew", "most_kills"), [(40, 1, 1), (1000, 4, 1000)])
def test_a_schedule_reaches_every_customer_though_its_workers_are_killed(
    client, sql, receiver, inbox, secret, start_worker, audit, people, crew, most_kills
):
    schedule_for_everybody(client, sql, people)
    chance = random.Random(people)  # noqa: S311
    workers = [start_worker() for _ in range(crew)]

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
        victim = workers.pop(chance.randrange(crew))
        victim.kill()
        victim.wait()
        kills += 1
        workers.append(start_worker())
    until(is_idle)
    # Items that a killed worker had taken are due again after their lease. This ends it for all,
    # so what a living worker is sending is sent again.
    for queue in queues:
        sql(f"UPDATE {queue} SET due_at = now() WHERE state = 'waiting'")
    until(lambda: not any(count(waiting.format(queue)) for queue in queues))

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
    assert sum(mail.attempts for mail in mails) <= people + kills + len(workers)
    audit()


@pytest.fixture
def deliver(app, inbox, monkeypatch):
    """Return a function that delivers without a worker, as an operator would."""
    monkeypatch.setitem(app.config, "MAIL", mail_to(inbox.port))

    def run():
        assert app.test_cli_runner().invoke(args=["outbox", "deliver"]).exit_code == 0

    return run


@pytest.fixture
def announced(client, make, secret):
    """Issue a voucher that its customer is to hear of, and return the customer's id."""
    make.customer()
    terms = {"email": ana, "offer_name": "KOI", "discount": 5, "expiry": in_days(9), "notify": True}
    assert client.post("/vouchers/generate", json=terms).status_code == 201
    return client.get("/customers").json["items"][0]["id"]


def test_an_operator_can_deliver_without_a_worker(announced, deliver, receiver, inbox, secret):
    deliver()
    [request] = receiver.all()
    assert request.verified(secret)["data"]["email"] == ana
    assert inbox.recipients == {ana: 1}
    deliver()
    assert not receiver.all()
    assert inbox.recipients == {ana: 1}


@pytest.mark.parametrize("is_numbered", [False, True])
def test_a_customer_who_is_erased_with_events_queued_is_told_and_kept_nowhere(
    app, client, announced, deliver, receiver, inbox, sql, is_numbered
):
    terms = {"name": "Monday", "offer_name": "KOI", "cron": "0 9 * * 1", "timezone": "UTC"}
    terms |= {"audience": [ana], "valid_for": "7d", "notify": True}
    assert (
        client.post("/schedules", json=terms, headers={"Idempotency-Key": "k"}).status_code == 201
    )
    client.put(f"/customers/{announced}/opt-out")
    client.delete(f"/customers/{announced}/opt-out")
    if is_numbered:
        with app.app_context():
            number_events(mail=True)
    assert traces(dumped(sql), ana)
    assert client.delete(f"/customers/{announced}").status_code == 204
    assert traces(dumped(sql), ana) == []
    deliver()
    assert not receiver.all()
    assert not inbox.messages
    assert traces(dumped(sql), ana) == []

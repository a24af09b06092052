"""A worker that loses its connections again and again, while it does work of every kind."""

import json
import signal
import time
from ipaddress import ip_network
from threading import Thread

import pytest

from tests.builders import in_days, others
from tests.patience import most_seconds, until
from tests.webhooks.receiving import receiving

on_loopback = "127.0.0.0/8"


@pytest.fixture
def webhook(app, client, monkeypatch):
    monkeypatch.setitem(app.config, "WEBHOOKS_ALLOW", (ip_network(on_loopback),))
    with receiving() as receiver:
        asked = {"url": receiver.url, "event_types": ["voucher.disabled", "batch.finished"]}
        assert client.post("/webhooks", json=asked).status_code == 201
        yield receiver


@pytest.fixture
def schedule(client, make):
    """Make a schedule of an offer with 100 vouchers, and return these."""
    codes = [make.voucher() for _ in range(100)]
    asked = {"name": "S", "offer_name": "KOI", "cron": "* * * * *", "timezone": "UTC"}
    asked |= {"audience": "pool", "count": 1, "valid_for": "1d"}
    assert client.post("/schedules", json=asked).status_code == 201
    return codes


@pytest.mark.long
@pytest.mark.one_machine("it ends the connections of one machine")
def test_lost_connections_are_no_error_in_the_log_and_nothing_is_lost(
    app, client, schedule, webhook, voucherpool, sql, audit
):
    batch = {"count": 60_000, "expiry": in_days(30)}
    path = client.post("/offers/1/batches", json=batch).headers["Location"]
    keys = ",".join(app.config["SECRET_KEYS"])
    worker = voucherpool(
        "worker", VOUCHERPOOL_SECRET_KEY=keys, VOUCHERPOOL_WEBHOOKS_ALLOW=on_loopback
    )
    log = []
    reading = Thread(target=lambda: log.extend(worker.stderr))
    reading.start()

    def count(rows):
        return sql(f"SELECT count(*) FROM {rows}")[0][0]

    for code in schedule:
        sql("UPDATE schedules SET next_at = now() WHERE next_at > now()")
        assert client.post("/vouchers/disable", json={"code": code}).status_code == 200
        sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
        time.sleep(0.1)
    until(lambda: not count("batches WHERE finished_at IS NULL"))
    assert client.get(path).json["created"] == 60_000
    until(lambda: not count("events"))
    sql("UPDATE deliveries SET due_at = now() WHERE state = 'waiting'")
    until(lambda: not count("deliveries WHERE state <> 'delivered'"))
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(most_seconds) == 0
    reading.join()
    # libpq itself prints what the server says to a connection that is being opened.
    lines = [json.loads(line) for line in log if not line.startswith("FATAL: ")]
    assert len([line for line in lines if line["level"] == "WARNING"]) > 10
    assert [line for line in lines if line["level"] not in ("INFO", "WARNING")] == []
    assert len({request.id for request in webhook.all()}) == count("deliveries") >= 100
    assert count("schedule_runs WHERE state = 'done'") == count("batches") - 1 > 0
    audit()

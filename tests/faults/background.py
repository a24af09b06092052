"""The worker killed with -9 while it does each kind of its work."""

import time
from collections.abc import Callable
from random import Random
from typing import Any

from tests.builders import in_days
from tests.faults.ledger import of_codes
from tests.faults.run import Run, kill
from tests.faults.scenarios import scenario
from tests.patience import until
from tests.webhooks.receiving import receiving

moments = Random(30)  # noqa: S311
longest_seconds = 2.0
"""A worker lives so long after it got on, at most; a hook that cuts its work waits half as long."""
loopback = {"VOUCHERPOOL_WEBHOOKS_ALLOW": "127.0.0.0/8"}


def kill_workers(run: Run, kills: int, progress: Callable[[], int]) -> None:
    """Kill one worker after the other, each a random moment after it got on."""
    for _ in range(kills):
        worker, before = run.worker(**loopback), progress()
        until(lambda: progress() > before)  # noqa: B023
        time.sleep(moments.random() * longest_seconds)
        kill(worker.pid)
        worker.wait()
        run.kills += 1


def count(run: Run, rows: str) -> int:
    """Return how many rows there are."""
    return int(run.sql(f"SELECT count(*) FROM {rows}")[0][0])


def ask(run: Run, path: str, body: Any) -> Any:
    """Post as a shop does, and return the answer."""
    status, answer = run.shop(run.gunicorn(**loopback).port).call("POST", path, body)
    assert status < 300, answer
    return answer


@scenario("batch", control="whole chunks", control_size=0.3)
def batch(run: Run) -> None:
    """The worker is killed again and again while it generates a batch, which ends exact."""
    run.postgres()
    run.vouchers(1)
    kills = run.times(20, least=8 if run.is_control else 4)
    size = 60_000 * kills
    ask(run, "/offers/1/batches", {"count": size, "expiry": in_days(9)})
    kill_workers(run, kills, lambda: run.sql("SELECT created FROM batches")[0][0])
    run.worker()
    until(lambda: count(run, "batches WHERE finished_at IS NULL") == 0)
    run.compare(size, count(run, "vouchers WHERE batch_id = 1"))
    run.judge()


@scenario("change", control="whole pages", control_size=0.3)
def change(run: Run) -> None:
    """The worker is killed again and again while it adds 7 days to each voucher, exactly once."""
    run.postgres()
    kills = run.times(20, least=4)
    size = (5_000 if run.is_control else 50_000) * kills
    run.vouchers(size)
    ask(run, "/offers/1/changes", {"expires_at": {"add": "7d"}})
    kill_workers(run, kills, lambda: run.sql("SELECT changed FROM changes")[0][0])
    run.worker()
    until(lambda: count(run, "changes WHERE finished_at IS NULL") == 0)
    missed = count(run, "vouchers WHERE expires_at < now() + interval '12 days'")
    twice = count(run, "vouchers WHERE expires_at > now() + interval '18 days'")
    run.compare(size, size - missed + twice)
    run.judge()


copies = """
    INSERT INTO schedules (name, offer_id, cron, timezone, audience, count, valid_for, notify,
        paused, catch_up, next_at)
    SELECT gen_random_uuid()::text, offer_id, cron, timezone, audience, count, valid_for, notify,
        paused, catch_up, now() - interval '1 second'
    FROM schedules, generate_series(1, 30)
    WHERE name = 'S'"""


@scenario("schedule", control="whole runs", control_size=0.3)
def schedule(run: Run) -> None:
    """One of two workers is killed again and again; each due schedule happens exactly once."""
    run.postgres()
    run.vouchers(1)
    kills = run.times(40, least=5)
    terms = {"offer_name": "KOI", "cron": "0 0 1 1 *", "timezone": "UTC", "valid_for": "90d"}
    ask(run, "/schedules", {"name": "S", "audience": "pool", "count": 1, **terms})
    run.worker()
    for _ in range(kills):
        run.sql(copies)
        kill_workers(run, 1, lambda: count(run, "schedule_runs"))
    until(lambda: count(run, "schedules WHERE next_at <= now()") == 0)
    until(lambda: count(run, "batches WHERE finished_at IS NULL") == 0)
    run.compare(30 * kills, count(run, "vouchers WHERE batch_id IS NOT NULL"))
    run.judge()


@scenario("delivery", control="record after sending", control_size=0.3)
def delivery(run: Run) -> None:
    """The worker is killed again and again while it delivers events; none is left out."""
    run.postgres()
    kills = run.times(20, least=4)
    codes = run.vouchers(200 * kills)
    with receiving() as receiver:
        asked = {"url": receiver.url, "event_types": ["voucher.redeemed"]}
        ask(run, "/webhooks", asked)
        port = run.gunicorn(**loopback).port
        run.redeem_all(port, of_codes(codes), members=8)
        kill_workers(run, kills, receiver.received.qsize)
        run.worker(**loopback)
        # What a killed worker had taken is due again when its lease of 30 s ends.
        again = "UPDATE deliveries SET due_at = now() WHERE state = 'waiting' AND due_at > now()"
        until(lambda: not count(run, "events"))
        while count(run, "deliveries WHERE state = 'waiting'"):
            run.sql(again)
            time.sleep(1)
        arrived = {request.id for request in receiver.all()}
    run.compare(len(codes), len(arrived))
    run.judge()

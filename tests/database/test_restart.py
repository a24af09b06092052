"""PostgreSQL restarted under load."""

import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import flask_migrate
import pytest

from tests.builders import Builders, ana
from tests.conftest import memory
from tests.server import Server, run_gunicorn
from voucherpool import create_app
from voucherpool.config import Config
from voucherpool.database.model import db
from voucherpool.database.transactions import transaction
from voucherpool.http import apikeys
from voucherpool.local.postgres import LocalPostgres

pytestmark = pytest.mark.one_machine("starts and kills a PostgreSQL of its own")

per_second, seconds = 50, 16


@pytest.fixture
def postgres():
    """Return a durable PostgreSQL of the test's own."""
    with memory("restart") as home:
        postgres = LocalPostgres(home / "postgres")
        postgres.start()
        yield postgres


def statuses(server, code, ended):
    """Send what a shop sends, some of it with an Idempotency-Key, and return the statuses."""
    seen = []

    def send(number):
        body = {"code": code, "email": ana}
        keyed = {"Idempotency_Key": f"key-{number}"} if number % 2 else {}
        status, _ = server.send("/vouchers/validate", body, **keyed)
        seen.append((time.monotonic(), status))

    with ThreadPoolExecutor(32) as pool:
        for number in range(per_second * seconds):
            pool.submit(send, number)
            time.sleep(1 / per_second)
    ended.set()
    return seen


def watch(server, ended):
    """Ask /readyz all the time, and return when it said what."""
    seen = []
    while not ended.wait(0.1):
        status, body = server.send("/readyz", None, "GET")
        seen.append((time.monotonic(), status, json.loads(body)))
    return seen


@pytest.mark.fault
@pytest.mark.parametrize("how", ["fast", "immediate"])
def test_nothing_fails_but_with_503_and_all_is_well_5_seconds_after(postgres, how):
    app = create_app(Config(postgres.url()))
    with app.app_context():
        flask_migrate.upgrade()
        with transaction():
            key = apikeys.create("tests", apikeys.scopes)
    code = Builders(app).voucher(max_redemptions=1_000_000)
    ended = threading.Event()
    with run_gunicorn(postgres.url()) as port, ThreadPoolExecutor(2) as pool:
        server = Server(port, key)
        load, probes = pool.submit(statuses, server, code, ended), pool.submit(watch, server, ended)
        time.sleep(4)
        stopped = time.monotonic()
        postgres.stop(how)
        time.sleep(2)
        postgres.start()
        accepting = time.monotonic()
        answers, ready = load.result(), probes.result()
    assert set(Counter(status for _, status in answers)) <= {201, 503}
    assert any(status == 503 for _, status in answers)
    assert all(status == 201 for when, status in answers if when > accepting + 5)
    assert all(status == 200 for when, status, _ in ready if when < stopped)
    assert any(body["status"] == "not ready" for _, _, body in ready)
    assert all(status == 200 for when, status, _ in ready if when > accepting + 5)
    with app.app_context():
        count = db.session.execute(db.text("SELECT redemption_count FROM vouchers")).scalar()
        db.engine.dispose()
    assert sum(status == 201 for _, status in answers) <= count

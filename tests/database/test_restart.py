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
from tests.patience import until
from tests.server import Server, run_gunicorn
from voucherpool import create_app
from voucherpool.apikeys import service as apikeys
from voucherpool.config.settings import Config
from voucherpool.database.model import db
from voucherpool.database.transactions import transaction
from voucherpool.local.postgres import LocalPostgres
from voucherpool.readiness.obstacles import seconds_remembered

pytestmark = pytest.mark.one_machine("starts and kills a PostgreSQL of its own")

per_second = 50


@pytest.fixture
def postgres():
    """Return a durable PostgreSQL of the test's own."""
    with memory("restart") as home:
        postgres = LocalPostgres(home / "postgres")
        postgres.start()
        yield postgres


def redeem(server, code, ended):
    """Send what a shop sends, some of it with an Idempotency-Key.

    Return of each when it was sent, and the status.
    """
    seen = []

    def send(number):
        body, sent = {"code": code, "email": ana}, time.monotonic()
        keyed = {"Idempotency_Key": f"key-{number}"} if number % 2 else {}
        status, _ = server.send("/vouchers/validate", body, **keyed)
        seen.append((sent, status))

    with ThreadPoolExecutor(32) as pool:
        for number, _ in enumerate(iter(lambda: ended.wait(1 / per_second), True)):
            pool.submit(send, number)
    return seen


def watch(server, ended, seen):
    """Ask /readyz all the time, and note when it was asked and what it said."""
    while not ended.wait(0.1):
        asked = time.monotonic()
        status, body = server.send("/readyz", None, "GET")
        seen.append((asked, status, json.loads(body)["status"]))


@pytest.mark.long
@pytest.mark.parametrize("how", ["fast", "immediate"])
def test_nothing_fails_but_with_503_and_all_is_well_once_readyz_says_so(postgres, how):
    app = create_app(Config(postgres.url()))
    with app.app_context():
        flask_migrate.upgrade()
        with transaction():
            key = apikeys.create("tests", apikeys.scopes)
    code = Builders(app).voucher(max_redemptions=1_000_000)
    ended, ready = threading.Event(), []
    with run_gunicorn(postgres.url()) as port, ThreadPoolExecutor(2) as pool:
        server = Server(port, key)
        load = pool.submit(redeem, server, code, ended)
        probes = pool.submit(watch, server, ended, ready)
        try:
            time.sleep(4)
            before = len(ready)
            postgres.stop(how)
            time.sleep(2)
            postgres.start()
            accepting = time.monotonic()
            until(lambda: any(when > accepting and said == "ready" for when, _, said in ready))
            well = time.monotonic()
            time.sleep(4)
        finally:
            ended.set()
        answers = load.result()
        probes.result()
    assert set(Counter(status for _, status in answers)) <= {201, 503}
    assert any(status == 503 for _, status in answers)
    assert any(when > well for when, _ in answers)
    assert all(status == 201 for when, status in answers if when > well)
    assert {status for _, status, _ in ready[:before]} <= {200}
    assert any(said == "not ready" for _, _, said in ready)
    assert all(status == 200 for when, status, _ in ready if when > well + seconds_remembered)
    with app.app_context():
        count = db.session.execute(db.text("SELECT redemption_count FROM vouchers")).scalar()
        db.engine.dispose()
    assert sum(status == 201 for _, status in answers) <= count

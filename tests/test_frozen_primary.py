"""A primary that is frozen, is replaced by its standby, and wakes up again."""

import os
import signal
import threading
import time
from collections import Counter
from contextlib import ExitStack
from http.client import HTTPConnection
from itertools import pairwise

import flask_migrate
import pytest
from sqlalchemy import text

from tests.builders import Builders
from tests.conftest import config, memory
from tests.patience import patient
from tests.server import Server, children, run_gunicorn
from voucherpool import create_app
from voucherpool.apikeys import service as apikeys
from voucherpool.database.model import db
from voucherpool.database.transactions import long_transaction
from voucherpool.local.postgres import LocalPostgres
from voucherpool.operations import integrity

pytestmark = pytest.mark.fault

senders = 8

fill = text("""
    INSERT INTO vouchers (code_key, code, offer_id, customer_id, expires_at)
    SELECT code, code, 1, 1, now() + interval '30 days'
    FROM generate_series(100001, 140000) AS n, CAST(n AS text) AS code;
    INSERT INTO offer_counts (offer_id, day, slot, issued) VALUES (1, current_date, 0, 40000)""")


@pytest.fixture
def pair():
    """Return a primary that commits only what a standby has, and the standby."""
    with memory("pair") as home, ExitStack() as running:
        primary = LocalPostgres(home / "primary", synchronous_standby_names="ANY 1 (standby)")
        standby = LocalPostgres(home / "standby", cluster_name="standby")
        for server in (primary, standby):
            running.callback(server.stop, "immediate")
        primary.start()
        running.callback(signal_all, primary, signal.SIGCONT)
        copy = ("-h", primary.run, "-p", 5432, "-U", "postgres", "-R", "-X", "stream")
        standby.home.mkdir()
        standby._give_away(standby.home)
        primary._execute("pg_basebackup", *copy, "-D", standby.data)
        for folder in (standby.run,):
            folder.mkdir(mode=0o700)
            standby._give_away(folder)
        standby.log.touch(mode=0o600)
        standby._give_away(standby.log)
        standby.start()
        yield primary, standby


def signal_all(server, number):
    """Send a signal to all processes of a PostgreSQL."""
    pid = int((server.data / "postmaster.pid").read_text().split()[0])
    for process in (pid, *children(pid)):
        os.kill(process, number)


class Shopper(threading.Thread):
    """Redeems codes one after the other, each in an order, until it is told to stop."""

    def __init__(self, server, codes, number):
        super().__init__()
        self.server, self.codes, self.number = server, codes, number
        self.acknowledged = []
        self.answers = Counter()
        self.ends = False

    def run(self):
        for code in self.codes:
            while not self.ends:
                began = time.monotonic()
                status, answer = self.server.redeem(code, order_ref=f"order {code}")
                self.answers[status, answer.get("code")] += 1
                assert time.monotonic() - began < 20
                if status == 201:
                    self.acknowledged.append((time.monotonic(), answer["redemption_id"]))
                    break
                time.sleep(0.1)


def probe(port, path):
    """Return the status of a probe and the seconds that it took."""
    began = time.monotonic()
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, time.monotonic() - began


def test_redemptions_resume_after_a_frozen_primary_was_replaced_and_woke_up(pair, record_property):
    primary, standby = pair
    hosts = [f"{server.run}:5432" for server in pair]
    both = primary.url().difference_update_query(["port"]).update_query_dict({"host": hosts})
    app = create_app(config(both))
    with app.app_context():
        flask_migrate.upgrade()
        key = apikeys.create("tests", apikeys.scopes)
        db.session.remove()
        make = Builders(app)
        make.customer()
        with long_transaction():
            db.session.execute(text("INSERT INTO offers (name, discount) VALUES ('KOI', 10)"))
            db.session.execute(fill)
        db.engine.dispose()
    with run_gunicorn(both) as port:
        server = Server(port, key)
        shoppers = [
            Shopper(server, map(str, range(100001 + n, 140000, senders)), n) for n in range(senders)
        ]
        for shopper in shoppers:
            shopper.start()
        time.sleep(3)
        signal_all(primary, signal.SIGSTOP)
        frozen = time.monotonic()
        time.sleep(1)
        probes = [probe(port, path) for path in ("/livez", "/readyz") for _ in range(2)]
        standby._execute("pg_ctl", "-D", standby.data, "-w", "promote")
        time.sleep(max(0, frozen + 20 - time.monotonic()))
        signal_all(primary, signal.SIGCONT)
        woken = time.monotonic()
        time.sleep(20)
        for shopper in shoppers:
            shopper.ends = True
        for shopper in shoppers:
            shopper.join()
    acknowledged = sorted(each for shopper in shoppers for each in shopper.acknowledged)
    moments = [moment for moment, _ in acknowledged]
    gap = max(after - before for before, after in pairwise(moments))
    answers = sum((shopper.answers for shopper in shoppers), Counter())
    seen = f"{len(acknowledged)} acknowledged, gap {gap:.1f} s, {answers}, probes {probes}"
    record_property("seen", seen)
    assert gap < 20, seen
    assert all(seconds < 2 for _, seconds in probes), seen
    assert sum(moment > woken + 1 for moment in moments) > 10, seen
    app = create_app(config(patient(standby.url())))
    with app.app_context():
        with db.engine.connect() as connection:
            kept = set(connection.execute(text("SELECT id::text FROM redemptions")).scalars())
            twice = connection.scalar(
                text("SELECT count(*) FROM redemptions GROUP BY code_key HAVING count(*) > 1")
            )
        assert {identity for _, identity in acknowledged} <= kept
        assert twice is None
        assert not any(integrity.breaches().values())
        db.engine.dispose()

"""The archive at full size: under load, and killed on the way."""

import os
import random
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import flask_migrate
import pytest
from sqlalchemy import text

from tests.builders import Builders
from tests.patience import patient, until
from tests.server import Server, run_gunicorn, start_python
from voucherpool import create_app
from voucherpool.apikeys import service as apikeys
from voucherpool.config.settings import Config
from voucherpool.database.model import db
from voucherpool.database.transactions import long_transaction, transaction
from voucherpool.local.postgres import LocalPostgres
from voucherpool.operations import integrity

per_second, people = 100, 1000

# Codes of 12 digits: o… and e… are old, live… can be redeemed. Half of the old ones were used up.
fill = """
    WITH made AS (
        INSERT INTO vouchers (code_key, code, offer_id, customer_id, expires_at, redemption_count,
            used_at, created_at)
        SELECT to_char(n, 'FM000000000000'), to_char(n, 'FM000000000000'), 1, n % :people + 1,
            now() + :left * interval '1 day', (n % 2)::int * :used,
            CASE n % 2 * :used WHEN 1 THEN now() - interval '100 days' END,
            now() - interval '200 days'
        FROM generate_series(:first, :last) AS n
        RETURNING code_key, customer_id, used_at
    ),
    entered AS (
        INSERT INTO redemptions (code_key, customer_id, offer_id, discount, discount_type,
            redeemed_at, order_ref)
        SELECT code_key, customer_id, 1, 22.1, 'percentage', used_at, code_key
        FROM made WHERE used_at IS NOT NULL
    )
    SELECT count(*) FROM made"""


everybody = """
    INSERT INTO customers (email, email_key) SELECT email, email
    FROM (SELECT concat('c', n, '@example.org') FROM generate_series(1, :last) AS n) AS c (email)"""


@pytest.fixture
def durable():
    """Return an application on a durable PostgreSQL of the test's own, on the disk."""
    home = Path(tempfile.mkdtemp(prefix="voucherpool-archive-"))
    home.chmod(0o711)
    postgres = LocalPostgres(home / "postgres")
    postgres.start()
    app = create_app(Config(patient(postgres.url())))
    with app.app_context():
        flask_migrate.upgrade()
        yield app
        db.engine.dispose()
    postgres.stop("immediate")
    shutil.rmtree(home)


def email_of(number):
    return f"c{number % people}@example.org"


def make_vouchers(old, live):
    """Insert old vouchers, of which every second one was used up, and live ones after them."""
    Builders(create_app(Config(db.engine.url))).voucher(email_of(0))
    with long_transaction():
        db.session.execute(text(everybody), {"last": people - 1})
        db.session.execute(text("DELETE FROM vouchers"))
        for first, last, left, used in ((0, old - 1, -95, 1), (old, old + live - 1, 30, 0)):
            request = {"first": first, "last": last, "left": left, "used": used, "people": people}
            db.session.execute(text(fill), request)
        issued = {"issued": old + live}
        db.session.execute(text("UPDATE offer_counts SET issued = :issued"), issued)


def archiver(url):
    """Start `voucherpool vouchers archive`."""
    command = ("voucherpool", "vouchers", "archive", "--older-than", "90d")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    return start_python(url, *command, **pipes)


def load(server, numbers, seconds):
    """Redeem one voucher after the other at a steady rate; return the statuses and seconds."""
    seen = []

    def redeem(number):
        begun = time.monotonic()
        status, _ = server.send(
            "/vouchers/validate", {"code": f"{number:012}", "email": email_of(number)}
        )
        seen.append((status, time.monotonic() - begun))

    begun = time.monotonic()
    with ThreadPoolExecutor(32) as pool:
        for sent, number in enumerate(islice(numbers, seconds * per_second), 1):
            pool.submit(redeem, number)
            time.sleep(max(0, begun + sent / per_second - time.monotonic()))
    return seen


@contextmanager
def stopped(process):
    """Stop the archiver.

    So both loads meet the same machine and disk, whatever else these are busy with.
    """
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def p99(seen):
    return statistics.quantiles((seconds for _, seconds in seen), n=100)[98]


@pytest.mark.long
def test_a_million_vouchers_are_archived_while_the_shop_redeems(durable, record_property):
    old, live = 1_000_000, 100_000
    make_vouchers(old, live)
    with transaction():
        key = apikeys.create("tests", apikeys.scopes)
    numbers = iter(range(old, old + live))
    with open(os.devnull, "w") as log, run_gunicorn(db.engine.url, log=log.fileno()) as port:
        server = Server(port, key)
        process = archiver(db.engine.url)
        calm, busy = [], []
        while process.poll() is None:
            busy += load(server, numbers, seconds=6)
            with stopped(process):
                calm += load(server, numbers, seconds=3)
        assert process.communicate()[0] == f"Archived {old} vouchers.\n".encode()
        record_property("p99 while archiving, between", (p99(busy), p99(calm)))
        assert Counter(status for status, _ in calm + busy) == {201: len(calm + busy)}
        for number in random.sample(range(old), 2000):
            status, body = server.redeem(f"{number:012}", email_of(number))
            expected = (409, "voucher_already_redeemed") if number % 2 else (410, "voucher_expired")
            assert (status, body["code"]) == expected
    with long_transaction():
        breaches = integrity.breaches()
    assert not any(breaches.values()), breaches
    assert p99(busy) <= 2 * p99(calm)


@pytest.mark.long
@pytest.mark.parametrize(("old", "kills"), [(5_000, 1), (200_000, 10)])
def test_an_archiver_killed_again_and_again_loses_and_doubles_nothing(app, sql, old, kills):
    archived = "SELECT count(*) FROM archived_vouchers"
    with app.app_context():
        make_vouchers(old, 10)
        for kill in range(1, kills + 1):
            process, mark = archiver(db.engine.url), old * kill // (kills + 2)

            def is_half_way(process=process, mark=mark):
                assert process.poll() is None
                return sql(archived)[0][0] >= mark

            until(is_half_way)
            process.kill()
            process.communicate()
            with long_transaction():
                breaches = integrity.breaches()
            assert not any(breaches.values()), breaches
            assert 0 < sql(archived)[0][0] < old
        left = old - sql(archived)[0][0]
        ended = app.test_cli_runner().invoke(args=["vouchers", "archive", "--older-than", "90d"])
        assert ended.stdout == f"Archived {left} vouchers.\n"
    assert sql(archived) == [(old,)]
    assert sql("SELECT count(*) FROM vouchers") == [(10,)]
    assert sql("SELECT count(*), count(DISTINCT id) FROM archived_redemptions") == [(old // 2,) * 2]

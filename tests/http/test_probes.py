"""/livez and /readyz."""

import subprocess
import time
from contextlib import suppress
from pathlib import Path

import flask_migrate
import pytest
from sqlalchemy import text

from tests.builders import Builders, ana
from tests.conftest import config, fast, memory
from tests.patience import until
from tests.server import at_once
from tests.shop import open_shop
from voucherpool import create_app
from voucherpool.config.settings import Config
from voucherpool.database.model import db
from voucherpool.local.postgres import LocalPostgres
from voucherpool.readiness import obstacles as readiness


def test_livez_asks_nothing_of_the_database(database_url):
    nowhere = database_url.set(query={"host": "/nonexistent"})
    answer = create_app(Config(nowhere)).test_client().get("/livez")
    assert (answer.status_code, answer.json) == (200, {"status": "alive"})


def test_readyz_is_200_on_a_migrated_database(anonymous):
    answer = anonymous.get("/readyz")
    assert (answer.status_code, answer.json) == (200, {"status": "ready"})


@pytest.fixture
def revise(sql):
    """Return a function that sets the revision of the database."""
    [(present,)] = sql("SELECT version_num FROM alembic_version")

    def run(number):
        sql("UPDATE alembic_version SET version_num = :number", number=number)

    yield run
    run(present)


def test_readyz_is_503_and_says_why_when_the_database_is_behind(anonymous, revise):
    revise("0000")
    answer = anonymous.get("/readyz")
    assert answer.status_code == 503
    assert "voucherpool db upgrade" in answer.json["reason"]


def test_a_database_that_is_ahead_is_served_until_the_code_follows(anonymous, revise):
    revise("9999")
    assert anonymous.get("/readyz").status_code == 200


def test_readyz_is_503_when_the_database_is_away(database_url):
    nowhere = database_url.set(query={"host": "/nonexistent"})
    answer = create_app(Config(nowhere)).test_client().get("/readyz")
    assert (answer.status_code, answer.json["status"]) == (503, "not ready")


def test_readyz_is_503_and_says_why_when_the_disk_is_full(anonymous, monkeypatch):
    refuse = text("DO $$ BEGIN RAISE SQLSTATE '53100'; END $$")
    monkeypatch.setattr(readiness, "take_room", refuse)
    answer = anonymous.get("/readyz")
    assert answer.status_code == 503
    assert "disk is full" in answer.json["reason"]


def succeeds(*command):
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


@pytest.fixture
def small_disk():
    """Return the folder of a file system of 200 MB."""
    for left in Path("/dev/shm").glob("voucherpool-disk-*/disk"):  # by runs that were killed
        succeeds("umount", left)
    with memory("disk") as home:
        disk = home / "disk"
        disk.mkdir()
        if not succeeds("mount", "-t", "tmpfs", "-o", "size=200m,mode=711", "tmpfs", disk):
            pytest.skip("only root may mount a small disk")
        try:
            yield disk
        finally:
            LocalPostgres(disk / "postgres").stop("immediate")
            assert succeeds("umount", disk)


@pytest.mark.long
def test_readyz_says_so_as_long_as_writes_are_refused_for_want_of_room(small_disk):
    postgres = LocalPostgres(small_disk / "postgres", **fast)
    postgres.start()
    app = create_app(config(postgres.url()))
    with app.app_context():
        flask_migrate.upgrade()
    code = Builders(app).voucher(max_redemptions=10_000)
    client = open_shop(app)

    def until_readyz_is(expected):
        until(lambda: client.get("/readyz").status_code == expected)

    until_readyz_is(200)
    assert client.redeem(code).status_code == 201
    filler = small_disk / "filler"
    with suppress(OSError), open(filler, "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    until_readyz_is(503)
    assert 503 in (client.redeem(code).status_code for _ in range(1000))
    assert client.get(f"/vouchers?email={ana}").status_code == 200
    filler.unlink()
    until_readyz_is(200)
    assert client.redeem(code).status_code == 201
    with app.app_context():
        db.engine.dispose()


def test_readyz_is_soon_right_again_in_each_worker(server, revise):
    def statuses():
        return {server.send("/readyz", None, "GET")[0] for _ in range(20)}

    assert readiness.seconds_remembered <= 1
    assert statuses() == {200}  # which both workers remember
    for number, status in (("0000", 503), ("9999", 200)):
        revise(number)
        until(lambda status=status: statuses() == {status})


def test_many_who_ask_for_readiness_at_once_make_each_worker_look_once_a_second(server, sql):
    def connections_made():
        sessions = "SELECT sessions FROM pg_stat_database WHERE datname = current_database()"
        return sql(sessions)[0][0]

    before = connections_made()
    began = time.monotonic()
    answers = at_once(64, lambda _: server.send("/readyz", None, "GET")[0])
    seconds = time.monotonic() - began
    assert answers == [200] * 64
    time.sleep(0.5)
    own, workers = 1, 2  # PostgreSQL counts a connection that stays open with delay
    assert connections_made() - before <= workers * (1 + seconds) + own

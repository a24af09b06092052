"""A service at its limits: connections, disk, clients, clocks, and two versions at once."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

import psycopg2

from tests.faults import between
from tests.faults.failovers import ask, connect
from tests.faults.kills import spare, terminate
from tests.faults.ledger import of_codes
from tests.faults.run import Missing, Run, kill, require
from tests.faults.scenarios import scenario
from tests.patience import until
from tests.server import free_port
from voucherpool.config.settings import checkout
from voucherpool.local.postgres import LocalPostgres

most_connections = 50
"""A few more than the service's 16 threads use, two for each at the most."""


@scenario("no-connection-left", control="answer of 503", control_size=0.3)
def no_connection_left(run: Run) -> None:
    """Strangers take and return all connections of PostgreSQL while 32 clients redeem."""
    server = run.postgres(max_connections=most_connections)
    rounds = run.times(20, least=3)
    codes = spare(run, rounds * 2000)
    gunicorn = run.gunicorn(threads=8)
    with run.crowd(gunicorn.port, of_codes(codes), members=32) as shoppers:
        for _ in range(rounds):
            with strangers(server):
                time.sleep(4)
            run.kills += 1
            shoppers.until_more(100)
    gunicorn.end()
    run.judge(most_gap=10)


@contextmanager
def strangers(server: LocalPostgres) -> Iterator[None]:
    """End the service's connections, and take as many as PostgreSQL has."""
    with ExitStack() as taken:
        first = taken.enter_context(closing(connect(server)))
        for _ in range(2 * most_connections):
            first.cursor().execute(terminate)
            with suppress(psycopg2.OperationalError):
                taken.enter_context(closing(connect(server)))
        yield


@contextmanager
def tmpfs(run: Run, megabytes: int) -> Iterator[Path]:
    """Mount a small disk in memory."""
    if os.geteuid() != 0:
        raise Missing("only root can mount a small disk")
    folder = run.folder()
    mount = ("/bin/mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=711", "none", str(folder))
    if subprocess.run(mount, capture_output=True).returncode:
        raise Missing("a small disk cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(("/bin/umount", "-l", str(folder)), check=True)


@scenario("full-disk", control="answer of 503", control_size=0.4)
def full_disk(run: Run) -> None:
    """The disk of PostgreSQL is full, and gets room again, while 8 clients redeem."""
    disk = run.running.enter_context(tmpfs(run, 400))
    server = run.server(disk / "pg", max_wal_size="64MB", min_wal_size="32MB", wal_init_zero="on")
    server.start()
    run.prepare(server.url())
    rounds = run.times(5)
    codes = spare(run, rounds * 20_000)
    port = run.gunicorn().port
    ballast = disk / "ballast"
    with run.crowd(port, of_codes(codes), members=8) as shoppers:
        for _ in range(rounds):
            shoppers.until_more(100)
            refused = run.ledger.unknown
            fill_up(ballast)
            until(lambda: run.ledger.unknown > refused + 20)  # noqa: B023
            ballast.unlink()
            server.start()
            run.kills += 1
    run.judge()


def fill_up(ballast: Path) -> None:
    """Write to a file until the disk is full."""
    with open(ballast, "wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1 << 16))


@scenario("slow-clients", control="nginx", control_size=1)
def slow_clients(run: Run) -> None:
    """100 clients send a byte a second through nginx, and hold up none of the 8 that redeem."""
    require("nginx")
    run.postgres()
    gunicorn = run.gunicorn().port
    port = gunicorn if run.is_control else nginx(run, gunicorn)
    codes = run.vouchers(20_000)
    with run.crowd(port, of_codes(codes), members=8), dribble(port, 100):
        # The gap counts from the start and to the end, also if nothing is acknowledged.
        run.ledger.moments.append(time.monotonic())
        time.sleep(max(12, 30 * run.size))
        run.ledger.moments.append(time.monotonic())
    run.judge(most_gap=5)


def nginx(run: Run, gunicorn: int) -> int:
    """Start nginx with the site of deploy/, without TLS, and return its port."""
    folder, port = run.folder(), free_port()
    site = (checkout / "deploy" / "nginx.conf").read_text()
    site = site.replace("listen 443 ssl http2;", f"listen 127.0.0.1:{port};")
    site = re.sub(r"(?m)^ *(listen \[|ssl_).*\n", "", site)
    site = site.replace("127.0.0.1:5000", f"127.0.0.1:{gunicorn}")
    site = site.replace("/var/log/nginx/", f"{folder}/")
    file = folder / "nginx.conf"
    file.write_text(f"daemon off; pid {folder}/pid; events {{}} http {{ {site} }}")
    between.started(run, port, "nginx", "-e", str(folder / "errors"), "-c", str(file))
    return port


@contextmanager
def dribble(port: int, clients: int) -> Iterator[None]:
    """Let clients send requests that never come to their end."""
    request = b"POST /vouchers/redeem HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n"
    ended = Event()

    def send() -> None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)) as slow:
            slow.sendall(request)
            while not ended.wait(1):
                slow.sendall(b" ")

    threads = [Thread(target=send) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


ten_years = 3653 * 24 * 60 * 60


@scenario("wrong-clock", control="database's clock", control_size=0.2)
def wrong_clock(run: Run) -> None:
    """The service's clock is ten years slow, then ten years fast; PostgreSQL's is right."""
    run.postgres()
    count = run.times(1000, least=20)
    for turn, sign in enumerate((-1,) if run.is_control else (-1, 1)):
        port = run.gunicorn(FAULTS_CLOCK=str(sign * ten_years)).port
        good = run.vouchers(count, first=1 + 10_000 * (turn + 1))
        expired = run.vouchers(count, first=5001 + 10_000 * (turn + 1))
        run.sql(
            "UPDATE vouchers SET expires_at = now() - interval '1 day' WHERE code = ANY(:codes)",
            codes=expired,
        )
        before = run.acknowledged
        run.redeem_all(port, of_codes([*good, *expired]))
        run.expect("redemptions", run.acknowledged - before, count)
    run.judge()


next_revision = """
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute("ALTER TABLE vouchers ADD COLUMN fault text")
"""


def newer_version(run: Run) -> Path:
    """Copy the program to a folder, with one migration more."""
    folder = run.folder()
    for part in ("voucherpool", "migrations", "seeds", "docs", "tests"):
        shutil.copytree(
            checkout / part, folder / part, ignore=shutil.ignore_patterns("__pycache__")
        )
    for file in ("wsgi.py", "gunicorn.conf.py"):
        shutil.copy(checkout / file, folder)
    (folder / "migrations" / "versions" / "0003_fault.py").write_text(next_revision)
    if run.is_control:
        env = folder / "migrations" / "env.py"
        env.write_text(env.read_text().replace("lock_timeout = '2s'", "lock_timeout = 0"))
    return folder


waiting = """
    SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'ALTER TABLE%'"""


@scenario("two-versions", control="lock timeout", control_size=1)
def two_versions(run: Run) -> None:
    """A migration runs under load and past a long report, and two versions serve side by side."""
    server = run.postgres()
    folder = newer_version(run)
    old = run.gunicorn()
    codes = iter(spare(run, 100_000))
    first, second = ([next(codes) for _ in range(50_000)] for _ in range(2))
    with run.crowd(old.port, of_codes(first), members=8) as shoppers:
        shoppers.until_more(100)
        with closing(connect(server)) as report:
            report.cursor().execute("BEGIN; TABLE vouchers LIMIT 1")
            migrator = run.start("voucherpool", "db", "upgrade", cwd=folder)
            until(lambda: ask(server, waiting))
            time.sleep(8)
        while migrator.wait():
            migrator = run.start("voucherpool", "db", "upgrade", cwd=folder)
        run.sql("SELECT fault FROM vouchers LIMIT 1")
        new = run.gunicorn(cwd=folder)
        with run.crowd(new.port, of_codes(second), members=8) as others:
            others.until_more(run.times(500))
            kill(old.process.pid, signal.SIGTERM)
            shoppers.stop()
            others.until_more(run.times(500))
    run.judge(most_gap=5)

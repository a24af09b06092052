"""A primary that dies or freezes, and its synchronous standby that takes over."""

import shutil
import signal
import time
from typing import Any

import psycopg2
from sqlalchemy.engine import URL

from tests.faults.kills import kill_all, postmaster, spare
from tests.faults.ledger import of_codes
from tests.faults.run import Run, kill
from tests.faults.scenarios import scenario
from tests.patience import until
from tests.server import children
from voucherpool.local.postgres import LocalPostgres

seconds_cut_off = 0.3
"""How long the standby gets nothing before the primary dies: a copy that lags would show."""


def connect(server: LocalPostgres) -> Any:
    """Return a connection to a server, in which each statement commits by itself."""
    connection = psycopg2.connect(host=str(server.run), port=5432, user="postgres")
    connection.autocommit = True
    return connection


def ask(server: LocalPostgres, statement: str) -> list[tuple[object, ...]]:
    """Run SQL on a server and return its rows."""
    connection = connect(server)
    try:
        cursor = connection.cursor()
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


class Pair:
    """A primary, and a standby without whose copy it acknowledges nothing."""

    def __init__(self, run: Run) -> None:
        self._run, self._homes = run, [run.folder() / "pg", run.folder() / "pg"]
        self.primary = self._server(0)
        self.primary.start()
        hosts = [f"{home / 'run'}:5432" for home in self._homes]
        only = self.primary.url().difference_update_query(["port"])
        self.url: URL = only.update_query_dict({"host": hosts})  # type: ignore[dict-item]
        self._turn = 0

    def _server(self, number: int) -> LocalPostgres:
        return self._run.server(self._homes[number], cluster_name="standby")

    def add_standby(self) -> None:
        """Copy the primary to the other folder, and let it wait for the copy from now on."""
        standby = self._server(1 - self._turn)
        shutil.rmtree(standby.home, ignore_errors=True)
        for folder in (standby.home, standby.run):
            folder.mkdir(mode=0o755)
            standby._give_away(folder)
        copy = ("-h", self.primary.run, "-p", 5432, "-U", "postgres", "-R", "-c", "fast")
        self.primary._execute("pg_basebackup", *copy, "-D", standby.data)
        standby.log.touch(mode=0o600)
        standby._give_away(standby.log)
        standby.start()
        self.standby = standby
        if not self._run.is_control:
            self.primary._settings["synchronous_standby_names"] = "ANY 1 (standby)"
            self.primary._write_settings()
            ask(self.primary, "SELECT pg_reload_conf()")
        until(lambda: ask(self.primary, streaming) == [(1,)])

    def cut_off(self) -> None:
        """Freeze the process that feeds the standby, for a moment of load."""
        [(sender,)] = ask(self.primary, "SELECT pid FROM pg_stat_replication")
        kill(int(str(sender)), signal.SIGSTOP)
        time.sleep(seconds_cut_off)

    def promote(self) -> None:
        """Let the standby be the primary."""
        self.standby._execute("pg_ctl", "-D", self.standby.data, "-w", "promote")
        self.primary, self.standby = self.standby, self.primary
        self._turn = 1 - self._turn


streaming = "SELECT count(*)::int FROM pg_stat_replication WHERE state = 'streaming'"


def paired(run: Run) -> Pair:
    """Start a pair with the service's database."""
    pair = Pair(run)
    run.prepare(pair.url)
    return pair


@scenario("failover", control="synchronous standby", control_size=0.15)
def failover(run: Run) -> None:
    """The primary is killed with all its processes, and its synchronous standby takes over."""
    pair = paired(run)
    failovers = run.times(20)
    codes = spare(run, 3000 * failovers)
    pair.add_standby()
    port = run.gunicorn().port
    with run.crowd(port, of_codes(codes)) as shoppers:
        for _ in range(failovers):
            shoppers.until_more(run.times(500, least=100))
            pair.cut_off()
            kill_all(pair.primary)
            run.kills += 1
            pair.promote()
            shoppers.until_more(50)
            pair.add_standby()
    run.judge(most_gap=10)


def signal_all(server: LocalPostgres, number: int) -> None:
    """Send a signal to all processes of a PostgreSQL."""
    first = postmaster(server)
    for process in (first, *children(first)):
        kill(process, number)


def probe(run: Run, port: int) -> None:
    """Ask /livez and /readyz, which answer within 2 seconds whatever PostgreSQL does."""
    shop, began = run.shop(port), time.monotonic()
    for path in ("/livez", "/readyz"):
        status, _ = shop.call("GET", path)
        if time.monotonic() - began > 2 or (status, path) == (503, "/livez"):
            run.breaches.append(f"{path} answered {status} after {time.monotonic() - began:.1f} s")
        began = time.monotonic()
    time.sleep(1)


@scenario("frozen-primary", control="synchronous standby", control_size=0.25)
def frozen_primary(run: Run) -> None:
    """The primary freezes, its synchronous standby takes over, and the old one wakes up again."""
    pair = paired(run)
    freezes = run.times(4)
    codes = spare(run, 5000 * freezes)
    pair.add_standby()
    port = run.gunicorn().port
    with run.crowd(port, of_codes(codes)) as shoppers:
        for _ in range(freezes):
            shoppers.until_more(200)
            pair.cut_off()
            signal_all(pair.primary, signal.SIGSTOP)
            run.kills += 1
            probe(run, port)
            pair.promote()
            shoppers.until_more(50)
            signal_all(pair.standby, signal.SIGCONT)
            shoppers.until_more(200)
            kill_all(pair.standby)
            pair.add_standby()
    run.judge(most_gap=20)

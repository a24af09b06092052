"""Machines of a cluster killed with -9, under load and between any two statements of a request.

CITUS_START names a shell command that starts the machine of port `$1` again; all run on this host.
"""

import os
import signal
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.exc import DBAPIError

from tests import cluster
from tests.builders import ana
from tests.patience import most_seconds, until
from tests.server import Server, children, run_gunicorn
from voucherpool.database import statements

start = os.environ.get("CITUS_START")
pytestmark = [
    pytest.mark.long,
    pytest.mark.cluster,
    pytest.mark.skipif(not start, reason="CITUS_START names no command that starts a machine"),
]


@pytest.fixture
def machines(app):
    """Return the cluster's machines; those that were killed run again afterwards."""
    machines = [Machine(url) for url in (cluster.coordinator(), *cluster.workers())]
    yield machines
    for machine in machines:
        machine.require()


class Machine:
    """A PostgreSQL of the cluster."""

    def __init__(self, url):
        self.url = url
        [(self.folder,)] = cluster.run(url, "SHOW data_directory")

    def kill(self):
        """Kill the server and all its processes at once."""
        server = int(Path(self.folder, "postmaster.pid").read_text().split()[0])
        for process in (server, *children(server)):
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        until(lambda: not Path(f"/proc/{server}").exists())

    def start(self):
        subprocess.run(
            ["/bin/sh", "-c", start, "sh", str(self.url.port)], check=True, timeout=most_seconds
        )

    def require(self):
        """Start the server unless it answers."""
        try:
            cluster.run(self.url, "SELECT 1")
        except DBAPIError:
            self.start()


count = 10_000
codes_of_all = [f"N0DE{number:08}" for number in range(count)]
fill = """
    INSERT INTO vouchers (code_key, code, offer_id, expires_at)
    SELECT code, code, (SELECT id FROM offers), now() + interval '9 days'
    FROM unnest(CAST(:codes AS text[])) AS code"""
counted = """
    SELECT count(*), count(DISTINCT code_key), count(DISTINCT order_ref) FROM redemptions
    WHERE code_key LIKE 'N0DE%'"""


def test_10_000_redemptions_go_on_by_themselves_after_a_machine_was_killed(
    database_url, key, make, sql, audit, machines
):
    make.voucher()
    sql(fill, codes=codes_of_all)
    sql("UPDATE offer_counts SET issued = issued + :count", count=count)
    seen = []

    def redeem_until_acknowledged(number):
        body = {"code": codes_of_all[number], "email": ana, "order_ref": f"order-{number}"}
        while True:
            status, _ = server.post("/vouchers/redeem", body)
            seen.append((time.monotonic(), status))
            if status != 503:
                return status
            time.sleep(0.2)

    with run_gunicorn(database_url) as port, ThreadPoolExecutor(16) as pool:
        server = Server(port, key)
        sent = [pool.submit(redeem_until_acknowledged, number) for number in range(count)]
        until(lambda: len(seen) > count // 5)
        machines[-1].kill()
        time.sleep(2)
        machines[-1].start()
        statuses = Counter(future.result() for future in sent)
    assert statuses == {201: count}
    assert 503 in {status for _, status in seen}
    assert sql(counted) == [(count, count, count)]
    audit()


class Saboteur:
    """Kills a machine before the statement with the number; 0 is the first, COMMIT the last."""

    def __init__(self, machine, number):
        self.machine, self.left = machine, number

    def __call__(self, *_):
        if self.left == 0:
            self.machine.kill()
        self.left -= 1


written = """
    SELECT (SELECT count(*) FROM idempotency_keys WHERE status IS NOT NULL),
        (SELECT sum(redemption_count) FROM vouchers),
        (SELECT count(*) FROM redemptions),
        (SELECT count(*) FROM events)"""


@pytest.mark.parametrize("machine", [0, 1, 2])
@pytest.mark.parametrize("number", range(7))
def test_a_kill_between_two_statements_leaves_key_voucher_ledger_and_event_or_none(
    client, make, sql, audit, machines, monkeypatch, machine, number
):
    code = make.voucher()
    sql("INSERT INTO webhooks (url, event_types, secret, active_from)"
        " VALUES ('http://127.0.0.1:9', ARRAY['voucher.redeemed'], '', now())")  # fmt: skip
    client.check(code)  # connects, and knows the API key
    saboteur = Saboteur(machines[machine], number)
    execute = statements.Statement._execute

    def sabotaged(*args):
        saboteur()
        return execute(*args)

    with monkeypatch.context() as patch:
        patch.setattr(statements.Statement, "_execute", sabotaged)
        for moment in ("before_cursor_execute", "commit"):
            event.listen(Engine, moment, saboteur)
        answer = client.redeem(code, headers={"Idempotency-Key": "k"})
        for moment in ("before_cursor_execute", "commit"):
            event.remove(Engine, moment, saboteur)
    assert saboteur.left < 0
    assert answer.status_code in (201, 503), answer.json
    machines[machine].require()
    until(lambda: is_decided(sql))
    first = [*map(int, sql(written)[0])]
    assert first in ([0, 0, 0, 0], [1, 1, 1, 1])
    assert answer.status_code == 503 or first == [1, 1, 1, 1]
    again = client.redeem(code, headers={"Idempotency-Key": "k"})
    assert again.status_code == 201, again.json
    assert [*map(int, sql(written)[0])] == [1, 1, 1, 1]
    audit()


undecided = """
    SELECT sum(result::int) FROM run_command_on_all_nodes($$
        SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database() $$)"""


def is_decided(sql):
    """Decide what the kill left prepared, as Citus does by itself within a minute."""
    try:
        sql("SELECT recover_prepared_transactions()")
        return sql(undecided) == [(0,)]
    except DBAPIError:
        return False

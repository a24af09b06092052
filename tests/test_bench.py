"""The benchmark reports true figures."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click import ClickException

from bench import home, load, processes, wire
from bench.fill import Group
from bench.load import Loader, Operation

wrk = """Running 3s test @ http://127.0.0.1:5000
  2 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    10.70ms    3.05ms  41.71ms   91.08%
    Req/Sec   750.00     10.00   760.00     60.00%
  4500 requests in 3.00s, 3.89MB read
Requests/sec:   1500.00
Transfer/sec:      1.30MB

{"requests":4500,"seconds":3.000120,"p50":10.512000,"p99":41.300000,"refused":0,"broken":0,"made":2260}
"""


def test_reads_what_wrk_measured():
    measured = load.parse(wrk)
    assert (measured.requests, measured.seconds, measured.made) == (4500, 3.00012, 2260)
    assert (measured.p50, measured.p99) == (10.512, 41.3)


def test_a_wrk_that_failed_is_told():
    with pytest.raises(ClickException, match="unable to connect"):
        load.parse("unable to connect to 127.0.0.1:1 Connection refused")


def test_no_number_is_named_twice():
    group = Group("F", 1000)
    loader = Loader("vp_key")
    validate = Operation("validate", "/vouchers/validate", '{"code":"$code"}', group)
    assert len({loader.request(validate)[1] for _ in range(1000)}) == 1000


def test_statements_and_round_trips_are_counted_as_postgresql_answers_them(database_url, tmp_path):
    folder = database_url.query.get("host", "")
    if not folder.startswith("/"):
        pytest.skip("needs a PostgreSQL on a Unix socket")
    name = f".s.PGSQL.{database_url.query['port']}"
    tap = database_url.difference_update_query(["options"])
    tap = tap.update_query_dict({"host": str(tmp_path)})
    with wire.tapped(Path(folder, name), tmp_path / name) as answers, home.connection(tap) as link:
        link.autocommit = True
        counted = []
        for statement in ("SELECT 1", "BEGIN; SELECT 1; COMMIT", "SELECT repeat('x', 200000)"):
            before = answers.statements, answers.round_trips
            link.cursor().execute(statement)
            counted.append((answers.statements - before[0], answers.round_trips - before[1]))
    assert counted == [(1, 1), (3, 1), (1, 1)]


def test_the_cpu_time_of_ended_processes_is_counted():
    burn = "import time\nwhile time.process_time() < 0.5: pass\nprint(time.process_time())"
    before, own = processes.cpu_seconds(os.getpid()), time.process_time()
    said = float(subprocess.check_output([sys.executable, "-c", burn]))
    burnt = processes.cpu_seconds(os.getpid()) - before - (time.process_time() - own)
    assert 0.9 * said <= burnt <= 1.5 * said

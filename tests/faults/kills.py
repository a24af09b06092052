"""Processes and connections killed under load: PostgreSQL's, gunicorn's, and those in between."""

import time
from itertools import cycle
from pathlib import Path
from random import Random

from tests.faults.ledger import intent, of_codes
from tests.faults.run import Run, kill
from tests.faults.scenarios import scenario
from tests.patience import until
from tests.server import children
from voucherpool.local.postgres import LocalPostgres


def postmaster(server: LocalPostgres) -> int:
    """Return the process id of a PostgreSQL."""
    return int((server.data / "postmaster.pid").read_text().split()[0])


def kill_all(server: LocalPostgres) -> None:
    """Kill a PostgreSQL with all its processes at once."""
    first = postmaster(server)
    for process in (first, *children(first)):
        kill(process)
    until(lambda: not Path(f"/proc/{first}").exists())


def spare(run: Run, count: int) -> list[str]:
    """Return the codes of vouchers of 50 uses, enough for so many redemptions."""
    return [code for code in run.vouchers(count // 50 + 1, uses=50) for _ in range(50)]


@scenario("postmaster-killed", control="durable commits", control_size=0.1)
def postmaster_killed(run: Run) -> None:
    """kill -9 of the postmaster, each second time of all its processes, while 16 clients redeem."""
    server = run.postgres()
    port = run.gunicorn().port
    kills = run.times(100, least=3)
    with run.crowd(port, of_codes(spare(run, kills * 2000))) as shoppers:
        for number in range(kills):
            shoppers.until_more(run.times(600, least=100))
            kill(postmaster(server)) if number % 2 else kill_all(server)
            run.kills += 1
            until(lambda: not server.is_running())
            server.start()
    run.judge(most_gap=10)


@scenario("workers-killed", control="keys", control_size=0.2)
def workers_killed(run: Run) -> None:
    """kill -9 of one of gunicorn's two workers after the other, while 16 clients redeem."""
    run.postgres()
    gunicorn = run.gunicorn()
    kills = run.times(200, least=10)
    with run.crowd(gunicorn.port, of_codes(spare(run, kills * 1000))) as shoppers:
        for _ in range(kills):
            shoppers.until_more(run.times(250, least=60))
            kill(gunicorn.workers()[0])
            run.kills += 1
    run.judge(most_gap=10)


@scenario("master-killed", control="keys", control_size=0.5)
def master_killed(run: Run) -> None:
    """kill -9 of gunicorn's master, with which its workers end, while 16 clients redeem."""
    run.postgres()
    gunicorn = run.gunicorn()
    kills = run.times(20, least=5)
    with run.crowd(gunicorn.port, of_codes(spare(run, kills * 1000))) as shoppers:
        for _ in range(kills):
            shoppers.until_more(200)
            workers = gunicorn.workers()
            kill(gunicorn.process.pid)
            run.kills += 1
            until(lambda: not any(map(is_alive, workers)))  # noqa: B023
            gunicorn = run.gunicorn(gunicorn.port)
    run.judge()


def is_alive(process: int) -> bool:
    """Tell whether a process runs."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@scenario("before-and-after-commit", control="one transaction", control_size=0.1)
def before_and_after_commit(run: Run) -> None:
    """A worker kills itself between write and commit, or between commit and answer."""
    run.postgres()
    port = run.gunicorn(threads=1).port
    shop = run.shop(port)
    kills = run.times(100, least=4)
    for code, moment in zip(spare(run, kills), cycle(("before", "after")), strict=False):
        if run.kills == kills:
            break
        one = intent(code, 1)
        shop.redeem(one, X_Kill=moment)
        shop.try_once(one)
        run.kills += 1
    run.expect("redemptions", run.acknowledged, kills)
    run.judge()


terminate = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE application_name = 'voucherpool' AND pid <> pg_backend_pid()"""


@scenario("connections-ended", control="retries", control_size=0.1)
def connections_ended(run: Run) -> None:
    """pg_terminate_backend ends all of the service's connections, over and over: nobody notices."""
    run.postgres()
    port = run.gunicorn().port
    storms = run.times(200, least=10)
    pauses = Random(30)  # noqa: S311
    with run.crowd(port, of_codes(spare(run, storms * 400))) as shoppers:
        for _ in range(storms):
            shoppers.until_more(50)
            time.sleep(pauses.random() / 20)
            run.kills += int(run.sql(terminate)[0][0])
    if run.ledger.unknown:
        run.breaches.append(f"{run.ledger.unknown} requests failed")
    run.judge(most_gap=10)

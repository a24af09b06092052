"""The worker and `voucherpool vouchers issue`, as processes that are killed and stopped."""

import signal
from contextlib import suppress
from urllib.request import urlopen

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from tests.builders import in_days
from tests.patience import most_seconds, until
from tests.server import free_port
from voucherpool.database.errors import OutcomeUnknown
from voucherpool.database.model import db
from voucherpool.database.transactions import transaction
from voucherpool.operations import worker as background
from voucherpool.webhooks.delivery.addresses import Policy
from voucherpool.webhooks.delivery.delivering import Deliverer


@pytest.fixture
def offer(client):
    return client.post("/offers", json={"name": "KOI", "discount": 22.1}).json["id"]


@pytest.fixture
def ask(client, offer):
    def post(count):
        body = {"count": count, "expiry": in_days(30)}
        return client.post(f"/offers/{offer}/batches", json=body).headers["Location"]

    return post


@pytest.fixture
def created(client):
    return lambda path: client.get(path).json["created"]


def counts(sql):
    return tuple(*sql("SELECT count(*), count(DISTINCT code_key) FROM vouchers"))


@pytest.mark.long
def test_a_batch_is_exact_though_its_worker_is_killed(app, voucherpool, ask, created, sql, gate):
    requested = 60_000
    path = ask(requested)
    worker = voucherpool("worker")
    until(lambda: created(path) > 0)
    with gate.closed("LOCK TABLE vouchers IN SHARE MODE"):
        gate.until_waiting(1)
        worker.kill()
        worker.wait()
    assert created(path) < requested

    def nothing_waits():
        with app.app_context():
            return not background.add_chunk_to_batch()

    # PostgreSQL may still be busy with the killed worker's chunk.
    until(lambda: nothing_waits() and created(path) == requested)
    assert counts(sql) == (requested, requested)


def test_a_worker_that_is_told_to_stop_finishes_its_piece_and_exits_with_0(
    voucherpool, ask, created, sql
):
    path = ask(200_000)
    worker = voucherpool("worker")
    until(lambda: created(path) > 0)
    worker.send_signal(signal.SIGTERM)
    _, log = worker.communicate(timeout=most_seconds)
    assert worker.returncode == 0
    assert "The worker ends." in log
    assert 0 < created(path) < 200_000
    assert counts(sql) == (created(path),) * 2


def test_a_worker_issues_and_forgets_though_its_connection_is_lost_until_ctrl_c(
    voucherpool, ask, created, sql
):
    path = ask(1)
    sql(
        "INSERT INTO failed_attempts (subject, failed_count, attempt_limit, since)"
        " VALUES (sha256(''), 1, 1, now() - interval '1 hour')"
    )
    worker = voucherpool("worker")
    until(lambda: created(path) == 1)
    sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    path = ask(1)
    until(lambda: created(path) == 1)
    until(lambda: sql("SELECT count(*) FROM failed_attempts") == [(0,)])
    worker.send_signal(signal.SIGINT)
    assert worker.wait(most_seconds) == 0


def test_counts_of_failed_attempts_are_forgotten_each_minute(app, sql):
    deliverer = Deliverer(app.app_context, (), Policy(()))
    forget = background.groups(deliverer, None, None, None)["background"]["failed attempts"]

    def left_after(call):
        sql(
            "INSERT INTO failed_attempts (subject, failed_count, attempt_limit, since) VALUES"
            " (sha256(''), 1, 1, now() - interval '1 minute') ON CONFLICT DO NOTHING"
        )
        with app.app_context():
            call()
        return len(sql("SELECT * FROM failed_attempts"))

    assert [left_after(forget), left_after(forget)] == [0, 1]
    forget._begins_at -= 60
    assert left_after(forget) == 0


@pytest.mark.parametrize(
    "lost", [OperationalError("", {}, Exception()), OutcomeUnknown()], ids=repr
)
def test_what_a_lost_database_kept_from_being_done_is_done_again(app, lost):
    round_ = background.DailyWalk()

    def lose(item):
        raise lost

    with app.app_context():
        with pytest.raises(type(lost)), round_.next(lambda: ["first", "second"]) as item:
            lose(item)
        for expected in ("first", "second", None):
            with round_.next(list) as item:
                assert item == expected


def raising(sqlstate):
    return f"DO $$ BEGIN RAISE SQLSTATE '{sqlstate}'; END $$"


lost_at_the_commit = """
    CREATE FUNCTION pg_temp.die() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END';
    CREATE TEMP TABLE fatal (x int);
    CREATE CONSTRAINT TRIGGER die AFTER INSERT ON fatal DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION pg_temp.die();
    INSERT INTO fatal VALUES (1)"""
read_only, deadlock, no_division = "25006", "40P01", "22012"


@pytest.mark.one_machine("a cluster makes no such trigger")
@pytest.mark.parametrize(
    ("statement", "level", "cause"),
    [
        ("SELECT pg_terminate_backend(pg_backend_pid())", "WARNING", "OperationalError"),
        (lost_at_the_commit, "WARNING", "OutcomeUnknown"),
        (raising(read_only), "WARNING", "ReadOnlySqlTransaction"),
        (raising(deadlock), "WARNING", "DeadlockDetected"),
        (raising(no_division), "ERROR", "DivisionByZero"),
    ],
    ids=lambda it: it.split()[0],
)
def test_only_a_bug_in_a_piece_of_work_is_an_error_in_the_log(app, caplog, statement, level, cause):
    def piece():
        with transaction():
            db.session.execute(text(statement))
        return True

    with app.app_context():
        assert background.attempt("work", piece, lambda: False) is False
    [record] = [one for one in caplog.records if one.name == "voucherpool.operations.worker"]
    assert record.levelname == level
    assert record.message.startswith("work failed")
    assert cause in caplog.text


def test_a_worker_shows_its_metrics_and_a_second_on_the_same_port_says_what_to_do(
    voucherpool, ask, sql
):
    ask(3)
    address = f"127.0.0.1:{free_port()}"
    sql("INSERT INTO events (code_key, type, data, created_at) VALUES ('', 'x', '{}', now())")
    worker = voucherpool("worker", VOUCHERPOOL_WORKER_METRICS=address)

    def shown():
        with (
            suppress(OSError),
            urlopen(f"http://{address}/metrics", timeout=most_seconds) as answer,
        ):
            return answer.read().decode()
        return ""

    until(lambda: 'voucherpool_queue_length{queue="deliveries"} 0.0' in shown())
    until(lambda: 'voucherpool_batches_total{state="done"} 1.0' in shown())
    assert "voucherpool_vouchers_issued_total 3.0" in shown()
    assert 'voucherpool_queue_length{queue="running_batches"} 0.0' in shown()
    second = voucherpool("worker", VOUCHERPOOL_WORKER_METRICS=address)
    _, errors = second.communicate(timeout=most_seconds)
    assert second.returncode == 1
    assert f"VOUCHERPOOL_WORKER_METRICS: {address} cannot be used (Address already" in errors
    worker.terminate()
    assert worker.wait(most_seconds) == 0


@pytest.mark.long
def test_a_killed_issue_goes_on_where_it_was(voucherpool, offer, client, created, sql):
    requested = 100_000
    first = voucherpool(
        *("vouchers", "issue", "KOI", "--count", str(requested), "--expiry", in_days(30))
    )
    assert first.stderr.readline() == "Issuing batch 1.\n"
    until(lambda: created("/batches/1") > 0)
    first.kill()
    first.wait()
    assert 0 < created("/batches/1") < requested
    second = voucherpool("vouchers", "issue", "--resume", "1")
    output, _ = second.communicate(timeout=most_seconds)
    assert (second.returncode, output) == (0, f"Issued {requested} vouchers in batch 1.\n")
    assert counts(sql) == (requested, requested)

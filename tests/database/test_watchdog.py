"""Waits for a PostgreSQL that does not answer end."""

import os
import signal
from contextlib import ExitStack, contextmanager

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from voucherpool.database import watchdog
from voucherpool.database.errors import OutcomeUnknown
from voucherpool.database.model import db
from voucherpool.database.transactions import long_transaction, transaction

pytestmark = pytest.mark.one_machine("stops a process of the server")


moments = (0.5, 2.0, 8.0, 32.0)


@pytest.fixture
def impatiently(monkeypatch):
    """Return a function that makes a check while waits end after a moment.

    A machine that cannot do in the moment what the check needs gets a longer one.
    """
    monkeypatch.setattr(watchdog, "pause_seconds", 0.05)

    def run(check):
        for moment in moments:
            monkeypatch.setattr(watchdog, "longest_wait_seconds", moment)
            try:
                return check(moment)
            except (AssertionError, OperationalError):
                if moment == moments[-1]:
                    raise
        raise AssertionError

    return run


@contextmanager
def frozen_backends(sql):
    """Stop the processes of all other connections to the test's database for a while."""
    pids = [pid for (pid,) in sql(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )]  # fmt: skip
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize(
    ("order", "status"), [({}, (503, "outcome_unknown")), ({"order_ref": "o"}, (201, None))]
)
def test_a_redemption_whose_connection_is_frozen_ends(
    client, make, sql, impatiently, audit, order, status
):
    def check(_):
        code = make.voucher(max_redemptions=5)
        assert client.redeem(code).status_code == 201  # so that its connection is kept
        with frozen_backends(sql):
            answer = client.redeem(code, **order)
        assert (answer.status_code, answer.json.get("code")) == status

    impatiently(check)
    audit()


def test_a_commit_that_is_frozen_ends_as_unknown(app, sql, impatiently):
    def check(moment):
        with ExitStack() as frozen:

            def write():
                insert = text("INSERT INTO offers (name, discount) VALUES (:name, 5)")
                with transaction():
                    db.session.execute(insert, {"name": f"{moment}"})
                    frozen.enter_context(frozen_backends(sql))

            with pytest.raises(OutcomeUnknown):
                write()

    with app.app_context():
        impatiently(check)


def test_a_host_that_did_not_answer_comes_last_for_a_minute(monkeypatch):
    hosts, dog = [("one", "5432"), ("two", "5432")], watchdog.Watchdog()
    dog.suspect("one", "5432")
    assert dog.preferred(hosts) == hosts[::-1]
    now = watchdog.time.monotonic()
    monkeypatch.setattr(watchdog.time, "monotonic", lambda: now + 61)
    assert dog.preferred(hosts) == hosts


def test_a_long_statement_may_go_on_while_postgresql_works(app, impatiently):
    def check(moment):
        with app.app_context(), long_transaction():
            assert db.session.scalar(text(f"SELECT 7 FROM pg_sleep({3 * moment})")) == 7

    impatiently(check)

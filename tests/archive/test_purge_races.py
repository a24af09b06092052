"""The purge among transactions that hold what it drops."""

import threading

import pytest

from tests.archive.test_archiving import let_a_month_pass
from tests.patience import until
from voucherpool.database.model import db

waits = """
    SELECT FROM pg_locks
    WHERE relation = 'archived_vouchers'::regclass
    AND mode = 'AccessExclusiveLock' AND NOT granted"""


@pytest.fixture
def partition(app, client, make, sql):
    """Return the name of a month of the archive that is old enough to purge."""
    client.redeem(make.voucher())
    make.older(130)
    app.test_cli_runner().invoke(args=["vouchers", "archive", "--older-than", "90d"])
    let_a_month_pass(sql, 25)
    return sql("SELECT inhrelid::regclass FROM pg_inherits ORDER BY 1")[0][0]


def test_a_purge_that_deadlocks_tries_again(app, partition, sql):
    results = []

    def purge():
        command = ["vouchers", "purge", "--older-than", "2y"]
        results.append(app.test_cli_runner().invoke(args=command))

    purging = threading.Thread(target=purge)
    with app.app_context(), db.engine.connect() as other:
        other = other.execution_options(isolation_level="READ COMMITTED")
        other.execute(db.text("LOCK TABLE ONLY archived_vouchers IN ROW EXCLUSIVE MODE"))
        purging.start()
        until(lambda: sql(waits))
        # The purge holds this one; so each waits for the other until the purge is undone.
        other.execute(db.text(f"LOCK TABLE {partition} IN ROW EXCLUSIVE MODE"))
    purging.join()
    assert (results[0].exit_code, results[0].stdout) == (0, "Purged 1 voucher.\n")
    assert sql("SELECT redemption_count FROM customer_totals") == [(1,)]

"""The guards that a control switches off, from outside of the product's code.

gunicorn serves what `create_app` of this module returns, and `python -m tests.faults.guards` is
`voucherpool`. Where FAULTS_GUARD_OFF names a guard, its hook runs before the application is made.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from flask import has_request_context, request

from voucherpool import create_app as create_app
from voucherpool.__main__ import main
from voucherpool.batches import generating
from voucherpool.changes import changing
from voucherpool.database import retries, statements
from voucherpool.database.model import db
from voucherpool.database.statements import Statement
from voucherpool.http import problems
from voucherpool.http.idempotency import keys
from voucherpool.schedules import running
from voucherpool.vouchers.checkout import redeem_sql, redeeming
from voucherpool.vouchers.eligibility import budgets, limits, rules
from voucherpool.webhooks.delivery.delivering import Deliverer
from voucherpool.webhooks.delivery.sending import Outcome

hooks: dict[str, Callable[[], None]] = {}
sql: dict[str, tuple[str, ...]] = {}
"""Statements by the guard that they take away in the database."""


def guard(name: str, *statements: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Register the hook that switches off a guard, and the statements that do in the database."""

    def register(hook: Callable[[], None]) -> Callable[[], None]:
        hooks[name], sql[name] = hook, statements
        return hook

    return register


def rewrite(statement: Statement, text: str) -> None:
    """Let a prepared statement have another text."""
    statements.names.discard(statement.name)
    changed = Statement(statement.name, statement._row, text, statement._types)
    vars(statement).update(vars(changed))


seen = """(SELECT seen.redemption_count < seen.max_redemptions FROM vouchers AS seen
    WHERE seen.code_key = vouchers.code_key)"""


@guard("recheck", "ALTER TABLE vouchers DROP CONSTRAINT vouchers_uses_check")
def check_uses_before_the_lock() -> None:
    """Count the uses as they were before the row's lock, like a SELECT before the UPDATE."""
    text = redeem_sql.redeem_short.replace(rules._has_uses_left, seen)
    rewrite(redeeming.redeem_short, text)


@guard("customer lock")
def count_a_customer_without_a_lock() -> None:
    """Let two redemptions of a customer count at the same time."""
    limits.lock = lambda *_: "SELECT 1"


@guard("budget lock")
def count_a_budget_without_a_lock() -> None:
    """Let two redemptions of an offer count at the same time."""
    budgets.lock = lambda *_: "SELECT 1"


@guard("keys")
def ignore_keys() -> None:
    """Remember no Idempotency-Key."""
    keys.key_of_request = lambda: None


@guard("orders", "DROP INDEX redemptions_order_ref_code_key_key")
def ignore_orders() -> None:
    """Only look for the order in the ledger, which a concurrent request may not have reached."""


@guard(
    "durable commits",
    "ALTER SYSTEM SET synchronous_commit = off",
    "ALTER SYSTEM SET wal_writer_delay = '10s'",
    "SELECT pg_reload_conf()",
)
def acknowledge_before_the_disk() -> None:
    """Let PostgreSQL acknowledge commits before they are on the disk."""


seconds_in_between = 1.0
"""How long a hook waits where it cut a transaction in two, so that a kill meets the cut."""


def cut(savepoint: str = "") -> None:
    """Commit what the open transaction wrote, and go on in another one."""
    db.session.connection().exec_driver_sql(f"COMMIT; BEGIN; {savepoint}")
    time.sleep(seconds_in_between)


def cut_before(module: Any, name: str) -> None:
    """Cut the transaction in two before each call of a function."""
    call = getattr(module, name)

    def cut_and_call(*args: Any, **more: Any) -> Any:
        cut("SAVEPOINT sa_savepoint_1")
        return call(*args, **more)

    setattr(module, name, cut_and_call)


@guard("whole chunks")
def commit_vouchers_before_their_count() -> None:
    """Commit a chunk's vouchers, and then the batch's progress."""
    cut_before(generating, "_count")


@guard("whole pages")
def commit_changes_before_their_count() -> None:
    """Commit a page's vouchers, and then that the page is done."""
    write = changing._write

    def write_alone(change: Any, keys: Any) -> Any:
        with db.engine.connect() as connection, patched(changing, connection):
            rows = write(change, keys)
        time.sleep(seconds_in_between)
        return rows

    changing._write = write_alone


@contextmanager
def patched(module: Any, connection: Any) -> Iterator[None]:
    """Let a module write by this connection, which commits by itself."""
    kept, module.db = module.db, SimpleNamespace(session=connection)
    try:
        yield
    finally:
        module.db = kept


@guard("whole runs")
def commit_a_batch_before_its_run() -> None:
    """Commit a schedule's batch, and then that the schedule has happened."""
    happen = running._happen

    def happen_and_cut(*args: Any) -> Any:
        result = happen(*args)
        cut()
        return result

    running._happen = happen_and_cut


@guard("record after sending")
def record_before_sending() -> None:
    """Record that an event is delivered, and then send it."""
    send = Deliverer._send

    def record_and_send(self: Deliverer, taken: Any, event: Any) -> Any:
        self._record(taken, Outcome(200, None))
        time.sleep(seconds_in_between)
        return send(self, taken, event)

    Deliverer._send = record_and_send


@guard("answer of 503")
def answer_500_if_the_database_is_unavailable() -> None:
    """Treat an unavailable database like a bug."""

    def raise_again(error: Exception) -> Any:
        raise error

    problems._answer_database = problems._answer_unreachable = raise_again


@guard("retries")
def retry_nothing() -> None:
    """Let a request fail with its first transaction."""
    retries.most_attempts = 1


@guard("database's clock")
def ask_the_own_clock() -> None:
    """Let the clock of this process decide what has expired."""
    own = f"to_timestamp({time.time()})"
    rewrite(redeeming.redeem_short, redeem_sql.redeem_short.replace("now()", own))


@guard("one transaction")
def commit_each_statement() -> None:
    """Commit the key, the work and the answer one after the other."""
    execute = Statement._execute

    def execute_alone(self: Statement, values: Any, before: str, after: str) -> Any:
        return execute(self, values, before.replace("BEGIN", ""), after)

    Statement._execute = execute_alone


def die_if_told(moment: str) -> None:
    """Kill this process where the header X-Kill of the request says so."""
    if has_request_context() and request.headers.get("X-Kill") == moment:
        os.kill(os.getpid(), signal.SIGKILL)


commit = Statement._execute


def commit_and_die(self: Statement, values: Any, before: str, after: str) -> Any:
    """Run a statement; die before or after one that commits, if told."""
    if after == "COMMIT":
        die_if_told("before")
    cursor = commit(self, values, before, after)
    if after == "COMMIT":
        die_if_told("after")
    return cursor


Statement._execute = commit_and_die

if ahead := int(os.environ.get("FAULTS_CLOCK", "0")):
    clock = time.time
    time.time = lambda: clock() + ahead

if off := os.environ.get("FAULTS_GUARD_OFF"):
    hooks.get(off, lambda: None)()

if __name__ == "__main__":
    main(prog_name="voucherpool")

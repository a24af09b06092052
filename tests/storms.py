"""Runs storms: many clients at once against gunicorn with the timeouts of production."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy.engine import URL

from tests.server import run_gunicorn

many = "1000000"

deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"


@contextmanager
def run_stormproof(url: URL, log: Path) -> Iterator[int]:
    """Run gunicorn with 2 workers of 8 threads for all storms of a run, and return its port."""
    misses = {"VOUCHERPOOL_MISSES_PER_EMAIL": many, "VOUCHERPOOL_MISSES_PER_KEY": many}
    named = url.update_query_dict({"application_name": "storm"})
    with (
        open(log, "wb") as file,
        run_gunicorn(named, log=file.fileno(), VOUCHERPOOL_THREADS="8", **misses) as port,
    ):
        yield port


@contextmanager
def watched(sql: Callable[..., Any], log: Path) -> Iterator[None]:
    """Fail if a request failed meanwhile, or a transaction met a deadlock."""
    before, read = sql(deadlocks), log.stat().st_size
    yield
    lines = [json.loads(line) for line in log.read_bytes()[read:].splitlines()]
    failed = [line for line in lines if line.get("status", 0) >= 500 or line["level"] != "INFO"]
    assert not failed, (len(failed), failed[:5])
    # A connection reports the deadlocks that it met before it is gone.
    sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'storm'")
    while sql("SELECT FROM pg_stat_activity WHERE application_name = 'storm'"):
        time.sleep(0.01)
    assert sql(deadlocks) == before


def outcomes(answers: list[tuple[int, Any]]) -> Counter[Any]:
    """Count the answers by the code of the error, or by the status of what succeeded."""
    return Counter(status if status < 400 else body["code"] for status, body in answers)


@contextmanager
def meanwhile(call: Callable[[], Any]) -> Iterator[list[Any]]:
    """Call it over and over in a thread of its own; yield the list that gets its results."""
    ended, results, errors = threading.Event(), [], []

    def work() -> None:
        try:
            while not ended.is_set():
                results.append(call())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield results
    finally:
        ended.set()
        thread.join()
    if errors:
        raise errors[0]


age_some = """
    WITH picked AS (
        SELECT code_key FROM vouchers WHERE used_at > now() - interval '1 day'
        ORDER BY random() LIMIT :some FOR UPDATE SKIP LOCKED
    ), aged AS (
        UPDATE redemptions SET redeemed_at = redeemed_at - interval '130 days',
            reversed_at = reversed_at - interval '130 days'
        FROM picked WHERE redemptions.code_key = picked.code_key
    )
    UPDATE vouchers SET used_at = used_at - interval '130 days'
    FROM picked WHERE vouchers.code_key = picked.code_key"""
"""Lets some of the vouchers that were just used up be over for long."""


def archivist(app: Flask, sql: Callable[..., Any], pass_months: Callable[[], None]) -> Any:
    """Return a function that ages some used vouchers, archives them, and purges the archive."""

    def run(*arguments: str) -> int:
        result = app.test_cli_runner().invoke(args=["vouchers", *arguments])
        assert result.exit_code == 0, result.output
        return int(result.stdout.split()[-2])

    def work() -> int:
        sql(age_some, some=5)
        moved = run("archive", "--older-than", "90d")
        pass_months()
        run("purge", "--older-than", "2y")
        return moved

    return work

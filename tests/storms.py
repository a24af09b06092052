"""Runs storms: many clients at once against gunicorn."""

import json
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from flask import Flask

from tests import cluster
from tests.builders import in_days, moved
from tests.patience import until
from tests.server import Server, at_once

stormed = "application_name = 'storm' AND datname = current_database()"
deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"


@contextmanager
def watched(sql: Callable[..., Any], log: Path) -> Iterator[None]:
    """Fail if a request failed meanwhile, or a transaction met a deadlock."""
    before, read = sql(deadlocks), log.stat().st_size
    yield
    lines = [json.loads(line) for line in log.read_bytes()[read:].splitlines()]
    failed = [line for line in lines if line.get("status", 0) >= 500 or line["level"] != "INFO"]
    assert not failed, (len(failed), failed[:5])
    # A connection reports the deadlocks that it met before it is gone.
    sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {stormed}")
    until(lambda: not sql(f"SELECT FROM pg_stat_activity WHERE {stormed}"))
    assert sql(deadlocks) == before


def outcomes(answers: list[tuple[int, Any]]) -> Counter[Any]:
    """Count the answers by the code of the error, or by the status of what succeeded."""
    return Counter(status if status < 400 else body["code"] for status, body in answers)


@contextmanager
def meanwhile(call: Callable[[], Any]) -> Iterator[list[Any]]:
    """Call it now and then in a thread of its own; yield the list that gets its results."""
    ended, results, errors = threading.Event(), [], []

    def work() -> None:
        try:
            while not ended.is_set():
                results.append(call())
                time.sleep(0.02)
        except BaseException as error:  # noqa: BLE001 (raised below)
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


used_lately = """
    SELECT code_key FROM vouchers WHERE used_at > now() - interval '1 day'
    ORDER BY random() LIMIT :some"""
age = f"""
    WITH aged AS (
        UPDATE redemptions SET redeemed_at = {moved("redeemed_at", -130)},
            reversed_at = {moved("reversed_at", -130)}
        WHERE code_key = :key
    )
    UPDATE vouchers SET used_at = {moved("used_at", -130)} WHERE code_key = :key"""


def age_some(sql: Callable[..., Any], some: int) -> None:
    """Let some of the vouchers that were just used up be over for long."""
    for (key,) in sql(used_lately, some=some):
        sql(age, key=key)


def at_any_moment(audit: Callable[[], None]) -> Callable[[], None]:
    """Return the audit; on a cluster, which has no common snapshot, only a rest can be audited."""
    return (lambda: None) if cluster.citus_url else audit


def archivist(app: Flask, sql: Callable[..., Any], pass_months: Callable[[], None]) -> Any:
    """Return a function that ages some used vouchers, archives them, and purges the archive."""

    def run(*arguments: str) -> int:
        result = app.test_cli_runner().invoke(args=["vouchers", *arguments])
        assert result.exit_code == 0, result.output
        return int(result.stdout.split()[-2])

    def work() -> int:
        age_some(sql, 5)
        moved = run("archive", "--older-than", "90d")
        pass_months()
        run("purge", "--older-than", "2y")
        return moved

    return work


class Client:
    """Issues, claims, holds, redeems, reverses and the like at random, on the newest vouchers.

    All clients of a storm share `codes`, the vouchers that were issued so far.
    """

    actions = (
        *("redeem", "redeem", "redeem", "hold", "hold", "release", "reverse", "reverse_order"),
        *("claim", "issue", "disable", "enable", "enable", "limit"),
    )
    newest = 8

    def __init__(self, server: Server, codes: list[str], people: Sequence[str], seed: int) -> None:
        self.server, self.codes, self.people, self.seed = server, codes, people, seed
        self.random = Random(seed)  # noqa: S311
        self.redemptions: list[str] = []
        self.holds: list[str] = []
        self.answers: Counter[Any] = Counter()

    def rage(self, steps: int) -> None:
        """Do so many things, one after the other."""
        for _ in range(steps):
            action = self.random.choice(self.actions)
            status, body = getattr(self, action)()
            self.answers[action, status if status < 400 else body["code"]] += 1

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        """Post, every fourth time with a key."""
        key = {"Idempotency_Key": str(uuid.uuid4())} if self.random.random() < 0.25 else {}
        return self.server.post(path, body, **key)

    def code(self) -> dict[str, str]:
        return {"code": self.random.choice(self.codes[-self.newest :])}

    def email(self) -> dict[str, str]:
        return {"email": self.random.choice(self.people)}

    def order(self) -> dict[str, str]:
        return {"order_ref": f"order-{self.random.randrange(30)}"}

    def redeem(self) -> tuple[int, Any]:
        order = self.order() if self.random.random() < 0.3 else {}
        answer = self.post("/vouchers/validate", self.code() | self.email() | order)
        self.redemptions += [answer[1]["redemption_id"]] if answer[0] == 201 else []
        return answer

    def hold(self) -> tuple[int, Any]:
        ttl = {"ttl_seconds": self.random.choice([1, 9])}
        answer = self.post("/vouchers/hold", self.code() | self.email() | ttl)
        self.holds += [answer[1]["hold_id"]] if answer[0] == 201 else []
        return answer

    def release(self) -> tuple[int, Any]:
        hold_id = self.random.choice(self.holds or [str(uuid.uuid4())])
        return self.post("/vouchers/release", {"hold_id": hold_id})

    def reverse(self) -> tuple[int, Any]:
        redemption_id = self.random.choice(self.redemptions or [str(uuid.uuid4())])
        return self.post(f"/redemptions/{redemption_id}/reverse", {})

    def reverse_order(self) -> tuple[int, Any]:
        return self.post("/redemptions/reverse", self.order())

    def claim(self) -> tuple[int, Any]:
        ref = {"claim_ref": f"claim-{self.random.randrange(1000)}"}
        ref = ref if self.random.random() < 0.5 else {}
        return self.post("/vouchers/claim", {"offer_name": "KOI"} | self.email() | ref)

    def issue(self) -> tuple[int, Any]:
        body = {"email": None, "offer_name": "KOI", "discount": 10, "expiry": in_days(1)}
        uses = {"max_redemptions": self.random.randrange(1, 5)}
        answer = self.post("/vouchers/generate", body | uses)
        self.codes.append(answer[1]["code"])
        return answer

    def disable(self) -> tuple[int, Any]:
        return self.post("/vouchers/disable", self.code())

    def enable(self) -> tuple[int, Any]:
        return self.post("/vouchers/enable", self.code())

    def limit(self) -> tuple[int, Any]:
        limit = {"max_redemptions_per_customer": self.random.choice([None, 2, 6])}
        return self.server.request("PATCH", "/offers/1", limit)


def rage(clients: Sequence[Client], steps: int) -> Counter[Any]:
    """Let the clients rage at once and return what they were answered."""
    at_once(len(clients), lambda number: clients[number].rage(steps))
    return sum((client.answers for client in clients), Counter())

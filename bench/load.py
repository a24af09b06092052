"""Loads a service with wrk, and reads its results."""

import json
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from string import Template

import click

from bench.fill import Group, factor, modulus, stride

script = Path(__file__).with_name("load.lua")
threads = 2


@dataclass(frozen=True)
class Operation:
    """A request that is sent repeatedly, each time with another number of a group.

    `$code` and `$email` in path and body are the number's code and customer. With `with_webhook` a
    webhook asks for the events of redemptions. `app` is what gunicorn serves.
    """

    name: str
    path: str
    body: str
    group: Group
    method: str = "POST"
    with_key: bool = False
    with_webhook: bool = False
    app: str = "wsgi:app"
    connections: int = 16


@dataclass(frozen=True)
class Measured:
    """The results of one run of wrk, latencies in milliseconds; the next run starts at `made`."""

    requests: int
    seconds: float
    p50: float
    p99: float
    refused: int
    broken: int
    made: int


def require_wrk() -> None:
    """Raise ClickException if wrk is not installed."""
    if shutil.which("wrk") is None:
        raise click.ClickException("wrk is missing: install it with `apt-get install wrk`.")


class Loader:
    """Sends requests, using each number of a group once while numbers last."""

    def __init__(self, api_key: str) -> None:
        self._api_key = api_key
        self._turns: Counter[str] = Counter()

    def load(self, port: int, operation: Operation, seconds: int, most: int = 2**31) -> Measured:
        """Send requests for `seconds`, at most `most`. Raises ClickException if one fails."""
        group = operation.group
        numbers = (group.letter, group.count, group.per_customer or 1, self._turns[group.letter])
        headers = ("-H", f"Authorization: Bearer {self._api_key}")
        key = "bench-" if operation.with_key else ""
        finished = subprocess.run(
            [
                *("wrk", "-t", str(threads), "-c", str(operation.connections), "-d", f"{seconds}s"),
                *("--timeout", "10s", *headers, "-H", "Content-Type: application/json"),
                *("-s", str(script), f"http://127.0.0.1:{port}", "--"),
                *(operation.method, operation.path, operation.body, key),
                *map(str, (*numbers, threads, stride, factor, modulus, most // threads)),
            ],
            capture_output=True,
            text=True,
        )
        measured = parse(finished.stdout + finished.stderr)
        self._turns[group.letter] += measured.made * threads
        if measured.refused or measured.broken or not measured.requests:
            raise click.ClickException(f"{operation.name} does not succeed: {measured}")
        return measured

    def request(self, operation: Operation) -> tuple[str, str, dict[str, str]]:
        """Return the path, the body and the headers of one more request."""
        group, turn = operation.group, self._turns[operation.group.letter]
        self._turns[group.letter] += 1
        number = turn * stride % group.count
        values = {"code": group.code(number), "email": group.email(number)}
        headers = {"Authorization": f"Bearer {self._api_key}"}
        if operation.with_key:
            headers["Idempotency-Key"] = f"bench-{turn}"
        path, body = (
            Template(text).substitute(values) for text in (operation.path, operation.body)
        )
        return path, body, headers


def parse(output: str) -> Measured:
    """Return what load.lua printed after wrk's own output; raise ClickException if nothing."""
    lines = [line for line in output.splitlines() if line.startswith("{")]
    if len(lines) != 1:
        raise click.ClickException(f"wrk failed: {output.strip()}")
    return Measured(**json.loads(lines[0]))

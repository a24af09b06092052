"""Loads a service with wrk, and reads what wrk measured."""

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
    """A request that is sent again and again, each time with another number of a group.

    `$code` and `$email` in its path and body stand for the number's voucher and customer.
    """

    name: str
    path: str
    body: str
    group: Group
    method: str = "POST"
    with_key: bool = False
    connections: int = 16


@dataclass(frozen=True)
class Measured:
    """What one run of wrk saw; latencies are in milliseconds. `made` is for the next numbers."""

    requests: int
    seconds: float
    p50: float
    p99: float
    refused: int
    broken: int
    made: int


def insist_on_wrk() -> None:
    """Raise ClickException if wrk is not there."""
    if shutil.which("wrk") is None:
        raise click.ClickException("wrk is missing: get it with `apt-get install wrk`.")


class Loader:
    """Names each number of a group once, as long as there are some."""

    def __init__(self, api_key: str) -> None:
        self._api_key = api_key
        self._turns: Counter[str] = Counter()

    def load(self, port: int, operation: Operation, seconds: int, most: int = 2**31) -> Measured:
        """Send as many requests as get answered, but not more than `most`.

        Raises ClickException unless all succeed.
        """
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
    """Return what load.lua wrote after all that wrk itself prints; raise ClickException if none."""
    lines = [line for line in output.splitlines() if line.startswith("{")]
    if len(lines) != 1:
        raise click.ClickException(f"wrk failed: {output.strip()}")
    return Measured(**json.loads(lines[0]))

"""Counts the statements and round trips of each operation, through a tap on PostgreSQL's wire."""

from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import NamedTuple

import click
from sqlalchemy.engine import URL

from bench import operations, processes, wire
from bench.load import Loader, Operation

warm_up, requests = 10, 50


class Count(NamedTuple):
    """Statements and round trips of a typical request.

    As a median, it leaves out statements that run once a second or once a minute.
    """

    statements: float
    round_trips: float


def count(database: URL, folder: Path, loader: Loader, asked: list[Operation]) -> dict[str, Count]:
    """Send each operation's requests one after the other; raise ClickException if one fails."""
    socket = f".s.PGSQL.{database.query['port']}"
    tap = database.update_query_dict({"host": str(folder)})
    with (
        wire.tapped(Path(str(database.query["host"]), socket), folder / socket) as answers,
        processes.gunicorn(tap, folder / "gunicorn.log", workers=1) as service,
        closing(HTTPConnection("127.0.0.1", service.port, timeout=30)) as client,
    ):
        counts = {}
        for operation in asked:
            with operations.running(operation, database):
                counts[operation.name] = _typical(list(_ask(client, loader, operation, answers)))
        return counts


def _ask(
    client: HTTPConnection, loader: Loader, operation: Operation, answers: wire.Answers
) -> Iterator[Count]:
    for number in range(warm_up + requests):
        path, body, headers = loader.request(operation)
        before = Count(answers.statements, answers.round_trips)
        client.request(operation.method, path, body or None, headers)
        answer = client.getresponse()
        said = answer.read().decode()
        if answer.status >= 300:
            raise click.ClickException(f"{operation.name} does not succeed: {said}")
        if number >= warm_up:
            yield Count(
                answers.statements - before.statements, answers.round_trips - before.round_trips
            )


def _typical(counts: list[Count]) -> Count:
    return Count(*map(median, zip(*counts, strict=True)))

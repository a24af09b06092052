"""Bulk generation against plain COPY of as many rows like its own; `make bench-bulk` runs it.

Both add a million vouchers to a table that has a million, in clones of one database, on a
PostgreSQL that syncs to disk. They take turns of 100 000, so that what else the machine does slows
both alike. The plain COPY is one for each turn, of text that lies ready. Bulk generation meets
codes that are taken, 20 in each chunk.
"""

import io
import multiprocessing
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from decimal import Decimal
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO

import click
import flask_migrate
import psycopg2
from sqlalchemy.engine import URL

from voucherpool import create_app, worker
from voucherpool.batches import generating, service
from voucherpool.config import Config
from voucherpool.db import db, transaction
from voucherpool.localpg import LocalPostgres
from voucherpool.offers import service as offers
from voucherpool.vouchers import codes

columns = ", ".join(generating.columns)
count = 1_000_000
planted_per_chunk = 20
turn = 100_000
pattern = "####-####-####"
expiry = "2099-01-01 00:00:00+00"
lowest_ratio, most_memory = 0.7, 150


def main() -> None:
    """Measure, print, and exit with 1 where a goal is missed."""
    with _home() as home:
        postgres = LocalPostgres(home / "postgres", max_wal_size="8GB")
        postgres.start()
        try:
            _measure(home, postgres.url())
        finally:
            postgres.stop()


@contextmanager
def _home() -> Iterator[Path]:
    home = Path(tempfile.mkdtemp(prefix="voucherpool-bench-"))
    home.chmod(0o711)  # root's PostgreSQL runs as nobody and must get in
    try:
        yield home
    finally:
        shutil.rmtree(home)


def _measure(home: Path, server: URL) -> None:
    _prepare(server, home / "rows")
    for name in ("plain", "bulk"):
        _execute(server, f"CREATE DATABASE {name} TEMPLATE filled")
    _execute(server, "CHECKPOINT")
    plain, bulk = 0.0, 0.0
    with _generator(server.set(database="bulk")) as turns, open(home / "rows") as rows:
        for number, done in enumerate(turns, 1):
            text = io.StringIO("".join(islice(rows, turn)))
            bulk, plain = bulk + done[0], plain + _copy(server.set(database="plain"), text)
            click.echo(f"{number * turn} rows: plain COPY {plain:.1f} s, bulk {bulk:.1f} s")
    _check(server.set(database="bulk"))
    _, megabytes, collisions = done
    click.echo(f"{count} new codes exactly, {collisions} times one that was taken")
    click.echo(f"throughput of plain COPY {count / plain:.0f}/s, of bulk {count / bulk:.0f}/s")
    click.echo(f"ratio {plain / bulk:.2f} (goal {lowest_ratio})")
    click.echo(f"memory of the process {megabytes:.0f} MB (goal {most_memory})")
    if plain / bulk < lowest_ratio or megabytes > most_memory:
        raise SystemExit(1)


def _prepare(server: URL, rows: Path) -> None:
    _execute(server, "CREATE DATABASE filled")
    filled = server.set(database="filled")
    with create_app(Config(filled)).app_context():
        flask_migrate.upgrade()
        with transaction():
            offer = offers.create(name="KOI", discount=Decimal("22.1"), discount_type="percentage")
            service.create(offer.id, datetime.fromisoformat(expiry), pattern, count)
        db.engine.dispose()
    _write(rows)
    with open(rows) as file:
        _copy(filled, file)
    _write(rows)
    _execute(filled, "VACUUM ANALYZE vouchers")


def _write(rows: Path) -> None:
    rest = f"\\N\t1\t{expiry}\t1\t\\N\t1"
    with open(rows, "w") as file:
        for _ in range(count // 1000):
            made = codes.of_pattern(pattern, 1000).items()
            file.writelines(f"{key}\t{code}\t{rest}\n" for key, code in made)


def _copy(database: URL, rows: IO[str]) -> float:
    with _connection(database) as connection:
        begin = time.monotonic()
        connection.cursor().copy_expert(f"COPY vouchers ({columns}) FROM STDIN", rows)
        connection.commit()
        return time.monotonic() - begin


@contextmanager
def _generator(database: URL) -> Iterator[Iterator[tuple[float, float, int]]]:
    """Give an iterator whose every step is one turn of bulk generation, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(database, theirs))
    process.start()
    yield (ours.send(None) or ours.recv() for _ in range(count // turn))
    process.join()


def _work(database: URL, pipe: Connection) -> None:
    """Answer with seconds, the most megabytes this process had, and how many codes were taken."""
    rows = _execute(database, "SELECT code_key FROM vouchers LIMIT 5000")
    planted = _plant([code.encode() for (code,) in rows])
    with create_app(Config(database)).app_context():
        for _ in range(count // turn):
            pipe.recv()
            begin = time.monotonic()
            for _ in range(turn // generating.chunk_size):
                worker.add_chunk_to_batch()
            seconds = time.monotonic() - begin
            megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            pipe.send((seconds, megabytes, sum(planted)))


def _check(database: URL) -> None:
    [(total, distinct)] = _execute(database, "SELECT count(*), count(DISTINCT code) FROM vouchers")
    [(state,)] = _execute(database, "SELECT state FROM batches")
    if not total == distinct == 2 * count or state != "done":
        raise SystemExit(f"{total} vouchers, {distinct} codes, {state}: must be {2 * count}, done")


def _plant(taken: list[bytes]) -> list[int]:
    """Let the generator make some codes that are taken; the list grows by how many."""
    real, planted = codes.random_characters, []

    def characters(count: int) -> bytes:
        made = bytearray(real(count))
        if count >= generating.chunk_size * codes.length:
            for place in range(planted_per_chunk):
                at = (place * 997 + 500) * codes.length
                made[at : at + codes.length] = taken.pop()
            planted.append(planted_per_chunk)
        return bytes(made)

    codes.random_characters = characters
    return planted


def _connection(database: URL) -> closing[psycopg2.extensions.connection]:
    address = database.set(drivername="postgresql").render_as_string(hide_password=False)
    return closing(psycopg2.connect(address))


def _execute(database: URL, statement: str) -> list[tuple]:
    with _connection(database) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


if __name__ == "__main__":
    main()

"""Bulk generation against plain COPY of as many equal rows.

Both add a million vouchers to a table that has a million, in clones of one database, on a
PostgreSQL that syncs to disk. They take turns of 100 000, so that other load on the machine slows
both. Each turn's COPY reads prepared text. Bulk generation meets 20 taken codes in each chunk.
"""

import io
import multiprocessing
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import islice
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import TextIO

import flask_migrate
from sqlalchemy.engine import URL

from bench.home import connection, execute
from voucherpool import create_app
from voucherpool.batches import generating, service
from voucherpool.config.settings import Config
from voucherpool.database.model import db
from voucherpool.database.transactions import transaction
from voucherpool.offers import service as offers
from voucherpool.operations import worker
from voucherpool.vouchers import codes

columns = ", ".join(generating.columns)
planted_per_chunk = 20
turn = 100_000
pattern = "####-####-####"
expiry = "2099-01-01 00:00:00+00"


@dataclass(frozen=True)
class Bulk:
    """Seconds of plain COPY and of bulk generation, and the peak memory of the latter's process."""

    count: int
    plain: float
    bulk: float
    megabytes: float
    collisions: int

    @property
    def ratio(self) -> float:
        """Return bulk generation's throughput against COPY's."""
        return self.plain / self.bulk


def measure(folder: Path, server: URL, count: int, tell: Callable[[str], None]) -> Bulk:
    """Let both add `count` vouchers, in turns."""
    _prepare(server, folder / "rows", count)
    for name in ("plain", "bulk"):
        execute(server, f"CREATE DATABASE {name} TEMPLATE filled")
    execute(server, "CHECKPOINT")
    plain, bulk = 0.0, 0.0
    with _generator(server.set(database="bulk"), count) as turns, open(folder / "rows") as rows:
        for number, done in enumerate(turns, 1):
            text = io.StringIO("".join(islice(rows, turn)))
            bulk, plain = bulk + done[0], plain + _copy(server.set(database="plain"), text)
            tell(f"{number * turn} rows: plain COPY {plain:.1f} s, bulk {bulk:.1f} s")
    _check(server.set(database="bulk"), count)
    return Bulk(count, plain, bulk, *done[1:])


def _prepare(server: URL, rows: Path, count: int) -> None:
    execute(server, "CREATE DATABASE filled")
    filled = server.set(database="filled")
    with create_app(Config(filled)).app_context():
        flask_migrate.upgrade()
        with transaction():
            offer = offers.create(name="KOI", discount=Decimal("22.1"), discount_type="percentage")
            service.create(offer.id, datetime.fromisoformat(expiry), pattern, count)
        db.engine.dispose()
    _write(rows, count)
    with open(rows) as file:
        _copy(filled, file)
    _write(rows, count)
    execute(filled, "VACUUM ANALYZE vouchers")


def _write(rows: Path, count: int) -> None:
    given = {"offer_id": "1", "expires_at": expiry, "max_redemptions": "1", "batch_id": "1"}
    rest = "\t".join(given.get(name, "\\N") for name in generating.columns[2:])
    with open(rows, "w") as file:
        for _ in range(count // 1000):
            made = codes.of_pattern(pattern, 1000).items()
            file.writelines(f"{key}\t{code}\t{rest}\n" for key, code in made)


def _copy(database: URL, rows: TextIO) -> float:
    with connection(database) as opened:
        begin = time.monotonic()
        opened.cursor().copy_expert(f"COPY vouchers ({columns}) FROM STDIN", rows)
        opened.commit()
        return time.monotonic() - begin


@contextmanager
def _generator(database: URL, count: int) -> Iterator[Iterator[tuple[float, float, int]]]:
    """Return an iterator; each step is one turn of bulk generation in a separate process."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(database, theirs, count // turn))
    process.start()
    yield (_take_turn(ours) for _ in range(count // turn))
    process.join()


def _take_turn(pipe: Pipe) -> tuple[float, float, int]:
    pipe.send(None)
    seconds, megabytes, collisions = pipe.recv()
    return seconds, megabytes, collisions


def _work(database: URL, pipe: Pipe, turns: int) -> None:
    """Answer with seconds, peak megabytes of this process, and the number of taken codes."""
    rows = execute(database, "SELECT code_key FROM vouchers LIMIT 5000")
    planted = _plant([code.encode() for (code,) in rows])
    with create_app(Config(database)).app_context():
        for _ in range(turns):
            pipe.recv()
            begin = time.monotonic()
            for _ in range(turn // generating.chunk_size):
                worker.add_chunk_to_batch()
            seconds = time.monotonic() - begin
            megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            pipe.send((seconds, megabytes, sum(planted)))


def _check(database: URL, count: int) -> None:
    [(total, distinct)] = execute(database, "SELECT count(*), count(DISTINCT code) FROM vouchers")
    [(state,)] = execute(database, "SELECT state FROM batches")
    if not total == distinct == 2 * count or state != "done":
        raise SystemExit(f"{total} vouchers, {distinct} codes, {state}: must be {2 * count}, done")


def _plant(taken: list[bytes]) -> list[int]:
    """Let the generator make some taken codes, and append their number to the list."""
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

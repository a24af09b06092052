"""CPU time and memory of processes from /proc (proc(5)), and starting gunicorn."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from sqlalchemy.engine import URL

from tests.server import children, run_gunicorn

ticks = os.sysconf("SC_CLK_TCK")


class Service(NamedTuple):
    """A running gunicorn: its port and its master process."""

    port: int
    process: int


@contextmanager
def gunicorn(
    database: URL, log: Path, app: str = "wsgi:app", workers: int = 2
) -> Iterator[Service]:
    """Run gunicorn as in production; its log goes to a file."""
    before = children(os.getpid())
    with open(log, "ab") as file, run_gunicorn(database, app, workers, file.fileno()) as port:
        [process] = set(children(os.getpid())) - set(before)
        yield Service(port, process)


def cpu_seconds(process: int) -> float:
    """Return the CPU time of a process and its children, also of those that ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        below = sum(map(cpu_seconds, children(process)))
        return below + _own_seconds(process) + _seconds_of_ended_children(process)
    return 0


def _own_seconds(process: int) -> float:
    # A process's own schedstat covers only its first thread.
    threads = Path(f"/proc/{process}/task").glob("*/schedstat")
    return sum(int(path.read_text().split()[0]) for path in threads) / 1e9


def _seconds_of_ended_children(process: int) -> float:
    after_name = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, after_name[13:15])) / ticks


def megabytes(process: int) -> float:
    """Return the resident memory of a process."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024

"""What processes cost, from /proc: CPU time and memory (proc(5)); and gunicorn with its number."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from sqlalchemy.engine import URL

from tests.server import run_gunicorn

ticks = os.sysconf("SC_CLK_TCK")


class Service(NamedTuple):
    """A running gunicorn: where it listens, and its first process."""

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


def children(process: int) -> list[int]:
    """Return the processes that it started and that live."""
    listed = Path(f"/proc/{process}/task").glob("*/children")
    return [int(child) for path in listed for child in path.read_text().split()]


def cpu_seconds(process: int) -> float:
    """Return the CPU time of a process and of all that it started, those that ended too."""
    with suppress(FileNotFoundError, ProcessLookupError):
        below = sum(map(cpu_seconds, children(process)))
        return below + _own_seconds(process) + _seconds_of_ended_children(process)
    return 0


def _own_seconds(process: int) -> float:
    # A process's own schedstat is its first thread's alone.
    threads = Path(f"/proc/{process}/task").glob("*/schedstat")
    return sum(int(path.read_text().split()[0]) for path in threads) / 1e9


def _seconds_of_ended_children(process: int) -> float:
    after_name = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, after_name[13:15])) / ticks


def megabytes(process: int, field: str = "VmRSS") -> float:
    """Return the memory of a process: resident, or the most that it ever had by VmHWM."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(re.findall(rf"{field}:\s+(\d+)", status)[0]) / 1024

"""Describes the machine of a measurement."""

import os
import platform
import re
import subprocess
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median

from sqlalchemy.engine import URL

from bench import home

packages = ("flask", "gunicorn", "sqlalchemy", "psycopg2-binary")


def describe(database: URL, folder: Path) -> dict[str, str]:
    """Return machine, versions and the disk's sync time, by name."""
    [(postgres,)] = home.execute(database, "SHOW server_version")
    installed = [f"{name} {version(name)}" for name in packages]
    return {
        "machine": f"{_processor()}, {os.cpu_count()} cores, {_gigabytes():.0f} GB, "
        f"Linux {platform.release()}",
        "versions": ", ".join(
            [f"Python {platform.python_version()}", *installed, f"PostgreSQL {postgres}", _wrk()]
        ),
        "fdatasync of 8 kB": f"{fsync_milliseconds(folder):.2f} ms",
        "load before": f"{os.getloadavg()[0]:.2f} processes",
    }


def markdown(about: dict[str, str]) -> str:
    """Return the description as a list."""
    return "\n".join(f"- {name}: {value}" for name, value in about.items())


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


def _processor() -> str:
    names = re.findall(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return names[0] if names else platform.machine()


def _gigabytes() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def _wrk() -> str:
    said = subprocess.run(["wrk", "-v"], capture_output=True, text=True).stdout
    return " ".join(said.split()[:2])

"""Imports and exports a million vouchers, by command and over HTTP; `make bench-csv` runs it.

It shows the time and peak memory of each on a PostgreSQL with fsync on, and checks that the export
equals the import.
"""

import filecmp
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import click
import flask_migrate
from flask import Flask
from sqlalchemy import text
from sqlalchemy.engine import URL

from bench import home
from bench.processes import megabytes
from tests.server import children, run_gunicorn
from voucherpool import create_app
from voucherpool.config import Config, checkout
from voucherpool.database.model import db
from voucherpool.database.transactions import transaction
from voucherpool.files import layout
from voucherpool.http import apikeys
from voucherpool.vouchers import codes

count, piece, people = 1_000_000, 10_000, 1000
most_memory = 150  # MB
prepare = (
    "INSERT INTO offers (name, discount) VALUES ('KOI', 10)",
    "INSERT INTO customers (email, email_key)"
    " SELECT n || '@example.org', n || '@example.org' FROM generate_series(1, :people) AS n",
)


def main() -> None:
    """Measure, print, and exit with 1 if the goal is missed."""
    with home.server(max_wal_size="8GB") as (folder, postgres):
        _measure(folder, postgres.url())


def _measure(folder: Path, database: URL) -> None:
    app = create_app(Config(database))
    with app.app_context():
        flask_migrate.upgrade()
        with transaction():
            for statement in prepare:
                db.session.execute(text(statement), {"people": people})
            key = apikeys.create("bench", apikeys.scopes)
    given, by_command, by_http = (folder / name for name in ("given", "by_command", "by_http"))
    _write(given)
    click.echo(f"{count} vouchers, {given.stat().st_size / 1e6:.0f} MB")
    most = [
        _command("import", database, str(given), "--offer", "KOI"),
        _command("export", database, "--offer", "KOI", "--output", str(by_command)),
    ]
    _wipe(app)
    with run_gunicorn(database, workers=1) as port:
        most.append(_timed("import over HTTP", lambda: _send(port, key, by_command)))
        most.append(_timed("export over HTTP", lambda: _fetch(port, key, by_http)))
    if not (filecmp.cmp(given, by_command, False) and filecmp.cmp(given, by_http, False)):
        raise SystemExit("The export differs from the import.")
    if max(most) > most_memory:
        raise SystemExit(f"More than {most_memory} MB.")


def _write(path: Path) -> None:
    """Write the file in pieces: a child process starts with the memory of this one."""
    with open(path, "w", newline="") as file:
        file.write(",".join(layout.columns) + "\r\n")
        for _ in range(count // piece):
            for number, code in enumerate(codes.of_pattern("####-####-####", piece).values()):
                email = f"{number % people + 1}@example.org" if number % 2 else ""
                file.write(f"{code},{email},2099-01-{number % 28 + 1:02}T00:00:00Z,3,12.5,,0\r\n")


def _wipe(app: Flask) -> None:
    with app.app_context(), transaction():
        db.session.execute(text("TRUNCATE vouchers CASCADE"))


def _command(name: str, database: URL, *arguments: str) -> float:
    """Run `voucherpool vouchers NAME` and return its peak megabytes."""
    address = database.render_as_string(hide_password=False)
    process = subprocess.Popen(
        [sys.executable, "-m", "voucherpool", "vouchers", name, *arguments],
        env=os.environ | {"DATABASE_URL": address},
        cwd=checkout,
    )
    begin = time.monotonic()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{name} failed.")
    return _tell(f"{name} by command", time.monotonic() - begin, usage.ru_maxrss / 1024)


def _timed(what: str, call: Callable[[], None]) -> float:
    """Time the call, and return the peak megabytes of gunicorn's worker."""
    begin = time.monotonic()
    call()
    seconds = time.monotonic() - begin
    [master] = children(os.getpid())
    [worker] = children(master)
    return _tell(what, seconds, megabytes(worker, "VmHWM"))


def _tell(what: str, seconds: float, most: float) -> float:
    click.echo(f"{what}: {seconds:.1f} s, at most {most:.0f} MB (goal {most_memory})")
    return most


def _send(port: int, key: str, path: Path) -> None:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": layout.media_type}
    with _connection(port) as connection, open(path, "rb") as file:
        connection.request("POST", "/offers/1/imports", file, headers | {"Idempotency-Key": "k"})
        answer = connection.getresponse().read()
    if answer != b'{"imported":%d}\n' % count:
        raise SystemExit(answer.decode())


def _fetch(port: int, key: str, path: Path) -> None:
    with _connection(port) as connection, open(path, "wb") as file:
        connection.request("GET", "/offers/1/codes", headers={"Authorization": f"Bearer {key}"})
        answer = connection.getresponse()
        while chunk := answer.read(65536):
            file.write(chunk)


@contextmanager
def _connection(port: int) -> Iterator[HTTPConnection]:
    with closing(HTTPConnection("127.0.0.1", port, timeout=300)) as connection:
        yield connection


if __name__ == "__main__":
    main()

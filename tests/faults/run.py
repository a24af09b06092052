"""One run of a scenario: its own PostgreSQL, gunicorn and workers, and what it found."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flask_migrate
from flask import Flask
from sqlalchemy import text
from sqlalchemy.engine import URL

from tests.faults import guards, ledger
from tests.faults.ledger import Intent, Ledger, email
from tests.faults.shoppers import Crowd, Shop, crowd
from tests.server import (
    any_guesses,
    children,
    free_port,
    secret_key,
    start_python,
    wait_until_listening,
)
from voucherpool import create_app
from voucherpool.apikeys import service as apikeys
from voucherpool.config.settings import Config, checkout, durability
from voucherpool.customers import service as customers
from voucherpool.database.model import db
from voucherpool.database.transactions import long_transaction, transaction
from voucherpool.local.postgres import LocalPostgres
from voucherpool.operations import integrity

fill = """
    INSERT INTO offers (name, discount) VALUES ('KOI', 10) ON CONFLICT DO NOTHING;
    INSERT INTO vouchers (code_key, code, offer_id, expires_at, max_redemptions)
    SELECT code, code, 1, now() + interval '9 days', {uses}
    FROM generate_series({first}, {last}) AS n, to_char(n, 'FM0000000000') AS code;
    INSERT INTO offer_counts (offer_id, day, slot, issued)
    VALUES (1, current_date, {first}, {last} - {first} + 1)"""


class Missing(Exception):
    """The machine lacks what a scenario needs; the message says what."""


def require(*programs: str) -> None:
    """Raise Missing unless the programs are installed."""
    for program in programs:
        if shutil.which(program) is None:
            raise Missing(f"{program} is not installed")


def kill(process: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to one process, which may have ended before."""
    with suppress(ProcessLookupError):
        os.kill(process, number)


@dataclass
class Run:
    """One run of a scenario, or of its control.

    `size` scales what it does: 1 is the full size. In a control the `guard` is off. `written`
    counts what background work had to write. `breaches` say what else was wrong.
    """

    size: float = 1.0
    guard: str | None = None
    ledger: Ledger = field(default_factory=Ledger)
    written: int = 0
    kills: int = 0
    lost: int = 0
    doubled: int = 0
    breaches: list[str] = field(default_factory=list)
    running: ExitStack = field(default_factory=ExitStack)

    @property
    def acknowledged(self) -> int:
        """Return how many writes were acknowledged."""
        return self.written + len(self.ledger.acknowledged())

    @property
    def is_control(self) -> bool:
        """Tell whether the guard is off."""
        return self.guard is not None

    def times(self, count: int, least: int = 1) -> int:
        """Return a count of the full size in this run's size."""
        return max(least, round(count * self.size))

    def folder(self) -> Path:
        """Make a folder that goes with the run, and which PostgreSQL's account may enter."""
        home = Path(tempfile.mkdtemp(prefix="vp-faults-"))
        home.chmod(0o711)
        self.running.callback(shutil.rmtree, home, ignore_errors=True)
        return home

    def postgres(self, **settings: str | int) -> LocalPostgres:
        """Start a PostgreSQL of the run's own, and build the service's database in it."""
        server = self.server(self.folder() / "pg", **settings)
        server.start()
        self.prepare(server.url())
        return server

    def server(self, home: Path, **settings: str | int) -> LocalPostgres:
        """Return a PostgreSQL with its data in a folder, to be started; it ends with the run."""
        server = LocalPostgres(home, **{"max_connections": 300} | settings)
        self.running.callback(server.stop, "immediate")
        return server

    def prepare(self, url: URL) -> None:
        """Migrate a database, and make an API key and a customer."""
        self.use(url)
        with self.app.app_context():
            flask_migrate.upgrade()
            with transaction():
                self.key = apikeys.create("faults", apikeys.scopes)
                customers.ensure(email)
        for statement in guards.sql.get(self.guard or "", ()):
            self.sql(statement)

    def use(self, url: URL) -> None:
        """Judge by the database at this address from now on."""
        self.url = url
        self.app = app = create_app(Config(url, secret_keys=(secret_key,), tolerate_off=durability))
        self.running.callback(_dispose, app)

    def sql(self, statement: str, **values: Any) -> Any:
        """Run SQL in the run's database, in a transaction, and return its rows."""
        with self.app.app_context():
            with db.engine.begin() as connection:
                connection.exec_driver_sql("SET statement_timeout = 0; SET synchronous_commit = on")
                result = connection.execute(text(statement), values)
                rows = result.all() if result.returns_rows else None
            # The next one may meet another server.
            db.engine.dispose()
        return rows

    def vouchers(self, count: int, *, uses: int = 1, first: int = 1) -> list[str]:
        """Make unbound vouchers of the offer KOI, and return their codes."""
        last = first + count - 1
        self.sql(fill.format(first=first, last=last, uses=uses))
        return [f"{number:010}" for number in range(first, last + 1)]

    def start(
        self, *command: str, url: URL | None = None, cwd: Path = checkout, **environ: str
    ) -> Any:
        """Start a Python module on the database, with the guard off in a control."""
        unguarded = {"FAULTS_GUARD_OFF": self.guard or "", **any_guesses, **environ}
        home = {"TMPDIR": str(self.folder())}
        process = start_python(
            *(url or self.url, *command),
            environ=home | unguarded,
            cwd=cwd,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.running.callback(_end, process)
        return process

    def gunicorn(
        self, port: int | None = None, workers: int = 2, threads: int = 4, **more: Any
    ) -> "Gunicorn":
        """Start gunicorn, and return once it listens."""
        port = port or free_port()
        settings = {"WEB_CONCURRENCY": workers, "VOUCHERPOOL_THREADS": threads, "PORT": port}
        environ = {name: str(value) for name, value in settings.items()}
        command = ("gunicorn", "--bind", f"127.0.0.1:{port}", "tests.faults.guards:create_app()")
        process = self.start(*command, **environ | more)
        wait_until_listening(port, process)
        return Gunicorn(process, port)

    def worker(self, **more: Any) -> Any:
        """Start a worker."""
        return self.start("tests.faults.guards", "worker", **more)

    def shop(self, port: int) -> Shop:
        """Return a client that notes its answers in the run's ledger."""
        shop = Shop(port, self.key, self.ledger)
        self.running.callback(shop.close)
        return shop

    def crowd(
        self, port: int, intents: Iterable[Intent], members: int = 16
    ) -> AbstractContextManager[Crowd]:
        """Let clients redeem during a block; at its end all that they sent is known."""
        return crowd(members, port, self.key, self.ledger, intents)

    def redeem_all(self, port: int, intents: Sequence[Intent], members: int = 16) -> None:
        """Let clients redeem all the intents."""
        with self.crowd(port, intents, members) as shoppers:
            shoppers.finish()

    def change_offer(self, port: int, **terms: object) -> None:
        """Change the offer KOI by the API."""
        status, answer = self.shop(port).call("PATCH", "/offers/1", terms)
        assert status == 200, answer

    def expect(self, what: str, found: int, wanted: int) -> None:
        """Note a breach where there are more or fewer than wanted."""
        if found > wanted:
            self.doubled += found - wanted
        elif found < wanted:
            self.breaches.append(f"{found} {what} instead of {wanted}")

    def compare(self, promised: int, found: int) -> None:
        """Compare what background work had to write with what it wrote."""
        self.written += promised
        self.ledger.operations += promised
        self.lost += max(0, promised - found)
        self.doubled += max(0, found - promised)

    def judge(self, *, most_gap: float | None = None) -> None:
        """Compare the ledger with the database, and audit that."""
        kept = ledger.kept(self.sql)
        self.lost += self.ledger.lost(kept)
        self.doubled += self.ledger.doubled(kept) + ledger.excess(self.sql)
        bugs = Counter(self.ledger.bugs)
        self.breaches += [f"{number} times {bug}" for bug, number in bugs.items()]
        if stuck := self.ledger.stuck():
            self.breaches.append(f"{stuck} stuck")
        if left := self.sql("SELECT FROM idempotency_keys WHERE status IS NULL"):
            self.breaches.append(f"{len(left)} stuck keys")
        with self.app.app_context(), long_transaction():
            self.breaches += [what for what, rows in integrity.breaches().items() if rows]
        if most_gap is not None and self.ledger.longest_gap() > most_gap:
            self.breaches.append(f"a gap of {self.ledger.longest_gap():.1f} s")

    @property
    def is_red(self) -> bool:
        """Tell whether a promise was broken."""
        return bool(self.lost or self.doubled or self.breaches)


@dataclass
class Gunicorn:
    """A running gunicorn."""

    process: subprocess.Popen[bytes]
    port: int

    def workers(self) -> list[int]:
        """Return the process ids of its workers."""
        return children(self.process.pid)

    def end(self) -> None:
        """Kill it with its workers."""
        _end(self.process)


def _dispose(app: Flask) -> None:
    with app.app_context():
        db.engine.dispose()


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()

"""Runs gunicorn as in production, for the tests that need real processes."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Barrier
from typing import Any

from sqlalchemy.engine import URL

from tests.builders import ana
from tests.patience import most_seconds, until
from voucherpool.config.settings import checkout, durability

secret_key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

patient_app = "tests.patient_wsgi:app"

any_guesses = {
    "VOUCHERPOOL_FAILED_ATTEMPTS_PER_EMAIL": "1000000",
    "VOUCHERPOOL_FAILED_ATTEMPTS_PER_KEY": "1000000",
}
"""The variables of a gunicorn that refuses nobody for failed attempts, of earlier tests too."""


@dataclass
class Server:
    """A running gunicorn."""

    port: int
    key: str

    def send(self, path: str, body: Any, method: str = "POST", **headers: str) -> tuple[int, bytes]:
        """Send JSON and return the status and the bytes of the answer; `_` is - in a header."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = HTTPConnection("127.0.0.1", self.port, timeout=most_seconds)
        with closing(connection):
            key = {"Authorization": f"Bearer {self.key}"}
            connection.request(method, path, json.dumps(body), key | named)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def request(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        """Send JSON and return the status and the JSON of the answer."""
        status, answer = self.send(path, body, method)
        return status, json.loads(answer)

    def post(self, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        """Post JSON and return the status and the JSON of the answer."""
        status, answer = self.send(path, body, **headers)
        return status, json.loads(answer) if answer else None

    def redeem(self, code: str, email: str = ana, **more: object) -> tuple[int, Any]:
        """Redeem a voucher and return the status and the JSON of the answer."""
        return self.post("/vouchers/redeem", {"code": code, "email": email, **more})


def at_once(count: int, call: Callable[[int], Any]) -> list[Any]:
    """Return the results of `count` calls that start together, each in its own thread."""
    barrier = Barrier(count)

    def wait_and_call(number: int) -> Any:
        barrier.wait()
        return call(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(wait_and_call, range(count)))


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def run_gunicorn(
    database_url: URL,
    app: str = "wsgi:app",
    workers: int = 2,
    log: int | None = None,
    **settings: str,
) -> Iterator[int]:
    """Run gunicorn with the project's settings on a free loopback port, and return the port.

    `log` is the descriptor of the file for its standard error; `settings` are further variables of
    its environment.
    """
    port = free_port()
    with TemporaryDirectory(prefix="voucherpool-") as folder:
        environ = {"WEB_CONCURRENCY": str(workers), "TMPDIR": folder, **settings}
        process = start_gunicorn(database_url, port, app, log, **environ)
        try:
            wait_until_listening(port, process)
            yield port
        finally:
            # An orderly stop keeps the processor busy for longer than most tests.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(most_seconds)


def start_gunicorn(
    database_url: URL, port: int, app: str = "wsgi:app", log: int | None = None, **environ: str
) -> subprocess.Popen[bytes]:
    """Start gunicorn with the project's settings, in a process group of its own."""
    command = ("gunicorn", "--bind", f"127.0.0.1:{port}", app)
    environ["PORT"] = str(port)
    return start_python(database_url, *command, environ=environ, stderr=log, start_new_session=True)


def start_python(
    database_url: URL,
    *command: str,
    environ: Mapping[str, str] | None = None,
    cwd: Path = checkout,
    **options: Any,
) -> subprocess.Popen[Any]:
    """Start a module of this checkout as a process of its own that uses the database."""
    environment = {
        **os.environ,
        "DATABASE_URL": database_url.render_as_string(hide_password=False),
        "VOUCHERPOOL_TOLERATE_OFF": ",".join(durability),
        "VOUCHERPOOL_SECRET_KEY": secret_key,
        **(environ or {}),
    }
    return subprocess.Popen([sys.executable, "-m", *command], cwd=cwd, env=environment, **options)


def children(process: int) -> list[int]:
    """Return the living children of a process."""
    listed = Path(f"/proc/{process}/task").glob("*/children")
    return [int(child) for path in listed for child in path.read_text().split()]


def wait_until_listening(port: int, process: subprocess.Popen[bytes]) -> None:
    """Return once the port accepts connections; fail when the process ends before."""

    def has_started() -> bool:
        assert process.poll() is None, "gunicorn did not start"
        return is_listening(port)

    until(has_started)


def is_listening(port: int) -> bool:
    """Tell whether somebody listens on a port of the loopback interface."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

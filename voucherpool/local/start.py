"""`voucherpool start`: the whole service on one machine, until Ctrl-C."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import click
import flask_migrate
from cryptography.fernet import Fernet

from voucherpool.config import Config, checkout
from voucherpool.database.transactions import transaction
from voucherpool.local.postgres import LocalPostgres, LocalPostgresError
from voucherpool.local.processes import end_with
from voucherpool.operations import seeding
from voucherpool.operations.worker import on_stop_signals

host = "127.0.0.1"
slowest_start_seconds = 30
slowest_stop_seconds = 10


@click.command()
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=checkout / "var",
    help="The directory of PostgreSQL's data and of the secret key.",
)
def start(directory: Path) -> None:
    """Start PostgreSQL, migrate it, and serve on 127.0.0.1 until Ctrl-C.

    PORT sets the port; DATABASE_URL uses another PostgreSQL. Clients on this machine need no API
    key.
    """
    on_stop_signals(_interrupt)
    try:
        with ExitStack() as running:
            _serve(running, directory, os.environ)
    except KeyboardInterrupt:
        click.echo("Stopped.")
    except LocalPostgresError as error:
        raise click.ClickException(str(error)) from error
    except PermissionError as error:
        raise click.ClickException(
            f"{error.filename} belongs to another user: start as that user, "
            "or use other data with --directory."
        ) from error


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _serve(running: ExitStack, directory: Path, environ: Mapping[str, str]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    running.enter_context(_only_one(directory / "lock"))
    database_url = environ.get("DATABASE_URL")
    # Check the other variables before starting anything; the address does not matter yet.
    port = Config.from_environment(
        {**environ, "DATABASE_URL": database_url or "postgresql:///"}
    ).port
    _check_port(port)
    environment = {**environ, "PORT": str(port)}
    if not environ.get("VOUCHERPOOL_SECRET_KEY"):
        environment["VOUCHERPOOL_SECRET_KEY"] = _kept_key(directory / "secret.key")
    alive: list[Callable[[], bool]] = []
    if not database_url:
        postgres = running.enter_context(_postgres(directory / "postgres"))
        environment["DATABASE_URL"] = postgres.url().render_as_string(hide_password=False)
        alive.append(postgres.is_running)
    _prepare(Config.from_environment(environment))
    worker = running.enter_context(_python(environment, "voucherpool", "worker"))
    gunicorn = ("gunicorn", "--bind", f"{host}:{port}", "wsgi:app")
    open_mode = {**environment, "VOUCHERPOOL_OPEN_MODE": "loopback"}
    server = running.enter_context(_python(open_mode, *gunicorn))
    alive += [lambda: server.poll() is None, lambda: worker.poll() is None]
    _wait_until_listening(port, server)
    click.echo(greeting.format(url=f"http://{host}:{port}"))
    while all(check() for check in alive):
        time.sleep(0.5)
    raise click.ClickException("PostgreSQL, gunicorn or the worker has stopped; start again.")


@contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    with open(lock, "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise click.ClickException(
                f"voucherpool already runs on this data, as process {file.read().strip()}: "
                "stop it first."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _kept_key(file: Path) -> str:
    """Return the key of the file, which is made if it is new and which only its owner may read."""
    if not file.exists():
        # Renamed at the end, so that an interrupted start leaves no half of a key.
        new = file.with_suffix(".new")
        new.unlink(missing_ok=True)
        new.touch(mode=0o600)
        new.write_text(Fernet.generate_key().decode())
        new.rename(file)
    return file.read_text()


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise click.ClickException(
                f"Port {port} of {host} cannot be used ({error.strerror}): "
                f"choose another with PORT={port + 1}."
            ) from error


@contextmanager
def _postgres(home: Path) -> Iterator[LocalPostgres]:
    postgres = LocalPostgres(home)
    try:
        postgres.start()
        yield postgres
    finally:
        on_stop_signals(signal.SIG_IGN)  # nothing interrupts the stop that has begun
        postgres.stop()


def _prepare(config: Config) -> None:
    from voucherpool import create_app

    with create_app(config).app_context():
        flask_migrate.upgrade()
        with transaction():
            seeding.plant(checkout / "seeds")


@contextmanager
def _python(environment: Mapping[str, str], *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a module as a process that ends with the block."""
    # In a new session Ctrl-C does not reach it: this process stops it in order.
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", *arguments],
        cwd=checkout,
        env=dict(environment),
        start_new_session=True,
        preexec_fn=partial(end_with, os.getpid(), signal.SIGTERM),
    )
    try:
        yield process
    finally:
        on_stop_signals(signal.SIG_IGN)  # nothing interrupts the stop that has begun
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(slowest_stop_seconds)
        with suppress(ProcessLookupError):  # a survivor would keep gunicorn's port
            os.killpg(process.pid, signal.SIGKILL)


def _wait_until_listening(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + slowest_start_seconds
    while server.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex((host, port)) == 0:
                return
        time.sleep(0.05)
    raise click.ClickException("gunicorn did not start; see its messages above.")


greeting = """
voucherpool serves on {url}
Documentation:        {url}/docs
To try it:

  curl -d '{{"email":"customer1@gmail.com","offer_name":"KOI","discount":22.1,\
"expiry":"2027-04-21T18:25:43-05:00"}}' {url}/vouchers/generate

Ctrl-C stops it and keeps the data."""

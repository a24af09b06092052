"""`voucherpool start`: the whole service on one machine, until Ctrl-C."""

import fcntl
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click
import flask_migrate

from voucherpool.config.settings import Config, beside
from voucherpool.database.transactions import transaction
from voucherpool.local import data
from voucherpool.local.postgres import LocalPostgres, LocalPostgresError
from voucherpool.local.processes import is_serving, python
from voucherpool.operations import seeding
from voucherpool.operations.commands import gunicorn
from voucherpool.operations.processes import on_stop_signals

host = "127.0.0.1"
slowest_start_seconds = 90
defaults = {
    "VOUCHERPOOL_LOG": "console",
    # An endpoint that is tried out runs on this machine too.
    "VOUCHERPOOL_WEBHOOKS_ALLOW": "127.0.0.0/8",
}
"""The variables that the environment need not name."""


@click.command()
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=data.directory,
    help="The directory of PostgreSQL's data and of the secret key.",
)
def start(directory: Path) -> None:
    """Run the whole service on this machine, to try it.

    It starts a PostgreSQL server, migrates it, and serves on 127.0.0.1 until Ctrl-C. Clients on
    this machine need no API key. PORT sets the port; DATABASE_URL names another PostgreSQL server.
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


not_yet = {"DATABASE_URL": "postgresql:///", "VOUCHERPOOL_SECRET_KEY": f"{'A' * 43}="}
"""Stands for what `make run` makes itself, if it is not given."""


def _serve(running: ExitStack, directory: Path, environ: Mapping[str, str]) -> None:
    database_url = environ.get("DATABASE_URL")
    # Check the other variables before starting anything; address and key do not matter yet.
    given = {name: value for name, value in environ.items() if value}
    port = Config.from_environment({**not_yet, **given}).port
    _check_port(port)
    directory.mkdir(parents=True, exist_ok=True)
    running.enter_context(_only_one(directory / "lock"))
    environment = {**defaults, **environ, "PORT": str(port)}
    if not environ.get("VOUCHERPOOL_SECRET_KEY"):
        environment["VOUCHERPOOL_SECRET_KEY"] = data.kept_key(directory)
    alive: list[Callable[[], bool]] = []
    if not database_url:
        click.echo("Starting PostgreSQL.")
        postgres = running.enter_context(_postgres(data.postgres_of(directory)))
        environment["DATABASE_URL"] = postgres.url().render_as_string(hide_password=False)
        alive.append(postgres.is_running)
    click.echo("Bringing the database up to date.")
    _prepare(Config.from_environment(environment))
    click.echo("Starting the service.")
    worker = running.enter_context(python(environment, "voucherpool", "worker"))
    open_mode = {**environment, "VOUCHERPOOL_OPEN_MODE": "loopback"}
    server = running.enter_context(
        python(open_mode, "gunicorn", *gunicorn("--bind", f"{host}:{port}"))
    )
    alive += [lambda: server.poll() is None, lambda: worker.poll() is None]
    if not is_serving(host, port, server, slowest_start_seconds):
        raise click.ClickException("gunicorn did not start; see its messages above.")
    program = os.path.relpath(Path(sys.executable).with_name("voucherpool"))
    click.echo(greeting.format(url=f"http://{host}:{port}", program=program))
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


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise click.ClickException(
                f"Port {port} of {host} cannot be used ({error.strerror}). If voucherpool already"
                f" runs there, stop it; or choose another with PORT={port + 1}."
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
            seeding.load(beside("seeds"))


greeting = """
voucherpool serves on {url}
Try every route:      {url}/docs
The guide:            {url}/docs/guide.md
The console:          {url}/console/
Clients on this machine need no API key. Issue a first voucher:

  curl -d '{{"email":"customer1@gmail.com","offer_name":"KOI","discount":22.1,\
"expiry":"2099-12-31T23:59:59+01:00"}}' {url}/vouchers/generate

The guide goes on from here. Commands, in another terminal:

  {program} --help

Ctrl-C stops it and keeps the data.
"""

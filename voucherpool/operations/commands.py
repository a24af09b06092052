"""The commands `seed`, `audit`, `cleanup`, `secret-key`, `serve`, `worker`, `outbox deliver`."""

import logging.config
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from threading import Thread

import click
import flask_migrate
import flask_migrate.cli  # type: ignore[import-not-found]
from flask import current_app
from flask.cli import with_appcontext
from prometheus_client import start_http_server

from voucherpool.cli import Command, Group, counted, in_long_transaction, root
from voucherpool.config import beside
from voucherpool.database import durability, reachability, readiness, revisions, server_log
from voucherpool.database.transactions import long_transaction, transaction
from voucherpool.notifications.mail.sending import Sender
from voucherpool.notifications.webhooks.addresses import Policy
from voucherpool.notifications.webhooks.delivering import Deliverer
from voucherpool.observability import logs
from voucherpool.operations import distributing, integrity, seeding
from voucherpool.operations import worker as background


@root.command()
@click.option(
    "--directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=beside("seeds"),
    help="Where customers.json and offers.json are.",
)
def seed(directory: Path) -> None:
    """Add the customers and offers of the seed files; those that exist stay as they are."""
    with transaction():
        added = seeding.plant(directory)
    customers, offers = counted(added.customers, "customer"), counted(added.offers, "offer")
    click.echo(f"Added {customers} and {offers}.")


@root.command()
def audit() -> None:
    """Check every rule of the data; exit code 1 if a row breaks one."""
    with long_transaction():
        breaches = integrity.breaches()
    for rule, count in breaches.items():
        click.echo(f"{count}\t{rule}")
    if any(breaches.values()):
        raise click.ClickException("Rows break the rules above whose count is not 0.")


@flask_migrate.cli.db.command(cls=Command)
@click.argument("revision", default="head")
@with_appcontext
def upgrade(revision: str) -> None:
    """Bring the database to the newest revision, or to REVISION; connect as its owner."""
    before = _revision()
    if revisions.is_ahead(before):
        raise click.ClickException(revisions.too_new(before))
    flask_migrate.upgrade(revision=revision)
    after = _revision()
    if after == before:
        click.echo(f"The database is {_named(after)}: there was nothing to do.")
    else:
        click.echo(f"The database was {_named(before)} and is now {_named(after)}.")


def _revision() -> str | None:
    with reachability.alone(current_app.config) as connection:
        return revisions.current(connection)


def _named(revision: str | None) -> str:
    return f"at {revision}" if revision else "empty"


@flask_migrate.cli.db.command(cls=Command)
@with_appcontext
def check_settings() -> None:
    """Name the PostgreSQL settings that put codes and e-mails into its log; exit code 1."""
    leaks = server_log.leaks()
    for leak in leaks:
        click.echo(leak)
    if leaks:
        raise click.ClickException("PostgreSQL's log shows codes and e-mails.")
    click.echo("PostgreSQL's log shows no codes and no e-mails.")


@flask_migrate.cli.db.command(cls=Command)
@with_appcontext
def distribute() -> None:
    """Spread the tables over the machines of a Citus cluster; a repeat changes nothing."""
    with long_transaction():
        for step in distributing.distribute():
            click.echo(step)
    with long_transaction():
        distributing.clear_coordinator()


@root.command()
def cleanup() -> None:
    """Delete old idempotency keys, refused attempts and events.

    They are older than 48 hours, 90 days and 30 days. It also deletes counts of failed attempts
    that are over, and ends holds of erased customers.
    """
    keys, attempts, *_ = (in_long_transaction(forget) for forget in background.forgetting)
    deleted = counted(keys, "idempotency key"), counted(attempts, "refused attempt")
    click.echo(f"Deleted {' and '.join(deleted)}.")


@root.command(with_appcontext=False)
def secret_key() -> None:
    """Print a new key for VOUCHERPOOL_SECRET_KEY."""
    from cryptography.fernet import Fernet

    click.echo(Fernet.generate_key().decode())


@root.command(with_appcontext=False, context_settings={"ignore_unknown_options": True})
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def serve(options: tuple[str, ...]) -> None:
    """Serve the API with gunicorn and the service's settings; further OPTIONS are gunicorn's.

    It listens on all interfaces at PORT; `--bind 127.0.0.1:5000` overrides that.
    """
    # The script, because gunicorn starts its successor (SIGUSR2) by the path of its program.
    script = str(Path(sys.executable).with_name("gunicorn"))
    os.execv(script, [script, *gunicorn(*options)])  # noqa: S606


def gunicorn(*options: str) -> tuple[str, ...]:
    """Return gunicorn's arguments: the service's settings, further options, the application."""
    return "--config", str(beside("gunicorn.conf.py")), *options, "voucherpool:create_app()"


@root.command()
def worker() -> None:
    """Do all background work until SIGTERM or Ctrl-C; any number of workers may run."""
    config, context = current_app.config, current_app.app_context
    durability.insist(config)
    if address := config["WORKER_METRICS"]:
        _show_metrics(*address)
    deliverer, groups = _groups()
    logging.config.dictConfig(logs.settings(config["LOG"]))
    Thread(target=readiness.watch, args=(config,), name="readiness", daemon=True).start()
    try:
        background.run(groups, context, readiness.Readiness(config))
    finally:
        deliverer.stop()


@root.group(cls=Group)
def outbox() -> None:
    """Deliver events without a worker."""


@outbox.command()
def deliver() -> None:
    """Number the events, send all deliveries and e-mails that are due, and end."""
    deliverer, groups = _groups()
    pieces = [*groups["notifications"].values(), *groups.get("mail", {}).values()]
    while any([piece() for piece in pieces]):  # noqa: C419 (each gets its turn)
        deliverer.wait()


def _groups() -> tuple[Deliverer, Mapping[str, background.Pieces]]:
    """Return the worker's groups of work, and what among them delivers to webhooks."""
    config = current_app.config
    keys, policy = config["SECRET_KEYS"], Policy(config["WEBHOOKS_ALLOW"])
    deliverer = Deliverer(current_app.app_context, keys, policy)
    sender = Sender(config["MAIL"], keys) if config["MAIL"] else None
    ages = config["ARCHIVE_OLDER_THAN"], config["PURGE_OLDER_THAN"]
    return deliverer, background.groups(deliverer, sender, *ages)


def _show_metrics(host: str, port: int) -> None:
    try:
        start_http_server(port, host)
    except OSError as error:
        raise click.ClickException(
            f"VOUCHERPOOL_WORKER_METRICS: {host}:{port} cannot be used ({error.strerror}):"
            " choose another port."
        ) from error

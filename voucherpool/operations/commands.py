"""Commands for the operator: `seed`, `audit`, `db`, `cleanup`, `serve`, `worker` and others."""

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
from prometheus_client import start_http_server

from voucherpool.cli import Group, counted, in_long_transaction, root
from voucherpool.config.settings import beside
from voucherpool.database.transactions import long_transaction, transaction
from voucherpool.mail.sending import Sender
from voucherpool.observability import logs
from voucherpool.operations import distributing, integrity, seeding
from voucherpool.operations import worker as background
from voucherpool.readiness import durability, reachability, revisions, server_log
from voucherpool.readiness import obstacles as readiness
from voucherpool.webhooks.delivery.addresses import Policy
from voucherpool.webhooks.delivery.delivering import Deliverer


@root.command()
@click.option(
    "--directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=beside("seeds"),
    help="Where customers.json, offers.json and vouchers.json are.",
)
def seed(directory: Path) -> None:
    """Add the customers, offers and vouchers of the seed files.

    Those that exist stay as they are.
    """
    with transaction():
        added = seeding.load(directory)
    customers, offers = counted(added.customers, "customer"), counted(added.offers, "offer")
    click.echo(f"Added {customers}, {offers} and {counted(added.vouchers, 'voucher')}.")


@root.command()
def audit() -> None:
    """Check that the books balance.

    It looks for rows that break a rule of the data, and changes nothing. The exit code is 1 if it
    finds one.
    """
    with long_transaction():
        breaches = integrity.breaches()
    broken = {rule: count for rule, count in breaches.items() if count}
    for rule, count in broken.items():
        click.echo(f"{counted(count, 'row')}: {rule}.")
    if broken:
        balance = broken.keys() <= integrity.of_customers.keys()
        verdict = "The books balance, but" if balance else "The books do not balance:"
        raise click.ClickException(f"{verdict} the rules above are broken.")
    click.echo("The books balance.")


@root.group(name="db", cls=Group)
def database() -> None:
    """Migrate and check the database."""


# Flask-Migrate's other commands are for developers, as `flask db`.
for name in ("current", "downgrade", "history"):
    database.add_command(flask_migrate.cli.db.commands[name])


@database.command()
@click.argument("revision", default="head")
def upgrade(revision: str) -> None:
    """Bring the database to the newest revision.

    Connect as its owner. REVISION chooses an older one.
    """
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


@database.command()
def check_settings() -> None:
    """Check that PostgreSQL's log is private.

    It names each setting with which PostgreSQL logs codes and e-mails, and the value to set. The
    exit code is 1 if there is one.
    """
    leaks = server_log.leaks()
    for leak in leaks:
        click.echo(leak)
    if leaks:
        raise click.ClickException("PostgreSQL's log shows codes and e-mails.")
    click.echo("PostgreSQL's log shows no codes and no e-mails.")


@database.command()
def distribute() -> None:
    """Spread the tables over a Citus cluster.

    A repeat changes nothing.
    """
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
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="")
def serve(options: tuple[str, ...]) -> None:
    """Serve the API with gunicorn.

    OPTIONS are gunicorn's. Without `--bind 127.0.0.1:5000` it listens on all interfaces, at PORT.
    """
    # The script, because gunicorn starts its successor (SIGUSR2) by the path of its program.
    script = str(Path(sys.executable).with_name("gunicorn"))
    os.execv(script, [script, *gunicorn(*options)])  # noqa: S606


def gunicorn(*options: str) -> tuple[str, ...]:
    """Return gunicorn's arguments; the settings name the application."""
    return "--config", str(beside("gunicorn.conf.py")), *options


@root.command()
def worker() -> None:
    """Do the background work until Ctrl-C or SIGTERM.

    Any number of workers may run.
    """
    config, context = current_app.config, current_app.app_context
    durability.require(config)
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
    """Send events and e-mails without a worker."""


@outbox.command()
def deliver() -> None:
    """Send the events and e-mails that are due, and end."""
    deliverer, groups = _groups()
    tasks = [*groups["notifications"].values(), *groups.get("mail", {}).values()]
    while any([task() for task in tasks]):  # noqa: C419 (each gets its turn)
        deliverer.wait()


def _groups() -> tuple[Deliverer, Mapping[str, background.Tasks]]:
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

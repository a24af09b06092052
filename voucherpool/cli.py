"""The commands that need the application; they call the same services as the routes."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click
import flask_migrate.cli  # type: ignore[import-not-found]
from flask import Flask, current_app
from flask.cli import AppGroup, with_appcontext
from marshmallow import ValidationError
from psycopg2.errors import UndefinedColumn, UndefinedTable
from sqlalchemy.exc import DBAPIError

from voucherpool.config import checkout
from voucherpool.customers import service as people
from voucherpool.database import durability, reachability, server_log
from voucherpool.database.retries import retrying
from voucherpool.database.transactions import long_transaction, transaction
from voucherpool.erasure.service import service
from voucherpool.errors import VoucherPoolError
from voucherpool.http import apikeys
from voucherpool.input.fields import Text, rfc3339_utc
from voucherpool.operations import integrity, seeding
from voucherpool.operations import worker as background

Result = TypeVar("Result")


@contextmanager
def plain_errors() -> Iterator[None]:
    """Make one line and exit code 1 of the errors that a person can do something about."""
    try:
        yield
    except VoucherPoolError as error:
        reasons = json.dumps(error.errors) if error.errors else ""
        raise click.ClickException(f"{error.detail} {reasons}".strip()) from error
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise click.ClickException(f"{where}{error.strerror}.") from error
    except UnicodeEncodeError as error:
        # Python hands on arguments that are not UTF-8 as lone surrogates.
        raise click.ClickException("Arguments and terminal must be UTF-8.") from error
    except DBAPIError as error:
        raise click.ClickException(_what_to_do(error)) from error


def _what_to_do(error: DBAPIError) -> str:
    if isinstance(error.orig, UndefinedTable | UndefinedColumn):
        return "The database is not up to date: run `voucherpool db upgrade` first."
    return f"The database cannot be used: {reachability.cause(error)}"


@retrying
def in_long_transaction(work: Callable[[], Result]) -> Result:
    """Return what the work returns once its transaction has committed."""
    with long_transaction():
        return work()


class Command(click.Command):
    """A command that answers a refusal with one line and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with plain_errors():
            return super().invoke(ctx)


class Group(AppGroup):
    """A group of such commands."""

    command_class = Command


commands = Group("voucherpool")


def init_app(app: Flask) -> None:
    """Add the commands to `flask` and `voucherpool`."""
    for command in commands.commands.values():
        app.cli.add_command(command)


@commands.command()
@click.option(
    "--directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=checkout / "seeds",
    help="Where customers.json and offers.json are.",
)
def seed(directory: Path) -> None:
    """Add the customers and offers of the seed files; those that exist stay as they are."""
    with transaction():
        added = seeding.plant(directory)
    click.echo(f"Added {added.customers} customers and {added.offers} offers.")


@commands.command()
def audit() -> None:
    """Count the breaches of the rules in the database; exit code 1 if there are any."""
    with long_transaction():
        breaches = integrity.breaches()
    for rule, count in breaches.items():
        click.echo(f"{count}\t{rule}")
    if any(breaches.values()):
        raise click.ClickException("The database breaks the rules named above.")


@flask_migrate.cli.db.command(cls=Command)
@with_appcontext
def check_settings() -> None:
    """Name the settings of PostgreSQL with which its log shows codes and e-mails; exit code 1."""
    leaks = server_log.leaks()
    for leak in leaks:
        click.echo(leak)
    if leaks:
        raise click.ClickException("PostgreSQL's log shows codes and e-mails.")
    click.echo("PostgreSQL's log shows no codes and no e-mails.")


@commands.command()
def cleanup() -> None:
    """Forget idempotency keys unused for 48 hours, old refused attempts and counts of misses."""
    keys, attempts, *_ = (in_long_transaction(forget) for forget in background.forgetting)
    click.echo(f"Forgot {keys} idempotency keys and {attempts} refused attempts.")


@commands.command()
def worker() -> None:
    """Do all background work until SIGTERM or Ctrl-C; any number of workers may run."""
    durability.insist(current_app.config)
    ages = (current_app.config[name] for name in ("ARCHIVE_OLDER_THAN", "PURGE_OLDER_THAN"))
    background.run(background.pieces(*ages))


@commands.group(cls=Group)
def vouchers() -> None:
    """Issue and look after vouchers."""


@commands.group(cls=Group)
def customers() -> None:
    """Look after customers."""


@customers.command()
@click.argument("email")
@click.option("--yes", is_flag=True, help="Do not ask.")
def erase(email: str, yes: bool) -> None:
    """Erase a person, e-mail and name; the redemptions stay under an id without a name."""
    customer_id = in_long_transaction(lambda: people.id_of(email))
    if not yes:
        click.confirm(f"Erase {email}? Nothing brings the person back.", abort=True)
    for step in (service.erase, service.end_holds):
        in_long_transaction(partial(step, customer_id))
    click.echo("Erased.")


@commands.group(name="apikeys", cls=Group)
def api_keys() -> None:
    """Make, list and revoke API keys."""


def _line(_: click.Context, __: click.Parameter, name: str) -> str:
    """Return a name that the list can show on its line."""
    try:
        return str(Text(longest=200).deserialize(name))
    except ValidationError as error:
        raise click.BadParameter(" ".join(error.messages)) from error


@api_keys.command()
@click.argument("name", callback=_line)
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice(apikeys.scopes),
    help="What the key may do; give it once for each scope.",
)
def create(name: str, scopes: tuple[str, ...]) -> None:
    """Make a key and print it; it is shown this once."""
    with transaction():
        key = apikeys.create(name, scopes)
    click.echo(key)


@api_keys.command(name="list")
def list_keys() -> None:
    """Print every key's name, scopes and dates; a key itself cannot be shown again."""
    for key in apikeys.everyone():
        state = f"revoked {rfc3339_utc(key.revoked_at)}" if key.revoked_at else "active"
        used = f"used {rfc3339_utc(key.last_used_at)}" if key.last_used_at else "never used"
        made = rfc3339_utc(key.created_at)
        click.echo("\t".join([key.name, ",".join(key.scopes), made, used, state]))


@api_keys.command()
@click.argument("name")
def revoke(name: str) -> None:
    """End a key for ever."""
    with transaction():
        apikeys.revoke(name)
    click.echo(f"Revoked {name}.")

"""What all commands share: plain errors, one transaction, and the groups that they belong to."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click
from flask import Flask
from flask.cli import AppGroup
from psycopg2.errors import UndefinedColumn, UndefinedTable
from sqlalchemy.exc import DBAPIError

from voucherpool.database import reachability
from voucherpool.database.retries import retrying
from voucherpool.database.transactions import long_transaction
from voucherpool.errors import VoucherPoolError

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


@commands.group(cls=Group)
def vouchers() -> None:
    """Issue and look after vouchers."""


@commands.group(cls=Group)
def customers() -> None:
    """Look after customers."""

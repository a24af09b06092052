"""Shared by all commands: errors, interruptions, who acts, one transaction, and the groups."""

import os
import pwd
import shutil
import signal
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import current_thread, main_thread
from typing import IO, Any, TypeVar

import click
from flask import Flask, current_app, has_app_context
from flask.cli import AppGroup
from marshmallow import Schema, ValidationError
from psycopg2.errors import InsufficientPrivilege, UndefinedColumn, UndefinedTable
from sqlalchemy.exc import DBAPIError

from voucherpool.audit import actor
from voucherpool.database.retries import LostRace, retrying
from voucherpool.database.transactions import long_transaction
from voucherpool.errors import CannotStart, Reasons, VoucherPoolError
from voucherpool.input.errors import InvalidInput
from voucherpool.input.times import days_of
from voucherpool.readiness import reachability
from voucherpool.readiness.obstacles import find_obstacle

Result = TypeVar("Result")


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn errors that a person can fix into one line and exit code 1."""
    try:
        yield
    except VoucherPoolError as error:
        reasons = " ".join(_reasons(error.errors))
        raise click.ClickException(reasons or error.detail) from error
    except CannotStart as error:
        raise click.ClickException(str(error)) from error
    except BrokenPipeError:
        raise  # click ends in silence: who read the output wants no more of it
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise click.ClickException(f"{where}{error.strerror}.") from error
    except UnicodeEncodeError as error:
        # Python passes arguments that are not UTF-8 on as lone surrogates.
        raise click.ClickException("Arguments must be UTF-8, and so must the terminal.") from error
    except LostRace as error:
        raise click.ClickException("Others are changing the same data: run it again.") from error
    except DBAPIError as error:
        raise click.ClickException(_what_to_do(error)) from error


def _reasons(errors: Reasons | None) -> Iterator[str]:
    """Yield what is wrong with each field as a sentence: `expiry: Must be in the future.`."""
    for field, reasons in (errors or {}).items():
        if isinstance(reasons, Mapping):
            yield from _reasons({f"{field}.{name}": reasons[name] for name in reasons})
        else:
            yield from (f"{field}: {reason}" for reason in reasons)


def loaded(schema: Schema, options: Mapping[str, object]) -> Any:
    """Return what a schema reads from a command's options. Raises InvalidInput.

    An expiry of `never` is a request's null.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if given.get("expiry") == "never":
        given["expiry"] = None
    try:
        with days_of(current_app.config["TIMEZONE"]):
            return schema.load(given)
    except ValidationError as error:
        raise InvalidInput(error.messages_dict) from error


class Interrupted(click.ClickException):
    """Somebody stopped a command; the message says what is done and how to go on."""

    exit_code = 128 + signal.SIGINT

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message; it is no error."""
        click.echo(f"Interrupted. {self.message}", file=file, err=True)


@contextmanager
def interruptible(explain: Callable[[], str]) -> Iterator[None]:
    """End the block at Ctrl-C or SIGTERM with what `explain` then returns. Raises Interrupted."""
    if current_thread() is not main_thread():
        yield  # signals reach the main thread alone
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(explain()) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def deliver(file: IO[bytes], output: Path | None) -> None:
    """Copy a file to `output`, which only its owner can read then, or to standard output."""
    if output is None:
        shutil.copyfileobj(file, sys.stdout.buffer)
    else:
        with open(output, "wb", opener=_private) as target:
            shutil.copyfileobj(file, target)


def _private(path: str, flags: int) -> int:
    """Open a file for its owner alone, even if it existed before."""
    descriptor = os.open(path, flags, 0o600)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.fchmod(descriptor, 0o600)
    return descriptor


def counted(number: int, name: str) -> str:
    """Return a number and what it counts: `1 customer`, `2 customers`."""
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


def _what_to_do(error: DBAPIError) -> str:
    config = current_app.config if has_app_context() else None
    cause = reachability.cause(error)
    if isinstance(error.orig, InsufficientPrivilege):
        role = f"The role {reachability.role(config)}" if config else "The role in DATABASE_URL"
        return f"{role} may not do this ({cause}): connect as the owner of the database."
    is_other = isinstance(error.orig, UndefinedTable | UndefinedColumn)
    if config and is_other and (obstacle := find_obstacle(config)):
        return obstacle.reason
    return f"The database cannot be used: {cause}"


@retrying
def in_long_transaction(work: Callable[[], Result]) -> Result:
    """Return what the work returns once its transaction has committed."""
    with long_transaction():
        return work()


class Command(click.Command):
    """A command with plain errors, in which the user of the system acts."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command."""
        with plain_errors(), actor.acting(actor.Actor(name=f"cli:{_system_user()}")):
            return super().invoke(ctx)


def _system_user() -> str:
    """Return the name of the user of this process, or the number of one without a name."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


class Group(AppGroup):
    """A group of commands with plain errors."""

    command_class = Command


root = Group("voucherpool")


def init_app(app: Flask) -> None:
    """Add the commands to `flask` and `voucherpool`."""
    for command in root.commands.values():
        app.cli.add_command(command)


@root.group(cls=Group)
def vouchers() -> None:
    """Show, disable, issue, archive, import and export vouchers."""


@root.group(cls=Group)
def customers() -> None:
    """Show, export and erase customers."""


@root.group(cls=Group)
def offers() -> None:
    """List offers, and show their terms and statistics."""

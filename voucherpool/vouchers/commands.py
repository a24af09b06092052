"""`voucherpool vouchers archive` and `purge`."""

import sys
from datetime import datetime, timedelta
from typing import Any

import click
from flask.cli import with_appcontext

from voucherpool import config
from voucherpool.cli import Command
from voucherpool.db import long_transaction, run_again_if_undone, transaction
from voucherpool.vouchers import archiving, partitions


class Age(click.ParamType[timedelta]):
    """How long ago: 90d, 2y."""

    name = "age"

    def convert(self, value: Any, param: Any, ctx: Any) -> timedelta:
        """Read what was given, or refuse it with what it should be."""
        if (age := config.age(value)) is None:
            self.fail(f"Must be {config.an_age}, not {value!r}.", param, ctx)
        return age


@click.command(cls=Command)
@click.option("--older-than", type=Age(), required=True, help="Used up or expired so long ago.")
@with_appcontext
def archive(older_than: timedelta) -> None:
    """Move vouchers that are over out of the way; they are looked up and reversed as before.

    It may be stopped and started again at any time.
    """
    with transaction():
        blocks = archiving.blocks()
    moved = 0
    with click.progressbar(blocks, file=sys.stderr) as bar:
        for first in bar:
            moved += _archive(older_than, first)
    click.echo(f"Archived {moved} vouchers.")


@run_again_if_undone
def _archive(older_than: timedelta, first: int) -> int:
    with archiving.gently(), long_transaction():
        return archiving.archive(older_than, first)


@click.command(cls=Command)
@click.option("--older-than", type=Age(), required=True, help="Archived so long ago.")
@with_appcontext
def purge(older_than: timedelta) -> None:
    """Forget archived vouchers for ever, by whole months; totals and limits know them still."""
    with transaction():
        months = partitions.months(older_than)
    gone = 0
    with click.progressbar(months, file=sys.stderr) as bar:
        for month in bar:
            gone += _purge(month)
    click.echo(f"Purged {gone} vouchers.")


@run_again_if_undone
def _purge(month: datetime) -> int:
    with long_transaction():
        return partitions.purge(month)

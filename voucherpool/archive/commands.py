"""`voucherpool vouchers archive` and `purge`."""

import sys
from collections.abc import Iterator
from datetime import timedelta
from functools import partial

import click

from voucherpool.archive import moving, partitions, picking
from voucherpool.cli import counted, in_long_transaction, interruptible, vouchers
from voucherpool.config import environment
from voucherpool.database.transactions import transaction

go_on = "run it again for the rest."


class Age(click.ParamType[timedelta]):
    """How long ago: 90d, 2y."""

    name = "age"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Return the age, or fail with what is expected."""
        if (age := environment.parsed_age(value)) is None:
            self.fail(f"Must be {environment.an_age}, not {value!r}.", param, ctx)
        return age


@vouchers.command()
@click.option(
    "--older-than",
    type=Age(),
    required=True,
    help="Time since a voucher was used up or expired, such as 90d or 2y.",
)
def archive(older_than: timedelta) -> None:
    """Move used-up and expired vouchers into the archive.

    There you can look them up, but nothing changes them any more. You can stop and restart this at
    any time. Connect as the owner of the database.
    """
    with transaction():
        blocks = moving.blocks()
    moved = 0
    with (
        interruptible(lambda: f"Archived {counted(moved, 'voucher')}: {go_on}"),
        click.progressbar(blocks, file=sys.stderr) as bar,
    ):
        for first in bar:
            for number in _archive_batch(older_than, first):
                moved += number
    click.echo(f"Archived {counted(moved, 'voucher')}.")


def _archive_batch(older_than: timedelta, first: int) -> Iterator[int]:
    """Archive a batch in as many transactions as it takes; yield each one's number of vouchers."""
    number = picking.vouchers_at_once
    while number >= picking.vouchers_at_once:
        with moving.resting():
            number = in_long_transaction(partial(moving.archive, older_than, first))
            yield number


@vouchers.command()
@click.option(
    "--older-than",
    type=Age(),
    required=True,
    help="Time since a month's vouchers were archived, such as 2y.",
)
def purge(older_than: timedelta) -> None:
    """Delete archived vouchers, by whole months.

    Statistics and limits still count them. Connect as the owner of the database.
    """
    with transaction():
        months = partitions.months(older_than)
    gone = 0
    with (
        interruptible(lambda: f"Purged {counted(gone, 'voucher')}: {go_on}"),
        click.progressbar(months, file=sys.stderr) as bar,
    ):
        for month in bar:
            gone += in_long_transaction(partial(partitions.purge, month))
    click.echo(f"Purged {counted(gone, 'voucher')}.")

"""`voucherpool schedules`."""

import click

from voucherpool.cli import Group, in_long_transaction, root
from voucherpool.input.times import rfc3339_utc
from voucherpool.schedules import running, service


@root.group(cls=Group)
def schedules() -> None:
    """Run what is due, and list schedules."""


@schedules.command()
def run() -> None:
    """Do what is due now, and print what became of it; the worker does this by itself."""
    while (happened := in_long_transaction(running.run_next)) is not None:
        for each in happened.runs:
            outcome = each.error or f"batch {each.batch_id}"
            moment = rfc3339_utc(each.occurrence)
            click.echo("\t".join([happened.name, moment, each.state, outcome]))


@schedules.command(name="list")
def list_all() -> None:
    """Print the id, name, expression, time zone and next occurrence of every schedule."""
    for each in service.all_schedules():
        following = rfc3339_utc(each.next_at) if each.next_at else "paused"
        click.echo("\t".join([str(each.id), each.name, each.cron, each.timezone, following]))

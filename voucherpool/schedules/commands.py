"""`voucherpool schedules`."""

import click

from voucherpool.cli import Group, in_long_transaction, print_table, root
from voucherpool.input.times import rfc3339_utc
from voucherpool.schedules import running, service


@root.group(cls=Group)
def schedules() -> None:
    """List schedules, and run those that are due."""


@schedules.command()
def run() -> None:
    """Run the schedules that are due, and print the results.

    The worker does this by itself.
    """
    number = 0
    while (happened := in_long_transaction(running.run_next)) is not None:
        for each in happened.runs:
            number += 1
            outcome = each.error or f"batch {each.batch_id}"
            moment = rfc3339_utc(each.occurrence)
            click.echo(f"{happened.name}, {moment}: {each.state}, {outcome}")
    if not number:
        click.echo("No schedule is due.")


@schedules.command(name="list")
def list_all() -> None:
    """List the schedules, and when each runs next."""
    print_table(
        ("ID", "NAME", "CRON", "TIME ZONE", "NEXT RUN"),
        (
            (
                each.id,
                each.name,
                each.cron,
                each.timezone,
                rfc3339_utc(each.next_at) if each.next_at else "paused",
            )
            for each in service.all_schedules()
        ),
    )

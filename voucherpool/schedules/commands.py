"""`voucherpool schedules`."""

import click

from voucherpool.cli import Group, in_long_transaction, root
from voucherpool.input.times import rfc3339_utc
from voucherpool.printing import as_json, print_rows
from voucherpool.schedules import running, schemas, service


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
@as_json
def list_all(as_json: bool) -> None:
    """List the schedules, and when each runs next."""
    found = schemas.Schedule().dump(service.all_schedules(), many=True)
    print_rows(
        found, ("id", "name", "offer_name", "cron", "timezone", "paused", "next_at"), as_json
    )

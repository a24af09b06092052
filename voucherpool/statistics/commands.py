"""`voucherpool offers stats`."""

import click

from voucherpool.cli import offers
from voucherpool.offers.service import id_of
from voucherpool.printing import as_json, print_record
from voucherpool.statistics import schemas, service

by_day = {"days": ("day", "issued", "claimed", "redeemed", "reversed")}


@offers.command()
@click.argument("name")
@as_json
def stats(name: str, as_json: bool) -> None:
    """Count the vouchers and redemptions of the offer NAME.

    It shows them in total, and by day for the last 90 days.
    """
    print_record(schemas.Statistics().dump(service.read(id_of(name))), by_day, as_json)

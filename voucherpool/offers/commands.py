"""`voucherpool offers`."""

import click

from voucherpool.cli import offers
from voucherpool.offers import schemas, service
from voucherpool.printing import as_json, print_record, print_rows


@offers.command(name="list")
@as_json
def list_all(as_json: bool) -> None:
    """List the offers, the oldest first."""
    found = schemas.Offer().dump(service.everyone(), many=True)
    shown = ("id", "name", "discount", "discount_type", "currency", "starts_at", "ends_at")
    print_rows(found, shown, as_json)


@offers.command()
@click.argument("name")
@as_json
def show(name: str, as_json: bool) -> None:
    """Show the terms of the offer NAME."""
    offer = service.read(service.id_of(name))
    print_record(schemas.Offer().dump(offer), {}, as_json)

"""`voucherpool customers show`, `export` and `erase`."""

import json
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile

import click

from voucherpool.cli import customers, deliver, in_long_transaction, interruptible
from voucherpool.customers.service import id_of
from voucherpool.database.transactions import long_transaction
from voucherpool.erasure import exporting, service
from voucherpool.erasure.personal_data import places
from voucherpool.printing import as_json, print_record

shown_at_once = 100
shown = {
    "vouchers": (
        *("code", "offer_name", "expires_at", "max_redemptions", "redemption_count"),
        *("used_at", "disabled_at"),
    ),
    "holds": ("code", "held_until"),
    "redemptions": ("offer_name", "order_ref", "discount_amount", "redeemed_at", "reversed_at"),
    "refused_attempts": ("action", "reason", "order_ref", "attempted_at"),
    "messages": ("kind", "state", "created_at", "finished_at"),
}
"""The tables that show a customer to support, and their columns."""


@customers.command()
@click.argument("email")
@as_json
def show(email: str, as_json: bool) -> None:
    """Show the customer EMAIL, vouchers and redemptions.

    It shows the newest 100 of each.
    """
    with long_transaction():
        person = exporting.person_of(id_of(email))
        tables = {
            place.table: [*islice(place.read(person), shown_at_once)]
            for place in places
            if place.table in ("customers", *shown)
        }
    record = json.loads(exporting.encode(tables))
    [customer] = record.pop("customers")
    print_record({**customer, **record}, shown, as_json)


@customers.command()
@click.argument("email")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="The file.")
def export(email: str, output: Path | None) -> None:
    """Write all that is kept about the customer EMAIL as JSON.

    The file can be read by its owner only. Without --output it is standard output.
    """
    again = f"{output or 'The output'} is not complete: run it again."
    with interruptible(lambda: again), TemporaryFile() as file:
        with long_transaction():
            exporting.write(file, exporting.person_of(id_of(email)))
        deliver(file, output)


@customers.command()
@click.argument("email")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def erase(email: str, yes: bool) -> None:
    """Erase a customer's e-mail and name.

    Vouchers and redemptions stay, under the customer's id.
    """
    customer_id = in_long_transaction(lambda: id_of(email))
    if not yes:
        click.confirm(f"Erase {email}? This cannot be undone.", abort=True)
    for step in (service.erase, service.end_holds):
        in_long_transaction(partial(step, customer_id))
    click.echo("Erased.")

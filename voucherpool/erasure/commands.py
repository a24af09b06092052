"""`voucherpool customers erase`."""

from functools import partial

import click

from voucherpool.cli import customers, in_long_transaction
from voucherpool.customers.service import id_of
from voucherpool.erasure import service


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

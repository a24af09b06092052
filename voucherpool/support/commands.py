"""`voucherpool vouchers show`, `disable` and `enable`."""

import click
from marshmallow import ValidationError

from voucherpool.audit.schemas import Reason
from voucherpool.cli import in_long_transaction, vouchers
from voucherpool.printing import as_json, print_record
from voucherpool.support import schemas, service

tables = {
    "holds": ("email", "held_until"),
    "redemptions": ("id", "email", "order_ref", "discount_amount", "redeemed_at", "reversed_at"),
    "changes": ("created_at", "action", "api_key", "actor", "reason"),
    "refused_attempts": ("action", "reason", "email", "order_ref", "attempted_at"),
}


def _checked(_: click.Context, __: click.Parameter, reason: str | None) -> str | None:
    try:
        return None if reason is None else Reason().deserialize(reason)
    except ValidationError as error:
        raise click.BadParameter(" ".join(error.messages)) from error


because = click.option("--reason", callback=_checked, help="Why, for the audit log.")


def _print(record: service.Record, as_json: bool) -> None:
    print_record(schemas.VoucherRecord().dump(record), tables, as_json)


@vouchers.command()
@click.argument("code")
@as_json
def show(code: str, as_json: bool) -> None:
    """Show the record of the voucher CODE, in any spelling.

    It has the holds, redemptions, changes and refused attempts.
    """
    _print(service.lookup(code), as_json)


@vouchers.command()
@click.argument("code")
@because
@as_json
def disable(code: str, reason: str | None, as_json: bool) -> None:
    """Disable the voucher CODE until it is enabled."""
    _print(in_long_transaction(lambda: service.disable(code, reason)), as_json)


@vouchers.command()
@click.argument("code")
@because
@as_json
def enable(code: str, reason: str | None, as_json: bool) -> None:
    """Enable the voucher CODE again."""
    _print(in_long_transaction(lambda: service.enable(code, reason)), as_json)

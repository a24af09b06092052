"""`voucherpool apikeys`."""

import click
from marshmallow import ValidationError

from voucherpool.apikeys import service as apikeys
from voucherpool.cli import Group, print_table, root
from voucherpool.database.transactions import transaction
from voucherpool.input.fields import Name
from voucherpool.input.times import rfc3339_utc


@root.group(name="apikeys", cls=Group)
def api_keys() -> None:
    """Create, list and revoke API keys."""


def _line(_: click.Context, __: click.Parameter, name: str) -> str:
    """Return a name that fits on one line of the list."""
    try:
        return str(Name().deserialize(name))
    except ValidationError as error:
        raise click.BadParameter(" ".join(error.messages)) from error


@api_keys.command()
@click.argument("name", callback=_line)
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice(apikeys.scopes),
    help="What the key may do; give it once for each scope.",
)
def create(name: str, scopes: tuple[str, ...]) -> None:
    """Create a key and print it, for the only time."""
    with transaction():
        key = apikeys.create(name, scopes)
    click.echo(key)


@api_keys.command(name="list")
def list_keys() -> None:
    """List the keys: id, name, scopes and dates.

    Logs name a key by its id.
    """
    print_table(
        ("ID", "NAME", "SCOPES", "CREATED", "LAST USED", "STATE"),
        (
            (
                key.id,
                key.name,
                ",".join(key.scopes),
                rfc3339_utc(key.created_at),
                rfc3339_utc(key.last_used_at) if key.last_used_at else "never",
                f"revoked {rfc3339_utc(key.revoked_at)}" if key.revoked_at else "active",
            )
            for key in apikeys.everyone()
        ),
    )


@api_keys.command()
@click.argument("name")
def revoke(name: str) -> None:
    """Revoke a key. Within 5 seconds nobody accepts it."""
    with transaction():
        apikeys.revoke(name)
    click.echo(f"Revoked {name}.")

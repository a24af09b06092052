"""`voucherpool apikeys`."""

import click
from marshmallow import ValidationError

from voucherpool.cli import Group, root
from voucherpool.database.transactions import transaction
from voucherpool.http import apikeys
from voucherpool.input.fields import Text
from voucherpool.input.times import rfc3339_utc


@root.group(name="apikeys", cls=Group)
def api_keys() -> None:
    """Create, list and revoke API keys."""


def _line(_: click.Context, __: click.Parameter, name: str) -> str:
    """Return a name that fits on one line of the list."""
    try:
        return str(Text().deserialize(name))
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
    """Create a key and print it; it cannot be shown again."""
    with transaction():
        key = apikeys.create(name, scopes)
    click.echo(key)


@api_keys.command(name="list")
def list_keys() -> None:
    """Print the name, scopes and dates of every key."""
    for key in apikeys.everyone():
        state = f"revoked {rfc3339_utc(key.revoked_at)}" if key.revoked_at else "active"
        used = f"used {rfc3339_utc(key.last_used_at)}" if key.last_used_at else "never used"
        made = rfc3339_utc(key.created_at)
        click.echo("\t".join([key.name, ",".join(key.scopes), made, used, state]))


@api_keys.command()
@click.argument("name")
def revoke(name: str) -> None:
    """Revoke a key; within 5 seconds no worker accepts it."""
    with transaction():
        apikeys.revoke(name)
    click.echo(f"Revoked {name}.")

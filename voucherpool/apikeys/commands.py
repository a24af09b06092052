"""`voucherpool apikeys`."""

import click
from marshmallow import Schema, ValidationError, fields

from voucherpool.apikeys import service as apikeys
from voucherpool.cli import Group, root
from voucherpool.database.transactions import transaction
from voucherpool.input.fields import Name
from voucherpool.input.times import Timestamp
from voucherpool.printing import as_json, print_rows


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


class ApiKey(Schema):
    """An API key as the list shows it, without its digest."""

    id = fields.Integer()
    name = fields.String()
    scopes = fields.List(fields.String())
    created_at = Timestamp()
    last_used_at = Timestamp()
    revoked_at = Timestamp()


@api_keys.command(name="list")
@as_json
def list_keys(as_json: bool) -> None:
    """List the keys: id, name, scopes and dates.

    Logs name a key by its id.
    """
    schema = ApiKey()
    print_rows(schema.dump(apikeys.everyone(), many=True), tuple(schema.fields), as_json)


@api_keys.command()
@click.argument("name")
def revoke(name: str) -> None:
    """Revoke a key. Within 5 seconds nobody accepts it."""
    with transaction():
        apikeys.revoke(name)
    click.echo(f"Revoked {name}.")

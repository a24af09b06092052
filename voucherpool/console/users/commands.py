"""`voucherpool console`."""

import click
from marshmallow import Schema, fields

from voucherpool.cli import Group, loaded, root
from voucherpool.console.users import service as users
from voucherpool.database.transactions import transaction
from voucherpool.input.fields import Email
from voucherpool.input.schemas import Request
from voucherpool.input.times import Timestamp
from voucherpool.printing import as_json, print_rows


class Named(Request):
    """The e-mail that names a user."""

    email = Email(required=True)


@root.group(cls=Group)
def console() -> None:
    """Let people sign in to the console."""


@console.group(name="users", cls=Group)
def of_users() -> None:
    """Add, list, change and remove users."""


a_role = click.option(
    "--role",
    required=True,
    type=click.Choice(tuple(users.roles)),
    help="What the user may do.",
)


@of_users.command()
@click.argument("email")
@a_role
def add(email: str, role: str) -> None:
    """Add a user, and print the link with which they choose a password."""
    with transaction():
        token = users.add(loaded(Named(), {"email": email})["email"], role)
    _print_link(token)


@of_users.command()
@click.argument("email")
def link(email: str) -> None:
    """Print a new link to choose a password, if the old one was lost."""
    with transaction():
        token = users.renew_link(email)
    _print_link(token)


@of_users.command()
@click.argument("email")
@a_role
def change(email: str, role: str) -> None:
    """Change a user's role."""
    with transaction():
        users.change_role(email, role)
    click.echo(f"{email} has the role {role} from now on.")


@of_users.command()
@click.argument("email")
def remove(email: str) -> None:
    """Remove a user; this ends their sessions."""
    with transaction():
        users.remove(email)
    click.echo(f"Removed {email}.")


class User(Schema):
    """A user as the list shows them."""

    email = fields.String()
    role = fields.String()
    has_password = fields.Function(lambda user: user.password is not None)
    signed_in_at = Timestamp()


@of_users.command(name="list")
@as_json
def list_users(as_json: bool) -> None:
    """List the users: e-mail, role and when they last signed in."""
    schema = User()
    print_rows(schema.dump(users.everyone(), many=True), tuple(schema.fields), as_json)


def _print_link(token: str) -> None:
    click.echo(f"/console/password/{token}")
    note = f"Open it at your service's address. It works once, for {users.link_hours} hours."
    click.echo(note, err=True)

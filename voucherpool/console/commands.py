"""`voucherpool console`."""

import click

from voucherpool.cli import Group, loaded, print_table, root
from voucherpool.console import users
from voucherpool.database.transactions import transaction
from voucherpool.input.fields import Email
from voucherpool.input.schemas import Request
from voucherpool.input.times import rfc3339_utc


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


@of_users.command(name="list")
def list_users() -> None:
    """List the users: e-mail, role and dates."""
    print_table(
        ("E-MAIL", "ROLE", "PASSWORD", "LAST SIGNED IN"),
        (
            (
                user.email,
                user.role,
                "chosen" if user.password else "none yet",
                rfc3339_utc(user.signed_in_at) if user.signed_in_at else "never",
            )
            for user in users.everyone()
        ),
    )


def _print_link(token: str) -> None:
    click.echo(f"/console/password/{token}")
    note = f"Open it at your service's address. It works once, for {users.link_hours} hours."
    click.echo(note, err=True)

"""The `voucherpool` command: our commands, Flask-Migrate's `db`, Flask's `routes` and `shell`."""

from typing import Any

import click
import flask_migrate.cli  # type: ignore[import-not-found]
from flask.cli import FlaskGroup, routes_command, shell_command

from voucherpool import cli, create_app
from voucherpool.local.start import start


class Commands(FlaskGroup):
    """The group of all commands."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command with plain errors, also one of Flask-Migrate's."""
        with cli.plain_errors():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names without creating the application: help must work without a database."""
        return sorted(self.commands)


main = Commands(
    create_app=create_app,
    add_default_commands=False,
    add_version_option=False,
    help="Run and maintain voucherpool.",
    params=[],
)
click.version_option(package_name="voucherpool")(main)
for command in (
    *cli.root.commands.values(),
    flask_migrate.cli.db,
    routes_command,
    shell_command,
    start,
):
    main.add_command(command)

if __name__ == "__main__":
    main(prog_name="voucherpool")

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
        """Run a command; Flask-Migrate's, too, answer with one line where a person can help."""
        with cli.plain_errors():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names without making an application: help needs no database's address."""
        return sorted(self.commands)


main = Commands(
    create_app=create_app,
    add_default_commands=False,
    add_version_option=False,
    help="Run and look after voucherpool.",
    params=[],
)
click.version_option(package_name="voucherpool")(main)
for command in (
    *cli.commands.commands.values(),
    flask_migrate.cli.db,
    routes_command,
    shell_command,
    start,
):
    main.add_command(command)

if __name__ == "__main__":
    main(prog_name="voucherpool")

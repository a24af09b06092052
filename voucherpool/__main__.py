"""The `voucherpool` command, for operators; `flask` adds Flask's own commands for developers."""

import os

import click
from flask import Flask
from flask.cli import FlaskGroup

from voucherpool import cli, create_app
from voucherpool.config.settings import Config, misspelt
from voucherpool.local import data
from voucherpool.local.demo import demo
from voucherpool.local.start import start


class Commands(FlaskGroup):
    """The group of all commands."""

    def invoke(self, ctx: click.Context) -> object:
        """Run a command with plain errors, also one of Flask-Migrate's."""
        with cli.plain_errors():
            return super().invoke(ctx)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Return the command; Flask would create the application to look for more of them."""
        return self.commands.get(name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names without creating the application: help must work without a database."""
        return sorted(self.commands)


def _application() -> Flask:
    for warning in misspelt(os.environ):
        click.echo(f"Warning: {warning}", err=True)
    return create_app(Config.from_environment(data.environment(os.environ)))


main = Commands(
    create_app=_application,
    add_default_commands=False,
    add_version_option=False,
    help="Run and maintain voucherpool.",
)
main.params.clear()  # those of Flask choose another application, and files of settings
click.version_option(package_name="voucherpool")(main)
for command in (*cli.root.commands.values(), start, demo):
    main.add_command(command)

if __name__ == "__main__":
    main(prog_name="voucherpool")

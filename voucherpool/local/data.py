"""The data of `voucherpool start`, and the environment in which other commands find them."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import click
from cryptography.fernet import Fernet

from voucherpool.config.settings import checkout
from voucherpool.local.postgres import LocalPostgres

directory = Path(checkout if (checkout / "migrations").exists() else "", "var").absolute()


def postgres_of(directory: Path) -> Path:
    """Return the folder of the PostgreSQL server."""
    return directory / "postgres"


def kept_key(directory: Path) -> str:
    """Return the secret key, which is made if it is new and which only its owner may read."""
    file = directory / "secret.key"
    if not file.exists():
        # Renamed at the end, so that an interrupted start leaves no half of a key.
        new = file.with_suffix(".new")
        new.unlink(missing_ok=True)
        new.touch(mode=0o600)
        new.write_text(Fernet.generate_key().decode())
        new.rename(file)
    return file.read_text()


def environment(environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return the environment of a command; without a DATABASE_URL, that of the running service.

    It says so on standard error.
    """
    home = postgres_of(directory)
    if environ.get("DATABASE_URL", "").strip() or not home.exists():
        return environ
    postgres = LocalPostgres(home)
    if not postgres.is_running():
        return environ
    click.echo(f"Using the database of `make run` in {_shown(directory)}.", err=True)
    found = {**environ, "DATABASE_URL": postgres.url().render_as_string(hide_password=False)}
    if not environ.get("VOUCHERPOOL_SECRET_KEY"):
        with suppress(OSError):  # another user's; most commands do not need it
            found["VOUCHERPOOL_SECRET_KEY"] = kept_key(directory)
    return found


def _shown(path: Path) -> str:
    """Return the path as short as a person would write it."""
    return min(str(path), os.path.relpath(path), key=len)

"""Whether PostgreSQL keeps what it is given: every letter of it, and all that it committed."""

from collections.abc import Mapping
from typing import Any

import click
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from voucherpool.config import durability
from voucherpool.database import reachability

switched_off = text(
    "SELECT name FROM pg_settings WHERE setting = 'off' AND name = ANY(:names) ORDER BY name"
)


def insist(config: Mapping[str, Any]) -> None:
    """Raise ClickException when PostgreSQL may lose what it acknowledged, or cannot be reached.

    One that does not answer may do so later; /readyz looks again. `config` is the application's.
    """
    try:
        with reachability.alone(config) as connection:
            reason = why_not(connection, config["TOLERATE_OFF"])
    except OperationalError as error:
        if not reachability.is_hopeless(error):
            return
        reason = f"DATABASE_URL cannot be used: {reachability.cause(error)}"
    if reason:
        raise click.ClickException(reason)


def why_not(connection: Connection, tolerated: frozenset[str]) -> str | None:
    """Return what is wrong and what to do, or None when all that is committed is kept."""
    names = {"names": list(durability - tolerated)}
    if off := connection.scalars(switched_off, names).all():
        return (
            f"PostgreSQL runs with {', '.join(off)} off and may lose a redemption that it"
            " acknowledged: switch it on."
        )
    return why_not_any_letter(connection)


def why_not_any_letter(connection: Connection) -> str | None:
    """Return what is wrong and what to do, or None when the database takes text of any script."""
    if (encoding := connection.scalar(text("SHOW server_encoding"))) == "UTF8":
        return None
    return (
        f"The database's encoding is {encoding}, not UTF8: dump it, make one with"
        " `createdb --encoding=UTF8 --template=template0`, and restore it there."
    )

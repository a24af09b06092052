"""Checks that PostgreSQL keeps all that it commits and can store every letter."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from voucherpool.config.settings import durability
from voucherpool.errors import CannotStart
from voucherpool.readiness import reachability

switched_off = text(
    "SELECT name FROM pg_settings WHERE setting = 'off' AND name = ANY(:names) ORDER BY name"
)


def require(config: Mapping[str, Any]) -> None:
    """Raise CannotStart if PostgreSQL may lose data or can never be reached with this `config`.

    Pass if it only does not answer now; /readyz looks again.
    """
    try:
        with reachability.alone(config) as connection:
            reason = problem(connection, config["TOLERATE_OFF"])
    except OperationalError as error:
        if not reachability.is_hopeless(error):
            return
        reason = f"DATABASE_URL cannot be used: {reachability.cause(error)}"
    if reason:
        raise CannotStart(reason)


def problem(connection: Connection, tolerated: frozenset[str]) -> str | None:
    """Return what is wrong and what to do, or None."""
    names = {"names": list(durability - tolerated)}
    if off := connection.scalars(switched_off, names).all():
        return (
            f"PostgreSQL runs with {', '.join(off)} off and may lose acknowledged redemptions:"
            " switch it on."
        )
    return encoding_problem(connection)


def encoding_problem(connection: Connection) -> str | None:
    """Return what is wrong and what to do, or None if the encoding is UTF8."""
    if (encoding := connection.scalar(text("SHOW server_encoding"))) == "UTF8":
        return None
    return (
        f"The database's encoding is {encoding}, not UTF8: dump it, create another with"
        " `createdb --encoding=UTF8 --template=template0`, and restore the dump there."
    )

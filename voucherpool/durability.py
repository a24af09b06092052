"""Whether PostgreSQL keeps what it has committed."""

import click
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

from voucherpool.config import Config, durability

switched_off = text(
    "SELECT name FROM pg_settings WHERE setting = 'off' AND name = ANY(:names) ORDER BY name"
)


def insist(config: Config) -> None:
    """Raise ClickException when PostgreSQL may lose what it acknowledged.

    One that does not answer may do so later; /readyz looks again.
    """
    engine = create_engine(
        config.database_url, poolclass=NullPool, connect_args=config.connection_settings()
    )
    try:
        with engine.connect() as connection:
            reason = why_not(connection, config.tolerate_off)
    except OperationalError:
        return
    if reason:
        raise click.ClickException(reason)


def why_not(connection: Connection, tolerated: frozenset[str]) -> str | None:
    """Return what is wrong and what to do, or None when all that is committed is kept."""
    names = {"names": list(durability - tolerated)}
    if not (off := connection.scalars(switched_off, names).all()):
        return None
    return (
        f"PostgreSQL runs with {', '.join(off)} off and may lose a redemption that it"
        " acknowledged: switch it on."
    )

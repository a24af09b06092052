"""The revision of the database's schema, and the one that this program needs."""

from functools import cache

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from voucherpool.config.settings import beside
from voucherpool.database.model import db

columns = text("""
    SELECT table_name, column_name FROM information_schema.columns
    WHERE table_schema = ANY(current_schemas(false))""")


@cache
def newest() -> str:
    """Return this program's newest revision. Revisions are numbered: a later one is greater."""
    revision = ScriptDirectory(str(beside("migrations"))).get_current_head()
    if revision is None:
        raise RuntimeError("there are no migrations")
    return revision


def current(connection: Connection) -> str | None:
    """Return the revision of the database, None if it is empty."""
    return MigrationContext.configure(connection).get_current_revision()


def is_behind(revision: str | None) -> bool:
    """Tell whether the database needs an upgrade by this program."""
    return revision is None or not revision.isdigit() or revision < newest()


def is_ahead(revision: str | None) -> bool:
    """Tell whether a newer program upgraded the database."""
    return not is_behind(revision) and revision != newest()


def too_old() -> str:
    """Return what is wrong with a database that is behind, and what to do.

    It does not name the revision, which would change while somebody upgrades.
    """
    return (
        f"The database is empty or older than revision {newest()}: run `voucherpool db upgrade` as"
        " its owner."
    )


def too_new(revision: str | None) -> str:
    """Return what is wrong with a database that is ahead, and what to do."""
    return (
        f"The database is at revision {revision}, newer than this program, which knows those up to"
        f" {newest()}: upgrade the program."
    )


def is_complete(connection: Connection) -> bool:
    """Tell whether the database has every table and column that this program names."""
    there = {(table, column) for table, column in connection.execute(columns)}
    needed = {
        (table.name, column.name) for table in db.metadata.tables.values() for column in table.c
    }
    return needed <= there

"""Empties the database between two tests, in milliseconds."""

from collections.abc import Sequence

from sqlalchemy import Connection, text

from tests import cluster
from voucherpool.database.model import db

referring_first = [table.name for table in reversed(db.metadata.sorted_tables)]
filled = " UNION ALL ".join(
    f"SELECT '{name}' WHERE EXISTS (SELECT 1 FROM {name})" for name in db.metadata.tables
)
grown = """
    SELECT FROM pg_class WHERE oid = ANY (CAST(:names AS regclass[]))
    AND (relkind = 'p' OR reltuples >= 0 OR pg_relation_size(oid) > 65536)"""
"""Finds the tables that are partitioned, analyzed or large."""
restart_sequences = """
    SELECT setval(seqrelid, 1, false) FROM pg_sequence JOIN pg_class ON pg_class.oid = seqrelid
    WHERE relnamespace = 'public'::regnamespace AND pg_sequence_last_value(seqrelid) IS NOT NULL"""
"""Leaves out the sequences of a cluster's own catalog."""


def empty(connection: Connection) -> None:
    """Delete all rows; let the tables and sequences be as new."""
    if names := _filled(connection):
        if cluster.citus_url or connection.execute(text(grown), {"names": names}).all():
            connection.execute(text(f"TRUNCATE {', '.join(names)} CASCADE"))
        else:
            # A truncation takes longer: it makes new files, also for each table that refers to it.
            deletions = (f"DELETE FROM {name}" for name in referring_first if name in names)
            connection.execute(text("; ".join(deletions)))
    connection.execute(text(restart_sequences))


def _filled(connection: Connection) -> Sequence[str]:
    """Return the names of the tables with rows; planning it takes ten times as long as running."""
    prepared = connection.connection.info.setdefault("prepared", set())
    if "filled" not in prepared:
        connection.execute(text(f"PREPARE filled AS {filled}"))
        prepared.add("filled")
    return connection.scalars(text("EXECUTE filled")).all()


def drop_schema() -> None:
    """Drop all that the migrations built, as in a database that is still empty."""
    with db.engine.connect() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
        connection.execute(text("GRANT USAGE ON SCHEMA public TO PUBLIC"))

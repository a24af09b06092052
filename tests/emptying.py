"""Empties the database between two tests, in milliseconds."""

from collections.abc import Sequence

from sqlalchemy import Connection

from tests import cluster
from voucherpool.database.model import db

tables = [table.name for table in db.metadata.sorted_tables]
filled = " UNION ALL ".join(
    f"SELECT '{name}' WHERE EXISTS (SELECT 1 FROM {name})" for name in tables
)
restarted = """
    SELECT setval(seqrelid, 1, false) FROM pg_sequence JOIN pg_class ON pg_class.oid = seqrelid
    WHERE relnamespace = 'public'::regnamespace AND pg_sequence_last_value(seqrelid) IS NOT NULL"""
"""Leaves out the sequences of a cluster's own catalog."""
grown = """
    SELECT oid::regclass::text FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> 'alembic_version'
    AND (reltuples >= 0 OR pg_relation_size(oid) > 65536)"""
"""Finds the tables that are analyzed or large."""
# In one statement references are checked in the end, so the order does not matter.
emptied = (
    f"WITH {', '.join(f'of_{name} AS (DELETE FROM {name})' for name in tables)} SELECT WHERE false"
)
prepared = {"filled": filled, "restarted": restarted, "grown": grown, "emptied": emptied}
"""The statements; planning them takes longer than running them."""


def empty(connection: Connection) -> None:
    """Delete all rows; let the tables and sequences be as new."""
    known = connection.connection.info.setdefault("prepared", set())
    if "emptied" not in known:
        statements = (f"PREPARE {name} AS {sql}" for name, sql in prepared.items())
        connection.exec_driver_sql("; ".join(statements))
        known.add("emptied")
    if cluster.citus_url:
        _truncate(connection, _names(connection, "EXECUTE restarted; EXECUTE filled"))
        return
    _truncate(connection, _names(connection, "EXECUTE restarted; EXECUTE grown"))
    # A truncation takes longer: it makes new files, also for each table that refers to it.
    connection.exec_driver_sql("EXECUTE emptied")


def _names(connection: Connection, statements: str) -> Sequence[str]:
    return connection.exec_driver_sql(statements).scalars().all()


def _truncate(connection: Connection, names: Sequence[str]) -> None:
    if names:
        connection.exec_driver_sql(f"TRUNCATE {', '.join(names)} CASCADE")


def drop_schema() -> None:
    """Drop all that the migrations built, as in a database that is still empty."""
    with db.engine.connect() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")
        connection.exec_driver_sql("GRANT USAGE ON SCHEMA public TO PUBLIC")

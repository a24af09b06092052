"""Whether the database is one PostgreSQL or the coordinator of a Citus cluster.

A few statements have another form there, and each connection other settings.
"""

from typing import Any

from sqlalchemy import event
from sqlalchemy.pool import ConnectionPoolEntry, Pool

from voucherpool.database.connections import state_of
from voucherpool.database.model import db

find_out = "SELECT FROM pg_extension WHERE extname = 'citus'"
settings = """
    SET plan_cache_mode = force_custom_plan;
    SET citus.multi_shard_modify_mode = sequential"""
"""A plan for all values names no machine. One connection to each machine sees in a transaction what
the transaction wrote, and copied tables may be written in it."""


def is_cluster() -> bool:
    """Tell whether the session's database is the coordinator of a cluster."""
    return state_of(db.session.connection()).is_cluster


@event.listens_for(Pool, "connect")
def _adapt(connection: Any, record: ConnectionPoolEntry) -> None:
    autocommit, connection.autocommit = connection.autocommit, True
    cursor = connection.cursor()
    cursor.execute(find_out)
    if cursor.rowcount:
        state_of(record).is_cluster = True
        cursor.execute(settings)
    connection.autocommit = autocommit

"""Whether the database is one PostgreSQL or the coordinator of a Citus cluster.

A few statements have another form there, and each connection other settings.
"""

from weakref import WeakKeyDictionary

from psycopg2 import extensions
from psycopg2.errors import UniqueViolation
from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import IntegrityError
from sqlalchemy.pool import ConnectionPoolEntry, Pool

from voucherpool.database.connections import state_of
from voucherpool.database.model import present_engine
from voucherpool.database.statements import present_connection

find_out = "SELECT FROM pg_extension WHERE extname = 'citus'"
settings = """
    SET plan_cache_mode = force_custom_plan;
    SET citus.multi_shard_modify_mode = sequential"""
"""A plan that is made once for all values asks every machine, so each value gets its own plan. In
sequential mode a transaction has one connection to each machine: it sees what it wrote, and may
write copied tables."""

_known: WeakKeyDictionary[Engine, bool] = WeakKeyDictionary()


def is_cluster() -> bool:
    """Tell whether the database is the coordinator of a cluster, as its first connection saw it."""
    engine = present_engine()
    known = _known.get(engine)
    if known is None:
        known = _known[engine] = present_connection().state.is_cluster
    return known


@event.listens_for(Pool, "connect")
def _adapt(connection: extensions.connection, record: ConnectionPoolEntry) -> None:
    autocommit, connection.autocommit = connection.autocommit, True
    cursor = connection.cursor()
    cursor.execute(find_out)
    if cursor.rowcount:
        state_of(record).is_cluster = True
        cursor.execute(settings)
    connection.autocommit = autocommit


@event.listens_for(Engine, "handle_error", retval=True)
def _recognize_violation(context: ExceptionContext) -> IntegrityError | None:
    # Citus copies rows to a machine in bulk, and passes an error there on without its SQLSTATE.
    cause = str(context.original_exception)
    if not cause.startswith("duplicate key value violates unique constraint"):
        return None
    if isinstance(context.original_exception, UniqueViolation):
        return None
    return IntegrityError(None, None, UniqueViolation(cause), hide_parameters=True)

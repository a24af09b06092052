"""Whether the database is one PostgreSQL or the coordinator of a Citus cluster.

A few statements have another form there, and each connection other settings.
"""

from collections.abc import Iterable
from weakref import WeakKeyDictionary

from psycopg2 import extensions
from psycopg2.errors import ConnectionFailure, UniqueViolation
from sqlalchemy import Engine, event, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import IntegrityError

from voucherpool.database.model import db

find_out = "SELECT FROM pg_extension WHERE extname = 'citus'"
settings = """
    SET plan_cache_mode = force_custom_plan;
    SET citus.multi_shard_modify_mode = sequential"""
"""A plan that is made once for all values asks every machine, so each value gets its own plan. In
sequential mode a transaction has one connection to each machine: it sees what it wrote, and may
write copied tables."""

machine_lost = (
    "could not commit transaction for shard",
    "failure on connection marked as essential",
)
"""The beginnings of Citus's messages about errors that have no SQLSTATE of their own."""

_known: WeakKeyDictionary[Engine, bool] = WeakKeyDictionary()


def set_up(engine: Engine) -> None:
    """Adapt an engine's connections to a cluster, if they lead to one."""

    def adapt(connection: extensions.connection, _: object) -> None:
        autocommit, connection.autocommit = connection.autocommit, True
        cursor = connection.cursor()
        cursor.execute(find_out)
        _known[engine] = bool(cursor.rowcount)
        if _known[engine]:
            cursor.execute(settings)
        connection.autocommit = autocommit

    event.listen(engine, "connect", adapt)
    event.listen(engine, "handle_error", _recognize_error, retval=True)


def is_cluster() -> bool:
    """Tell whether the database is the coordinator of a cluster, as its last connection saw it."""
    engine = db.engine
    known = _known.get(engine)
    if known is None:
        engine.connect().close()
        known = _known[engine]
    return known


def is_machine_lost(error: BaseException) -> bool:
    """Tell whether a cluster lost another machine, and so perhaps what was written there.

    Nothing was written if that machine refused the connection.
    """
    cause = str(error)
    lost = isinstance(error, ConnectionFailure) and "Connection refused" not in cause
    return lost or cause.startswith(machine_lost)


def lock_against_erasure(customer_ids: Iterable[int]) -> None:
    """Let who erases the customers wait for the commit, see wait_for_locks().

    The lock of a copied row would lock its table on all machines.
    """
    for customer_id in list(customer_ids):
        db.session.execute(_lock, {"id": customer_id})


def wait_for_locks(customer_id: int) -> None:
    """Wait until all have committed that called lock_against_erasure() for the customer."""
    db.session.execute(_wait, {"id": customer_id})


def _recognize_error(context: ExceptionContext) -> IntegrityError | None:
    cause = context.original_exception
    if is_machine_lost(cause):
        context.is_disconnect = True
    # Citus copies rows to a machine in bulk, and passes an error there on without its SQLSTATE.
    is_unique = str(cause).startswith("duplicate key value violates unique constraint")
    if is_unique and not isinstance(cause, UniqueViolation):
        return IntegrityError(None, None, UniqueViolation(str(cause)), hide_parameters=True)
    return None


_number = "hashtextextended(format('erasure:%s', CAST(:id AS bigint)), 0)"
_lock = text(f"SELECT pg_advisory_xact_lock_shared({_number})")
_wait = text(f"SELECT pg_advisory_xact_lock({_number})")

"""Whether the process runs, and whether it can serve."""

import time
from threading import Lock

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask, current_app
from marshmallow import Schema, fields, validate
from psycopg2.errors import DiskFull
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from voucherpool.database import durability, reachability
from voucherpool.http.blueprints import Blueprint

blueprint = Blueprint(
    "health", __name__, description="Whether the service lives, and whether it can serve."
)

# 1 MiB exceeds work_mem and goes to a temporary file. Writing a row would prove nothing: on a full
# disk the table's pages and the current WAL segment still have room for it.
take_room = text("""
    SET LOCAL work_mem = '64kB';
    SELECT count(*) FROM unnest(array_fill(repeat('x', 8 * 1024), ARRAY[128]))""")

seconds_remembered = 1


class Alive(Schema):
    """The process runs."""

    status = fields.String(required=True, validate=validate.Equal("alive"))


class Ready(Schema):
    """Whether the service can serve; if not, `reason` says why and what to do."""

    status = fields.String(required=True, validate=validate.OneOf(["ready", "not ready"]))
    reason = fields.String()


@blueprint.get("/livez")
@blueprint.public()
@blueprint.response(200, Alive())
def livez() -> dict[str, str]:
    """Say that the process runs, without asking the database."""
    return {"status": "alive"}


@blueprint.get("/readyz")
@blueprint.public()
@blueprint.alt_response(503, schema=Ready())
@blueprint.response(200, Ready())
def readyz() -> tuple[dict[str, str], int]:
    """Say whether the database takes writes, keeps them, and has this code's revision."""
    memory: Readiness = current_app.extensions["readiness"]
    reason = memory.problem()
    return (
        ({"status": "not ready", "reason": reason}, 503) if reason else ({"status": "ready"}, 200)
    )


class Readiness:
    """Checks at most once a second whether the service can serve."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._reason: str | None = None
        self._looks_again_at = float("-inf")

    def problem(self) -> str | None:
        """Return what is wrong, or None, from a check at most a second old."""
        with self._lock:
            if time.monotonic() >= self._looks_again_at:
                self._reason = _readiness_problem()
                self._looks_again_at = time.monotonic() + seconds_remembered
            return self._reason


def init_app(app: Flask) -> None:
    """Give the app a readiness check."""
    app.extensions["readiness"] = Readiness()


def _readiness_problem() -> str | None:
    # Do not use the pool: a full one must not make the process look broken.
    try:
        with reachability.alone(current_app.config) as connection:
            return _write_problem(connection) or _revision_problem(connection)
    except SQLAlchemyError as error:
        if "read-only" in str(error):  # libpq skipped a host for target_session_attrs
            return "The database is a standby: it takes no writes."
        return "The database does not answer."


def _write_problem(connection: Connection) -> str | None:
    if connection.scalar(text("SELECT pg_is_in_recovery()")):
        return "The database is a standby: it takes no writes."
    if reason := durability.problem(connection, current_app.config["TOLERATE_OFF"]):
        return reason
    try:
        connection.execute(take_room)
    except OperationalError as error:
        if isinstance(error.orig, DiskFull):
            return "PostgreSQL's disk is full: free some space."
        raise
    return None


def _revision_problem(connection: Connection) -> str | None:
    current = MigrationContext.configure(connection).get_current_revision()
    needed = ScriptDirectory(current_app.extensions["migrate"].directory).get_current_head()
    # Revisions are numbered. This code also serves a later one, so that migrations can go first.
    if current is not None and needed is not None and current.isdigit() and current >= needed:
        return None
    return f"The database is at revision {current}, not {needed}: run `voucherpool db upgrade`."

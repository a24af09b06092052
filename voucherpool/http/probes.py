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
from voucherpool.http.openapi import Blueprint

blueprint = Blueprint("health", __name__)

# 1 MiB goes to a temporary file, for it is more than work_mem. To write a row tells nothing: while
# the disk is full, there still is room for it in the table's pages and in the present WAL segment.
take_room = text("""
    SET LOCAL work_mem = '64kB';
    SELECT count(*) FROM unnest(array_fill(repeat('x', 8 * 1024), ARRAY[128]))""")

seconds_remembered = 1


class Alive(Schema):
    """The process runs."""

    status = fields.String(required=True, validate=validate.Equal("alive"))


class Ready(Schema):
    """Whether the service can serve; `reason` says why not and what to do."""

    status = fields.String(required=True, validate=validate.OneOf(["ready", "not ready"]))
    reason = fields.String()


@blueprint.get("/livez")
@blueprint.public
@blueprint.response(200, Alive())
def livez() -> dict[str, str]:
    """Say that the process runs; asks nothing of the database."""
    return {"status": "alive"}


@blueprint.get("/readyz")
@blueprint.public
@blueprint.alt_response(503, schema=Ready())
@blueprint.response(200, Ready())
def readyz() -> tuple[dict[str, str], int]:
    """Say whether the database takes writes, keeps them, and is not behind this code."""
    memory: Memory = current_app.extensions["readiness"]
    reason = memory.why_not_ready()
    return (
        ({"status": "not ready", "reason": reason}, 503) if reason else ({"status": "ready"}, 200)
    )


class Memory:
    """Looks once a second whether the service can serve, however many ask."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._reason: str | None = None
        self._looks_again_at = float("-inf")

    def why_not_ready(self) -> str | None:
        """Return the reason, not older than a second; who asks during a look waits for it."""
        with self._lock:
            if time.monotonic() >= self._looks_again_at:
                self._reason = _why_not_ready()
                self._looks_again_at = time.monotonic() + seconds_remembered
            return self._reason


def init_app(app: Flask) -> None:
    """Remember nothing yet."""
    app.extensions["readiness"] = Memory()


def _why_not_ready() -> str | None:
    # A connection of its own: a full pool must not make the process look broken.
    try:
        with reachability.alone(current_app.config) as connection:
            return _why_not_writable(connection) or _why_not_current(connection)
    except SQLAlchemyError as error:
        if "read-only" in str(error):  # libpq's word for what target_session_attrs passed over
            return "The database is a standby: it takes no writes."
        return "The database does not answer."


def _why_not_writable(connection: Connection) -> str | None:
    if connection.scalar(text("SELECT pg_is_in_recovery()")):
        return "The database is a standby: it takes no writes."
    if reason := durability.why_not(connection, current_app.config["TOLERATE_OFF"]):
        return reason
    try:
        connection.execute(take_room)
    except OperationalError as error:
        if isinstance(error.orig, DiskFull):
            return "PostgreSQL's disk is full: make room on it."
        raise
    return None


def _why_not_current(connection: Connection) -> str | None:
    current = MigrationContext.configure(connection).get_current_revision()
    needed = ScriptDirectory(current_app.extensions["migrate"].directory).get_current_head()
    # Revisions are numbered. A later one serves until this code is replaced too.
    if current is not None and needed is not None and current.isdigit() and current >= needed:
        return None
    return f"The database is at revision {current}, not {needed}: run `voucherpool db upgrade`."

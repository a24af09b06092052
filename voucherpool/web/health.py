"""Whether the process runs, and whether it can serve."""

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Blueprint, Flask, current_app
from sqlalchemy import NullPool, create_engine
from sqlalchemy.exc import SQLAlchemyError

from voucherpool.db import db
from voucherpool.web.auth import public, requires

blueprint = Blueprint("health", __name__)


def init_app(app: Flask) -> None:
    """Serve /livez and /readyz."""
    app.register_blueprint(blueprint)


@blueprint.get("/livez")
@requires(public)
def livez() -> dict[str, str]:
    """Say that the process runs; asks nothing of the database."""
    return {"status": "alive"}


@blueprint.get("/readyz")
@requires(public)
def readyz() -> tuple[dict[str, str], int]:
    """Say whether the database answers and is at the revision that this code needs."""
    reason = _why_not_ready()
    return (
        ({"status": "not ready", "reason": reason}, 503) if reason else ({"status": "ready"}, 200)
    )


def _why_not_ready() -> str | None:
    # A connection of its own: a full pool must not make the process look broken.
    options = current_app.config["SQLALCHEMY_ENGINE_OPTIONS"]["connect_args"]
    engine = create_engine(db.engine.url, poolclass=NullPool, connect_args=options)
    try:
        with engine.connect() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
    except SQLAlchemyError:
        return "The database does not answer."
    needed = ScriptDirectory(current_app.extensions["migrate"].directory).get_current_head()
    if current != needed:
        return f"The database is at revision {current}, not {needed}: run `voucherpool db upgrade`."
    return None

"""Whether the process runs, and whether it can serve."""

from flask import Flask, current_app
from marshmallow import Schema, fields, validate

from voucherpool.http.routes import Blueprint, public
from voucherpool.readiness.obstacles import Readiness

blueprint = Blueprint(
    "health", __name__, description="Probes: does the process run, and can it serve?"
)


class LivenessStatus(Schema):
    """The process runs."""

    status = fields.String(required=True, validate=validate.Equal("alive"))


class ReadinessStatus(Schema):
    """Whether the service can serve; `reason` says what is wrong with the database, if anything."""

    status = fields.String(required=True, validate=validate.OneOf(["ready", "not ready"]))
    reason = fields.String()


@blueprint.get("/livez", scope=public, answer=(200, LivenessStatus()))
def livez() -> dict[str, str]:
    """Check that the process runs, without asking the database."""
    return {"status": "alive"}


@blueprint.get(
    "/readyz",
    scope=public,
    answer=(200, ReadinessStatus()),
    documented={
        "responses": {
            "503": {
                "description": "Service Unavailable",
                "content": {"application/json": {"schema": ReadinessStatus()}},
            }
        }
    },
)
def readyz() -> tuple[dict[str, str], int]:
    """Check that the database takes writes, keeps them, and has this code's revision."""
    readiness: Readiness = current_app.extensions["readiness"]
    obstacle = readiness.obstacle()
    if obstacle is None:
        return {"status": "ready"}, 200
    if obstacle.may_serve:
        return {"status": "ready", "reason": obstacle.reason}, 200
    return {"status": "not ready", "reason": obstacle.reason}, 503


def init_app(app: Flask) -> None:
    """Give the app what knows whether the database is ready."""
    app.extensions["readiness"] = Readiness(app.config)

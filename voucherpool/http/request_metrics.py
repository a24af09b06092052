"""Shows what is counted to Prometheus, at /metrics."""

from flask import Flask, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import event

from voucherpool.database.model import db
from voucherpool.http.openapi import Blueprint
from voucherpool.observability import metrics

blueprint = Blueprint("metrics", __name__)


def init_app(app: Flask) -> None:
    """Count the app's connections to the database that are in use."""
    with app.app_context():
        pool = db.engine.pool
    in_use = metrics.connections_in_use
    event.listen(pool, "checkout", lambda *_: in_use.inc())
    event.listen(pool, "checkin", lambda *_: in_use.dec())


@blueprint.get("/metrics")
@blueprint.guarded("metrics")
@blueprint.doc(responses={"200": {"description": "OK", "content": {"text/plain": {}}}})
def show() -> Response:
    """Show the counts of all processes in Prometheus' text format."""
    return Response(generate_latest(metrics.registry()), content_type=CONTENT_TYPE_LATEST)

"""Counts and logs each request, and shows the counts to Prometheus at /metrics."""

import logging
import time

from flask import Flask, Response, g, request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import event

from voucherpool.database.model import db
from voucherpool.http.openapi import Blueprint
from voucherpool.observability import metrics

log = logging.getLogger("voucherpool.access")

blueprint = Blueprint("metrics", __name__)


def init_app(app: Flask) -> None:
    """Observe the app's requests and its connections to the database."""
    app.before_request(_begin)
    app.after_request(_observe)
    with app.app_context():
        pool = db.engine.pool
    in_use = metrics.connections_in_use
    event.listen(pool, "checkout", lambda *_: in_use.inc())
    event.listen(pool, "checkin", lambda *_: in_use.dec())


def _begin() -> None:
    g.began = time.perf_counter()


def _observe(response: Response) -> Response:
    seconds = time.perf_counter() - g.began
    # The rule, not the address: an address may carry what somebody guessed or typed.
    route = request.url_rule.rule if request.url_rule else "unknown"
    method = request.method if request.method in known_methods else "unknown"
    metrics.requests.labels(method, route, response.status_code).observe(seconds)
    log.info(
        "%s %s %s",
        method,
        route,
        response.status_code,
        extra={
            "method": method,
            "route": route,
            "status": response.status_code,
            "seconds": round(seconds, 4),
            "api_key_id": g.get("api_key_id"),
        },
    )
    return response


known_methods = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@blueprint.get("/metrics")
@blueprint.guarded("metrics")
@blueprint.doc(responses={"200": {"description": "OK", "content": {"text/plain": {}}}})
def show() -> Response:
    """Show the counts of all processes in Prometheus' text format."""
    return Response(generate_latest(metrics.registry()), content_type=CONTENT_TYPE_LATEST)

"""Serves the metrics for Prometheus at /metrics."""

from flask import Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from voucherpool.http.routes import Blueprint
from voucherpool.observability import metrics

blueprint = Blueprint("metrics", __name__, description="Metrics for Prometheus.")


@blueprint.get(
    "/metrics",
    scope="metrics",
    documented={"responses": {"200": {"description": "OK", "content": {"text/plain": {}}}}},
)
def show_metrics() -> Response:
    """Show the metrics of all processes in Prometheus' text format."""
    return Response(generate_latest(metrics.registry()), content_type=CONTENT_TYPE_LATEST)

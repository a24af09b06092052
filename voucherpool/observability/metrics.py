"""What is counted for Prometheus; voucherpool.http.request_metrics shows it.

Under gunicorn the processes share the counts through files in PROMETHEUS_MULTIPROC_DIR
(https://prometheus.github.io/client_python/multiprocess/).
"""

import os

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.multiprocess import MultiProcessCollector

requests = Histogram(
    "voucherpool_request_seconds",
    "Requests by method, route and status, and how long their answers took.",
    ["method", "route", "status"],
    buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
issued = Counter("voucherpool_vouchers_issued", "Vouchers issued by requests.")
redeemed = Counter("voucherpool_redemptions", "Redemptions acknowledged.")
refusals = Counter("voucherpool_refusals", "Requests refused, by the code of the error.", ["code"])
in_progress = Gauge(
    "voucherpool_requests_in_progress",
    "Requests that threads are working at.",
    multiprocess_mode="livesum",
)
threads = Gauge(
    "voucherpool_threads", "Threads that there are for requests.", multiprocess_mode="livesum"
)


def refused(code: str) -> None:
    """Count a refusal."""
    refusals.labels(code).inc()


def registry() -> CollectorRegistry:
    """Return what to show: the sum over all processes where there are several."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    together = CollectorRegistry()
    MultiProcessCollector(together)  # type: ignore[no-untyped-call]
    return together

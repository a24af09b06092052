"""The metrics for Prometheus; voucherpool.http.request_metrics serves them.

Under gunicorn the processes share them through files in PROMETHEUS_MULTIPROC_DIR
(https://prometheus.github.io/client_python/multiprocess/).
"""

import os
from functools import cache

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.multiprocess import MultiProcessCollector

requests = Histogram(
    "voucherpool_request_seconds",
    "Seconds to answer requests, by method, route and status.",
    ["method", "route", "status"],
    buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
seconds_of = cache(requests.labels)
"""Returns the histogram of a method, a route and a status, without looking up its labels."""
issued = Counter("voucherpool_vouchers_issued", "Vouchers issued.")
redeemed = Counter("voucherpool_redemptions", "Redemptions acknowledged.")
refusals = Counter("voucherpool_refusals", "Requests refused, by the code of the error.", ["code"])
batches = Counter("voucherpool_batches", "Batches that ended: done, failed.", ["state"])
schedule_runs = Counter(
    "voucherpool_schedule_runs", "Runs of schedules: done, skipped, failed.", ["state"]
)
deliveries = Counter(
    "voucherpool_webhook_deliveries",
    "Attempts to deliver events, by the webhook's id and the outcome.",
    ["webhook", "outcome"],
)
webhooks_disabled = Counter(
    "voucherpool_webhooks_disabled", "Webhooks disabled, by reason.", ["reason"]
)
messages = Counter(
    "voucherpool_messages",
    "E-mails by what became of an attempt: sent, skipped, retried or parked.",
    ["outcome"],
)
in_progress = Gauge(
    "voucherpool_requests_in_progress",
    "Requests being answered.",
    multiprocess_mode="livesum",
)
threads = Gauge(
    "voucherpool_threads",
    "Threads that can answer requests.",
    multiprocess_mode="livesum",
)

queue_length = Gauge(
    "voucherpool_queue_length",
    "Batches that wait or run, and events, deliveries or messages that wait.",
    ["queue"],
)
queue_age = Gauge(
    "voucherpool_queue_age_seconds",
    "Seconds that the oldest in a queue has waited.",
    ["queue"],
)


def refused(code: str) -> None:
    """Count a refusal."""
    refusals.labels(code).inc()


def registry() -> CollectorRegistry:
    """Return the metrics of this process, or under gunicorn the sum of all processes."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    together = CollectorRegistry()
    MultiProcessCollector(together)  # type: ignore[no-untyped-call]
    return together

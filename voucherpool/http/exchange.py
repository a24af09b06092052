"""Gives each request its id, its line in the log, its metrics and its X-Request-Id header.

It uses one hook before and one after, because each hook costs every request.
"""

import logging
import re
import secrets
import time

from flask import Flask, Response, g, request

from voucherpool.observability import logs, metrics

log = logging.getLogger("voucherpool.access")

# Visible ASCII only: the id goes back out in a header and into the log.
acceptable = re.compile(r"[\x21-\x7e]{1,128}")
known_methods = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def init_app(app: Flask) -> None:
    """Add the hooks; call this before all other init_app(), so that the id is dropped last."""
    app.before_request(_begin)
    app.after_request(_end)
    app.teardown_appcontext(_leave)


def _begin() -> None:
    g.began = time.perf_counter()
    metrics.in_progress.inc()
    given = request.environ.get("HTTP_X_REQUEST_ID", "")
    g.request_id = given if acceptable.fullmatch(given) else secrets.token_hex(8)
    logs.request_id.set(g.request_id)


def _end(response: Response) -> Response:
    request_id, seconds = g.request_id, time.perf_counter() - g.began
    # Log the rule, not the address: an address may hold guessed or personal data.
    rule, method = request.url_rule, request.environ["REQUEST_METHOD"]
    route = rule.rule if rule else "unknown"
    method = method if method in known_methods else "unknown"
    status = response.status_code
    metrics.requests.labels(method, route, status).observe(seconds)
    log.info(
        logs.access_line(
            message=f"{method} {route} {status}",
            method=method,
            route=route,
            status=status,
            seconds=round(seconds, 4),
            api_key_id=g.get("api_key_id"),
            request_id=request_id,
        )
    )
    response.headers["X-Request-Id"] = request_id
    return response


def _leave(_: BaseException | None) -> None:
    if "began" in g:  # not a command
        metrics.in_progress.dec()
    # gunicorn may log the thread's next request before it has an id.
    logs.request_id.set(None)

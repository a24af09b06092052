"""Gives each request its id, its line in the log and its metrics, and each answer its headers.

It wraps the WSGI application, because it needs nothing of Flask but the request, and setting one
header in Flask takes longer than all of them here.
"""

import re
import time
from collections.abc import Iterable
from random import getrandbits
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from voucherpool.audit import actor
from voucherpool.http.bodies import Request
from voucherpool.observability import logs, metrics

# Visible ASCII only: the id goes back out in a header and into the log.
acceptable = re.compile(r"[\x21-\x7e]{1,128}")
# W3C Trace Context, 3.2; an id of zeros alone is none.
traceparent = re.compile("[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*")
# After the OWASP REST Security Cheat Sheet, "Security Headers".
security_headers = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
known_methods = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Exchange:
    """Counts, times and logs each request of an application and its answer."""

    def __init__(self, app: WSGIApplication, log_form: str) -> None:
        self._app, self._log_form = app, log_form

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request (PEP 3333)."""
        began = time.perf_counter()
        asked = environ.get("HTTP_X_REQUEST_ID", "")
        request_id = asked if acceptable.fullmatch(asked) else f"{getrandbits(64):016x}"

        def start(status: str, given: list[tuple[str, str]], *error: Any) -> Any:
            seconds = round(time.perf_counter() - began, 4)
            self._note(environ["werkzeug.request"], int(status[:3]), seconds)
            more = _missing(given)
            return start_response(status, [*given, *more, ("X-Request-Id", request_id)], *error)

        logs.request_id.set(request_id)
        metrics.in_progress.inc()
        try:
            return self._app(environ, start)
        finally:
            metrics.in_progress.dec()
            # gunicorn may log the thread's next request before it has an id.
            logs.request_id.set(None)
            actor.name(actor.nobody)

    def _note(self, request: Request, status: int, seconds: float) -> None:
        """Count a request that is answered, and log it."""
        # The rule, not the address: an address may hold guessed or personal data.
        route = request.url_rule.rule if request.url_rule else "unknown"
        method = request.method if request.method in known_methods else "unknown"
        metrics.seconds_of(method, route, status).observe(seconds)
        answered: logs.Answered = {
            "method": method,
            "route": route,
            "status": status,
            "code": request.refusal,
            "seconds": seconds,
            "api_key_id": request.api_key_id,
        }
        if parent := traceparent.fullmatch(request.environ.get("HTTP_TRACEPARENT", "")):
            answered["trace_id"] = parent[1]
        logs.write(answered, self._log_form)


def _missing(given: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the security headers that an answer with the `given` ones does not set itself."""
    names = dict(given)
    return [header for header in security_headers.items() if header[0] not in names]

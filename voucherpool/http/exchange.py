"""Gives each request its id, its line in the log and its metrics, and each answer its headers.

It wraps the WSGI application, because it needs nothing of Flask but the request, and setting one
header in Flask takes longer than all of them here.
"""

import re
import time
from collections.abc import Iterable
from functools import partial
from random import getrandbits
from threading import get_ident
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from sqlalchemy import Engine

from voucherpool.database.model import engine_of_request
from voucherpool.http import headers
from voucherpool.http.bodies import Request
from voucherpool.observability import counting, logs, metrics

# Visible ASCII only: the id goes back out in a header and into the log.
acceptable = re.compile(r"[\x21-\x7e]{1,128}")
known_methods = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Exchange:
    """Counts, times and logs each request of an application and its answer."""

    def __init__(self, app: WSGIApplication, engine: Engine, log_form: str) -> None:
        self._app, self._engine, self._log_form = app, engine, log_form

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request (PEP 3333)."""
        began = time.perf_counter()
        asked = environ.get("HTTP_X_REQUEST_ID", "")
        request_id = asked if acceptable.fullmatch(asked) else f"{getrandbits(64):016x}"

        def start(status: str, given: list[tuple[str, str]], *error: Any) -> Any:
            seconds = round(time.perf_counter() - began, 4)
            self._note(environ["werkzeug.request"], int(status[:3]), seconds)
            more = headers.missing(given)
            return start_response(status, [*given, *more, ("X-Request-Id", request_id)], *error)

        logs.request_id.set(request_id)
        engine_of_request.set(self._engine)
        counting.answering.add(get_ident())
        try:
            return self._app(environ, start)
        finally:
            counting.answering.discard(get_ident())
            engine_of_request.set(None)
            # gunicorn may log the thread's next request before it has an id.
            logs.request_id.set(None)

    def _note(self, request: Request, status: int, seconds: float) -> None:
        """Count a request that is answered, and log it."""
        # The rule, not the address: an address may hold guessed or personal data.
        route = request.url_rule.rule if request.url_rule else "unknown"
        method = request.method if request.method in known_methods else "unknown"
        counting.later(partial(metrics.seconds_of(method, route, status).observe, seconds))
        answered: logs.Answered = {
            "method": method,
            "route": route,
            "status": status,
            "code": request.refusal,
            "seconds": seconds,
            "api_key_id": request.api_key_id,
        }
        logs.write(answered, self._log_form)

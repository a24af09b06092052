"""Security headers, after the OWASP REST Security Cheat Sheet, "Security Headers"."""

from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

strict = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """Adds the headers to every answer that does not set them itself.

    It wraps the WSGI application: setting one header in Flask takes longer than all of them here.
    """

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request (PEP 3333)."""

        def start(status: str, given: list[tuple[str, str]], *error: Any) -> Any:
            names = {name for name, _ in given}
            more = [header for header in strict.items() if header[0] not in names]
            return start_response(status, given + more, *error)

        return self._app(environ, start)

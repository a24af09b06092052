"""Headers that tell browsers and caches to keep their hands off.

After the OWASP REST Security Cheat Sheet, "Security Headers".
"""

import base64
import hashlib
import re
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
inline_script = re.compile(r"<script>([^<]*+(?:<(?!/?script>)[^<]*+)*+)</script>")


class Guard:
    """Adds the headers to every answer that does not know better.

    Around the application, where headers are a plain list: in Flask each would take longer than
    all of them do here.
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


def policy_of_page(page: str) -> str:
    """Allow the page its own scripts and styles, and to call this service; nothing else."""
    digests = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        for script in inline_script.findall(page)
    ]
    scripts = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline';"
        " img-src 'self' data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
    )

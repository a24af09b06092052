"""Headers that tell browsers and caches to keep their hands off.

After the OWASP REST Security Cheat Sheet, "Security Headers".
"""

import base64
import hashlib
import re

from flask import Response, request

strict = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
inline_script = re.compile(r"<script>([^<]*+(?:<(?!/?script>)[^<]*+)*+)</script>")


def guard(response: Response) -> None:
    """Add the headers to an answer that does not know better."""
    if response.mimetype == "text/html" and request.endpoint == "api-docs.openapi_swagger_ui":
        policy = _policy_of_page(response.get_data(as_text=True))
        response.headers["Content-Security-Policy"] = policy
    for name, value in strict.items():
        if name not in response.headers:
            response.headers.add_header(name, value)


def _policy_of_page(page: str) -> str:
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

"""Security headers, after the OWASP REST Security Cheat Sheet, "Security Headers"."""

from collections.abc import Iterable

strict = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def missing(given: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the headers that an answer with the `given` ones does not set itself."""
    names = dict(given)
    return [header for header in strict.items() if header[0] not in names]

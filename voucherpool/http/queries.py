"""Reads the parameters of a query, and refuses those that decoding has damaged."""

from collections.abc import Mapping
from urllib.parse import unquote, unquote_plus

from voucherpool.input import formats
from voucherpool.input.errors import InvalidInput

escape_plus = "In a query, write + as %2B."
not_utf8 = "Must be UTF-8, percent-encoded."


def parameters(query: str) -> dict[str, str]:
    """Return the parameters of a query. Raises InvalidInput."""
    found: dict[str, str] = {}
    for pair in filter(None, query.split("&")):
        encoded_name, _, encoded = pair.partition("=")
        name = unquote_plus(encoded_name)
        if name in found:
            raise InvalidInput({name: ["Must not be given more than once."]})
        try:
            found[name] = _decoded(encoded)
        except ValueError as error:
            reason = not_utf8 if isinstance(error, UnicodeDecodeError) else str(error)
            raise InvalidInput({name: [reason]}) from error
    return found


def _decoded(encoded: str) -> str:
    """Return a value. Raises ValueError if nobody can tell what was sent.

    A + stands for a blank (URL Standard, 5.1). At the ends of a value no program means one: there
    it was a + that the program has not encoded, as it is in the offset of a time.
    """
    value, with_plus = unquote_plus(encoded, errors="strict"), unquote(encoded, errors="strict")
    if len(value.strip()) < len(with_plus.strip()):
        raise ValueError(escape_plus)
    return with_plus if formats.rfc3339.fullmatch(with_plus) else value


def with_hints(
    reasons: Mapping[str, list[str]], parameters: Mapping[str, str]
) -> dict[str, list[str]]:
    """Return the reasons, with a hint for each value whose + may have become a blank."""
    return {
        name: [*found, escape_plus] if " " in parameters.get(name, "").strip() else found
        for name, found in reasons.items()
    }

"""Reads a request's body or query into a schema; raises only our own errors."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, unquote_plus

import marshmallow
from flask import current_app

from voucherpool.http.bodies import Request, current_request
from voucherpool.http.errors import UnsupportedMediaType
from voucherpool.input import formats, strict_json
from voucherpool.input.errors import InvalidInput
from voucherpool.input.times import days_of

escape_plus = "In a query, write + as %2B."
not_utf8 = "Must be UTF-8, percent-encoded."


def load(schema: marshmallow.Schema, location: str) -> dict[str, Any]:
    """Return what the schema reads from the request's body (`json`) or its query.

    Raises InvalidInput, MalformedJson, MalformedBody, BodyTooLarge and UnsupportedMediaType.
    """
    request = current_request()
    query = _parameters(request.query_string.decode()) if location == "query" else {}
    # A list without a query may have a JSON body.
    value: Any = query or _body(request)
    try:
        with days_of(current_app.config["TIMEZONE"]):
            loaded: dict[str, Any] = schema.load(value)
            return loaded
    except marshmallow.ValidationError as error:
        reasons = {_name(field): found for field, found in error.messages_dict.items()}
        raise InvalidInput(_with_hints(reasons, query)) from error


def _body(request: Request) -> object:
    """Return the value of the JSON body, whatever its Content-Type; {} for an empty one."""
    # Storefronts and `curl -d` often send no type or a wrong one, so refuse only the types
    # that cannot be JSON.
    mimetype = request.environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    is_xml = mimetype.endswith(("/xml", "+xml"))
    if is_xml or mimetype.startswith("multipart/") or request.environ.get("HTTP_CONTENT_ENCODING"):
        raise UnsupportedMediaType
    content = request.get_data()
    return strict_json.parse(content) if content else {}


def _name(field: str) -> str:
    return "body" if field == marshmallow.exceptions.SCHEMA else field


def _parameters(query: str) -> dict[str, str]:
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


def _with_hints(
    reasons: Mapping[str, list[str]], parameters: Mapping[str, str]
) -> dict[str, list[str]]:
    """Return the reasons, with a hint for each value whose + may have become a blank."""
    return {
        name: [*found, escape_plus] if " " in parameters.get(name, "").strip() else found
        for name, found in reasons.items()
    }

"""Reads a request's body or query into a schema; raises only our own errors."""

from typing import Any

import marshmallow

from voucherpool.errors import InvalidInput, UnsupportedMediaType
from voucherpool.http.bodies import Request, current_request
from voucherpool.input import formats, strict_json


def load(schema: marshmallow.Schema, location: str) -> dict[str, Any]:
    """Return what the schema reads from the request's body (`json`) or its query.

    Raises InvalidInput, MalformedJson, MalformedBody, BodyTooLarge and UnsupportedMediaType.
    """
    request = current_request()
    value = _query(request) if location == "query" else _body(request)
    try:
        loaded: dict[str, Any] = schema.load(value)  # type: ignore[arg-type]
        return loaded
    except marshmallow.ValidationError as error:
        reasons = {_name(field): found for field, found in error.messages_dict.items()}
        if location == "query":
            for name in reasons:
                if " " in request.args.get(name, "").strip():
                    reasons[name] = [*reasons[name], "In a query, write + as %2B."]
        raise InvalidInput(reasons) from error


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


def _query(request: Request) -> object:
    """Return the query's parameters, or without a query those of a JSON body."""
    if not request.args:
        return _body(request)
    parameters = request.args.to_dict(flat=False)
    if repeated := {name: values for name, values in parameters.items() if len(values) > 1}:
        raise InvalidInput({name: ["Must not be given more than once."] for name in repeated})
    return {name: _with_sign(value) for name, value in request.args.items()}


def _with_sign(value: str) -> str:
    """Return a time with the + of its offset, which queries read as a blank (URL Standard, 5.1)."""
    return value.replace(" ", "+") if formats.rfc3339_without_sign.fullmatch(value) else value


def _name(field: str) -> str:
    return "body" if field == marshmallow.exceptions.SCHEMA else field

"""Reads a request's body or query into a schema; raises only our own errors."""

from typing import Any

import marshmallow
from flask import current_app

from voucherpool.http import queries
from voucherpool.http.bodies import Request, current_request
from voucherpool.http.errors import UnsupportedMediaType
from voucherpool.input import strict_json
from voucherpool.input.errors import InvalidInput
from voucherpool.input.times import days_of


def load(schema: marshmallow.Schema, location: str) -> dict[str, Any]:
    """Return what the schema reads from the request's body (`json`) or its query.

    Raises InvalidInput, MalformedJson, MalformedBody, BodyTooLarge and UnsupportedMediaType.
    """
    request = current_request()
    query = queries.parameters(request.query_string.decode()) if location == "query" else {}
    # A list without a query may have a JSON body.
    value: Any = query or _body(request)
    try:
        with days_of(current_app.config["TIMEZONE"]):
            loaded: dict[str, Any] = schema.load(value)
            return loaded
    except marshmallow.ValidationError as error:
        reasons = {_name(field): found for field, found in error.messages_dict.items()}
        raise InvalidInput(queries.with_hints(reasons, query)) from error


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

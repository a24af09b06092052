"""The OpenAPI 3.1 document at /openapi.json."""

import hashlib
from functools import cached_property
from importlib.metadata import metadata
from typing import Any

import flask_smorest
from flask import Flask, Response, json, request
from werkzeug.routing import BaseConverter

from voucherpool.apikeys import service as apikeys
from voucherpool.http import problems
from voucherpool.http.authentication import public, requires
from voucherpool.http.documentation import examples
from voucherpool.input import formats
from voucherpool.input.fields import Amount, AmountShown, Cursor

description = """\
Issues, hands out, checks and redeems discount vouchers.

To begin, issue a voucher with `POST /vouchers/generate`, and redeem it with
`POST /vouchers/redeem`. `POST /vouchers/check` checks a voucher without using it.

Amounts are in major units: 19.99 is nineteen euros and 99 cents. Times are RFC 3339 with an offset.
Errors are problem+json (RFC 9457); their `code` never changes. Fields, codes and routes are added,
never renamed or removed. A repeat of a POST with the same `Idempotency-Key` changes nothing."""


class IdConverter(BaseConverter):
    """An id in an address: 1 to 18 digits, which PostgreSQL's bigint can hold."""

    regex = "[0-9]{1,18}"
    part_isolating = True

    def to_python(self, value: str) -> int:
        """Return the number."""
        return int(value)


class Api(flask_smorest.Api):
    """The OpenAPI document; voucherpool.http.problems answers the errors."""

    ERROR_SCHEMA = problems.Problem
    DEFAULT_ERROR_RESPONSE_NAME = None

    def _register_error_handlers(self) -> None:
        """Register none: flask-smorest's own have another shape."""

    def _register_pagination_header(self) -> None:
        """Register none: lists answer a cursor instead."""

    @requires(public)
    def _openapi_json(self) -> Response:
        """Serve the OpenAPI document with an ETag; caches must revalidate it."""
        response = Response(self._document, mimetype="application/json")
        response.cache_control.no_cache = True
        response.set_etag(self._etag)
        response.make_conditional(request)
        return response

    @cached_property
    def _document(self) -> bytes:
        document = examples.illustrated(self.spec.to_dict())
        return json.dumps(document, separators=(",", ":"), sort_keys=False).encode()

    @cached_property
    def _etag(self) -> str:
        return hashlib.sha256(self._document).hexdigest()


def init_app(app: Flask) -> Api:
    """Serve the document."""
    package = metadata("voucherpool")
    api_key = {"type": "http", "scheme": "bearer", "description": _scopes()}
    app.config.update(
        API_TITLE="voucherpool",
        API_VERSION=package["Version"],
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/",
        API_SPEC_OPTIONS={
            "info": {
                "description": description,
                "contact": {"name": "The operators of this service"},
                "license": {"name": package["License"], "identifier": package["License"]},
            },
            "servers": [{"url": "/", "description": "This service"}],
            "components": {"securitySchemes": {"apiKey": api_key}},
        },
    )
    app.url_map.converters["id"] = IdConverter
    api = Api(app)
    api.register_field(Amount, "number", None)
    api.register_field(AmountShown, "number", None)
    api.register_field(Cursor, "string", None)
    api.ma_plugin.converter.add_attribute_function(_number_or_text)
    api.register_converter(
        IdConverter, lambda converter: {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}
    )
    return api


def _number_or_text(_: object, field: object, ret: dict[str, Any], **__: object) -> dict[str, Any]:
    """Return what apispec does not know of an amount: that it may be a decimal string."""
    if not isinstance(field, Amount):
        return {}
    null = ["null"] if "null" in ret["type"] else []
    return {"type": ["number", "string", *null], "pattern": formats.decimal.pattern}


def _scopes() -> str:
    """Return the text of the page's Authorize dialog."""
    rights = "\n".join(f"- `{scope}`: {right}" for scope, right in apikeys.scopes.items())
    return (
        "An API key, such as `vp_…`. `voucherpool apikeys create NAME --scope SCOPE` makes one and "
        f"shows it once. Its scopes say what it may do:\n\n{rights}"
    )

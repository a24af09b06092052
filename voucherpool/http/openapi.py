"""The API's documentation: OpenAPI 3.1 at /openapi.json and a page to try it at /docs."""

import hashlib
import importlib.util
from collections.abc import Callable
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

import flask_smorest
import marshmallow
from flask import Flask, Response, json, request, send_from_directory
from marshmallow import fields
from werkzeug.routing import BaseConverter

from voucherpool import errors
from voucherpool.database.retries import retrying
from voucherpool.http import headers, problems
from voucherpool.http.authentication import public, requires
from voucherpool.http.idempotency import acceptable
from voucherpool.http.parsing import Parser
from voucherpool.input.fields import Amount, Cursor

View = TypeVar("View", bound=Callable[..., object])
Fields = dict[str, Any]
"""The values that a schema read from a body or a query, by field name."""

always_possible = (
    errors.MalformedJson,
    errors.MalformedBody,
    errors.ApiKeyRequired,
    errors.ApiKeyInvalid,
    errors.ScopeMissing,
    errors.BodyTooLarge,
    errors.UnsupportedMediaType,
    errors.InvalidInput,
    errors.DatabaseUnavailable,
    errors.OutcomeUnknown,
)


idempotency_key = {
    "in": "header",
    "name": "Idempotency-Key",
    "description": "A repeat with the same key changes nothing and gets the first answer.",
    "schema": {"type": "string", "pattern": f"^(?:{acceptable.pattern})$"},
}


class IdConverter(BaseConverter):
    """An id in an address: 1 to 18 digits, which PostgreSQL's bigint can hold."""

    regex = "[0-9]{1,18}"
    part_isolating = True

    def to_python(self, value: str) -> int:
        """Return the number."""
        return int(value)


class Problem(marshmallow.Schema):
    """An error as RFC 9457 shapes it; `code` is stable, `errors` names fields."""

    type = fields.String(required=True)
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True)
    code = fields.String(required=True)
    request_id = fields.String(required=True)
    errors = fields.Dict(keys=fields.String())


class Api(flask_smorest.Api):
    """The OpenAPI document; voucherpool.http.problems answers the errors."""

    ERROR_SCHEMA = Problem
    DEFAULT_ERROR_RESPONSE_NAME = None

    def _register_error_handlers(self) -> None:
        """Register none: flask-smorest's own have another shape."""

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
        return json.dumps(self.spec.to_dict(), separators=(",", ":"), sort_keys=False).encode()

    @cached_property
    def _etag(self) -> str:
        return hashlib.sha256(self._document).hexdigest()

    @requires(public)
    def _openapi_swagger_ui(self) -> Response:
        """Serve Swagger UI, and allow its own scripts."""
        page: str = super()._openapi_swagger_ui()
        policy = {"Content-Security-Policy": headers.policy_of_page(page)}
        return Response(page, headers=policy, mimetype="text/html")


class Blueprint(flask_smorest.Blueprint):
    """A group of routes that name their scopes and document their refusals."""

    ARGUMENTS_PARSER = Parser()

    def public(self, view: View) -> View:
        """Let everybody call the view."""
        documented: View = requires(public)(self.doc(security=[])(view))
        return documented

    def guarded(
        self, scope: str, *refusals: type[errors.VoucherPoolError]
    ) -> Callable[[View], View]:
        """Require the scope, retry lost races, and document the refusals besides the usual ones."""

        def decorate(view: View) -> View:
            writes = getattr(view, "takes_idempotency_key", False)
            repeats = (errors.IdempotencyKeyReused,) if writes else ()
            document = self.doc(
                security=[{"apiKey": [scope]}],
                responses=_responses(*always_possible, *repeats, *refusals),
                **({"parameters": [idempotency_key]} if writes else {}),
            )
            guarded: View = requires(scope)(document(retrying(view)))
            return guarded

        return decorate


refusal_headers = {
    status: {name: {"required": True, "schema": schema}}
    for status, name, schema in (
        (HTTPStatus.UNAUTHORIZED, "WWW-Authenticate", {"type": "string", "pattern": "^Bearer "}),
        (HTTPStatus.TOO_MANY_REQUESTS, "Retry-After", {"type": "integer", "minimum": 0}),
        (HTTPStatus.SERVICE_UNAVAILABLE, "Retry-After", {"type": "integer", "minimum": 0}),
    )
}
"""The headers of a refusal, by its status."""


def _responses(*refusals: type[errors.VoucherPoolError]) -> dict[str, object]:
    responses: dict[str, Any] = {}
    for refusal in refusals:
        response = responses.setdefault(
            str(refusal.status.value),
            {
                "description": refusal.status.phrase,
                "headers": refusal_headers.get(refusal.status, {}),
                "content": {
                    problems.media_type: {
                        "schema": {"$ref": "#/components/schemas/Problem"},
                        "examples": {},
                    }
                },
            },
        )
        response["content"][problems.media_type]["examples"][refusal.code()] = {
            "summary": refusal.detail,
            "value": {
                "type": "about:blank",
                "title": refusal.status.phrase,
                "status": refusal.status.value,
                "detail": refusal.detail,
                "code": refusal.code(),
                "request_id": "5b1ee9c8a9d84f7c",
            },
        }
    return responses


def init_app(app: Flask) -> Api:
    """Serve the document and its page, with the page's assets from this process."""
    app.config.update(
        API_TITLE="voucherpool",
        API_VERSION="1",
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/",
        OPENAPI_SWAGGER_UI_PATH="docs",
        OPENAPI_SWAGGER_UI_URL="/docs/assets/",
        API_SPEC_OPTIONS={
            "info": {"description": "Issues, checks and redeems discount vouchers."},
            "components": {"securitySchemes": {"apiKey": {"type": "http", "scheme": "bearer"}}},
        },
    )
    app.url_map.converters["id"] = IdConverter
    api = Api(app)
    api.register_field(Amount, "number", None)
    api.register_field(Cursor, "string", None)
    api.register_converter(
        IdConverter, lambda converter: {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}
    )
    assets = _swagger_ui_assets()

    @app.get("/docs/assets/<path:name>")
    @requires(public)
    def docs_asset(name: str) -> Response:
        """Serve a file of Swagger UI."""
        return send_from_directory(assets, name, max_age=86400)

    return api


def _swagger_ui_assets() -> Path:
    # Do not import the package: its own blueprint is not needed.
    spec = importlib.util.find_spec("flask_swagger_ui")
    if spec is None or spec.origin is None:
        raise RuntimeError("flask-swagger-ui is not installed: run `make run` again")
    return Path(spec.origin).parent / "dist"

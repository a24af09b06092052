"""The API's documentation: OpenAPI 3.1 at /openapi.json and a page to try it at /docs."""

import hashlib
import importlib.util
from collections.abc import Callable
from functools import cached_property, wraps
from pathlib import Path
from typing import Any, TypeVar

import flask_smorest
import marshmallow
from flask import Flask, Response, json, jsonify, make_response, request, send_from_directory
from werkzeug.routing import BaseConverter

from voucherpool import errors
from voucherpool.database.retries import retrying
from voucherpool.http import headers, parsing, problems
from voucherpool.http.authentication import public, requires
from voucherpool.http.idempotency import acceptable
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


class Api(flask_smorest.Api):
    """The OpenAPI document; voucherpool.http.problems answers the errors."""

    ERROR_SCHEMA = problems.Problem
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

    def doc(self, **documented: Any) -> Callable[[View], View]:
        """Document the view as given."""
        return _documenting(super().doc(**documented))

    def arguments(
        self, schema: marshmallow.Schema, *, location: str = "json", **documented: Any
    ) -> Callable[[Callable[..., Response]], Callable[..., Response]]:
        """Pass the view what the schema reads from the body or the query."""
        document = _documenting(super().arguments(schema, location=location, **documented))

        def decorate(view: Callable[..., Response]) -> Callable[..., Response]:
            @wraps(view)
            def run(**of_path: object) -> Response:
                return view(parsing.load(schema, location), **of_path)

            return document(run)

        return decorate

    def response(
        self, status: int, schema: Any = None, **documented: Any
    ) -> Callable[[Callable[..., object]], Callable[..., Response]]:
        """Answer what the view returns, written by the schema.

        The view may return a pair with another status or with headers, as in Flask, or a Response.
        """
        document = _documenting(super().response(status, schema, **documented))

        def decorate(view: Callable[..., object]) -> Callable[..., Response]:
            @wraps(view)
            def run(*args: object, **kwargs: object) -> Response:
                value = view(*args, **kwargs)
                return value if isinstance(value, Response) else _answer(value, status, schema)

            return document(run)

        return decorate

    def public(
        self, *refusals: type[errors.VoucherPoolError]
    ) -> Callable[[Callable[..., Response]], Callable[..., Response]]:
        """Let everybody call the view, and document its refusals."""

        def decorate(view: Callable[..., Response]) -> Callable[..., Response]:
            document = self.doc(security=[], responses=problems.documented(*refusals))
            return requires(public)(document(retrying(view)))

        return decorate

    def guarded(
        self, scope: str, *refusals: type[errors.VoucherPoolError]
    ) -> Callable[[Callable[..., Response]], Callable[..., Response]]:
        """Require the scope, retry lost races, and document the refusals besides the usual ones."""

        def decorate(view: Callable[..., Response]) -> Callable[..., Response]:
            writes = getattr(view, "takes_idempotency_key", False)
            repeats = (errors.IdempotencyKeyReused,) if writes else ()
            document = self.doc(
                security=[{"apiKey": [scope]}],
                responses=problems.documented(*always_possible, *repeats, *refusals),
                **({"parameters": [idempotency_key]} if writes else {}),
            )
            return requires(scope)(document(retrying(view)))

        return decorate


def _documenting(decorate: Callable[[Callable[..., Any]], Any]) -> Callable[[View], View]:
    """Return a decorator that documents like flask-smorest's, and runs nothing around the view."""

    def document(view: View) -> View:
        view._apidoc = decorate(view)._apidoc  # type: ignore[attr-defined]
        return view

    return document


def _answer(result: object, status: int, schema: marshmallow.Schema | None) -> Response:
    value, *others = result if type(result) is tuple else (result,)
    response = jsonify(schema.dump(value) if schema else value)
    response.status_code = status
    return make_response((response, *others)) if others else response


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

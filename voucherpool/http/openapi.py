"""The API's documentation: OpenAPI 3.1 at /openapi.json and a page to try it at /docs."""

import hashlib
import importlib.util
from functools import cached_property
from pathlib import Path

import flask_smorest
from flask import Flask, Response, json, request, send_from_directory
from werkzeug.routing import BaseConverter

from voucherpool.http import headers, problems
from voucherpool.http.authentication import public, requires
from voucherpool.input.fields import Amount, Cursor


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

"""The OpenAPI 3.1 document at /openapi.json."""

import hashlib
from functools import cache
from importlib.metadata import metadata
from types import SimpleNamespace
from typing import Any, cast

import marshmallow
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.field_converter import FieldConverterMixin
from flask import Flask, Response, json, request
from werkzeug.routing import Rule

from voucherpool import errors
from voucherpool.apikeys import service as apikeys
from voucherpool.http import problems
from voucherpool.http.authentication import open_to_all
from voucherpool.http.documentation import examples, operations
from voucherpool.http.routes import Blueprint, Route
from voucherpool.input import formats
from voucherpool.input.amounts import Amount, AmountShown
from voucherpool.input.fields import Cursor, Field, open_enum
from voucherpool.input.schemas import Query, Request, null_is_absent
from voucherpool.input.times import Moment

description = """\
Issues, hands out, checks and redeems discount vouchers.

Amounts are in major units: 19.99 is nineteen euros and 99 cents. Times are RFC 3339 with an offset.
Errors are problem+json (RFC 9457); their `code` never changes. Fields, codes and routes are added,
never renamed or removed. A repeat of a POST with the same `Idempotency-Key` changes nothing."""


types = {Amount: "number", AmountShown: "number", Cursor: "string", Moment: "string"}
nulls: dict[str, object] = {"enum": None, "oneOf": {"type": "null"}}
"""What lets null into the lists of a field's schema."""


def init_app(app: Flask) -> None:
    """Serve the document of the app's routes."""

    @cache
    def document() -> bytes:
        illustrated = examples.illustrated(document_of(app))
        return json.dumps(illustrated, separators=(",", ":"), sort_keys=False).encode()

    @app.get("/openapi.json")
    @open_to_all
    def openapi() -> Response:
        """Serve the OpenAPI document with an ETag; caches must revalidate it."""
        response = Response(document(), mimetype="application/json")
        response.cache_control.no_cache = True
        response.set_etag(hashlib.sha256(document()).hexdigest())
        response.make_conditional(request)
        return response


def document_of(app: Flask) -> dict[str, Any]:
    """Return the OpenAPI document of an application's routes."""
    package = metadata("voucherpool")
    schemas: Any = MarshmallowPlugin()
    spec = APISpec(
        title="voucherpool",
        version=package["Version"],
        openapi_version="3.1.0",
        plugins=[schemas],
        info={
            "description": description,
            "contact": {"name": "The operators of this service"},
            "license": {"name": package["License"], "identifier": package["License"]},
        },
        servers=[{"url": "/", "description": "This service"}],
    )
    for field, type_ in types.items():
        schemas.map_to_openapi_type(field, type_, None)
    for more in (_number_or_text, _null_if_absent):
        schemas.converter.add_attribute_function(more)
    api_key = {"type": "http", "scheme": "bearer", "description": _scopes()}
    spec.components.security_scheme("apiKey", api_key)
    spec.components.schema("Problem", schema=problems.Problem)
    webhooks: dict[str, Any] = {}
    for rule in app.url_map.iter_rules():
        route = app.view_functions[rule.endpoint]
        if isinstance(route, Route):
            _add(spec, rule, route)
    for blueprint in app.blueprints.values():
        if isinstance(blueprint, Blueprint):
            spec.tag({"name": blueprint.name, "description": blueprint.description})
            sent = {type_: _sent(type_, schema) for type_, schema in blueprint.payloads.items()}
            for item in sent.values():
                schemas.resolver.resolve_operations(item)
            webhooks |= sent
    described = {**spec.to_dict(), **({"webhooks": webhooks} if webhooks else {})}
    problem = described["components"]["schemas"]["Problem"]["properties"]
    problem["code"] = open_enum(sorted({*errors.codes(), *problems.codes_of_http}))
    return described


def _sent(type_: str, schema: marshmallow.Schema) -> dict[str, Any]:
    """Return what the service sends to webhooks for a type of events."""
    content = {"application/json": {"schema": schema}}
    answered = {"2XX": {"description": "Your endpoint took the event."}}
    return {
        "post": {
            "summary": f"The event {type_}.",
            "requestBody": {"required": True, "content": content},
            "responses": answered,
        }
    }


def _add(spec: APISpec, rule: Rule, route: Route) -> None:
    """Add an operation to the document."""
    [method] = (rule.methods or set()) - {"HEAD", "OPTIONS"}
    operation = operations.operation_of(rule, route)
    spec.path(operations.path_of(rule), operations={method.lower(): operation})


def _number_or_text(_: object, field: object, ret: dict[str, Any], **__: object) -> dict[str, Any]:
    """Return what apispec does not know of an amount: that it may be a decimal string."""
    if not isinstance(field, Amount):
        return {}
    null = ["null"] if "null" in ret["type"] else []
    return {"type": ["number", "string", *null], "pattern": formats.decimal.pattern}


def _null_if_absent(
    converter: FieldConverterMixin, field: Field, ret: dict[str, Any]
) -> dict[str, Any]:
    """Return what apispec does not know of an optional field of a body: that it may be null."""
    is_in_body = isinstance(field.parent, Request) and not isinstance(field.parent, Query)
    if not (is_in_body and null_is_absent(field)):
        return {}
    more = {name: [*ret[name], null] for name, null in nulls.items() if name in ret}
    return more | converter.field2nullable(cast(Field, SimpleNamespace(allow_none=True)), ret=ret)


def _scopes() -> str:
    """Return the text of the page's Authorize dialog."""
    rights = "\n".join(f"- `{scope}`: {right}" for scope, right in apikeys.scopes.items())
    return (
        "An API key, such as `vp_…`. `voucherpool apikeys create NAME --scope SCOPE` makes one and "
        f"shows it once. Its scopes say what it may do:\n\n{rights}"
    )

"""The operations of the OpenAPI document: what each route takes, answers and refuses."""

import inspect
import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from werkzeug.routing import Rule

from voucherpool.apikeys.errors import ApiKeyInvalid, ApiKeyRequired, ScopeMissing
from voucherpool.database.errors import DatabaseUnavailable, OutcomeUnknown
from voucherpool.http import problems
from voucherpool.http.authentication import acceptable_actor
from voucherpool.http.errors import (
    BodyTooLarge,
    IdempotencyKeyReused,
    MalformedBody,
    UnsupportedMediaType,
)
from voucherpool.http.idempotency.keys import acceptable
from voucherpool.http.routes import Route, public
from voucherpool.input.errors import InvalidInput, MalformedJson

Documented = dict[str, Any]

always_possible = (
    MalformedJson,
    MalformedBody,
    ApiKeyRequired,
    ApiKeyInvalid,
    ScopeMissing,
    BodyTooLarge,
    UnsupportedMediaType,
    InvalidInput,
    DatabaseUnavailable,
    OutcomeUnknown,
)

idempotency_key = {
    "in": "header",
    "name": "Idempotency-Key",
    "description": "A repeat with the same key changes nothing and gets the first answer.",
    "schema": {"type": "string", "pattern": f"^(?:{acceptable.pattern})$"},
}

actor = {
    "in": "header",
    "name": "Voucherpool-Actor",
    "description": "The person for whom you send this, by a name of yours, for the audit log.",
    "schema": {"type": "string", "pattern": f"^(?:{acceptable_actor.pattern})$"},
}

location = {"Location": {"schema": {"type": "string"}, "description": "The batch's address."}}

in_path = re.compile("<([a-z]+):([a-z_]+)>")
of_converter = {
    "id": {"type": "integer", "minimum": 0, "maximum": 10**18 - 1},
    "uuid": {"type": "string", "format": "uuid"},
    "string": {"type": "string", "minLength": 1},
}
"""The values of a part of a path, by its converter."""


def path_of(rule: Rule) -> str:
    """Return a rule's path as OpenAPI writes it."""
    return in_path.sub(r"{\2}", rule.rule)


def operation_of(rule: Rule, route: Route) -> Documented:
    """Return the operation of a route; its id is `redeemVoucher` for `redeem_voucher`."""
    first, *words = route.endpoint.split("_")
    summary, _, more = (inspect.getdoc(route.view) or "").partition("\n\n")
    is_public = route.scope == public
    scopes = [scope for scope in (route.scope, route.or_scope) if scope is not None]
    named = " or ".join(f"`{scope}`" for scope in scopes)
    needed = "no API key" if is_public else f"an API key with the scope {named}"
    operation = {
        "tags": [rule.endpoint.partition(".")[0]],
        "summary": summary,
        "description": "\n\n".join(filter(None, (more, f"Needs {needed}."))),
        "operationId": first + "".join(map(str.title, words)),
        "security": [] if is_public else [{"apiKey": [scope]} for scope in scopes],
        "parameters": list(_parameters(rule, route)),
        "responses": _responses(route),
    }
    if route.body is not None:
        content = {"application/json": {"schema": route.body}}
        operation["requestBody"] = {"required": not route.body_is_optional, "content": content}
    documented = dict(route.documented or {})
    operation["responses"] |= documented.pop("responses", {})
    return operation | documented


def _parameters(rule: Rule, route: Route) -> Iterator[Documented]:
    for converter, name in in_path.findall(rule.rule):
        schema = of_converter[converter]
        yield {"in": "path", "name": name, "required": True, "schema": schema}
    if route.query is not None:
        yield {"in": "query", "schema": route.query}
    if route.writes and route.scope != public:
        yield idempotency_key
        yield actor


def _responses(route: Route) -> Documented:
    status, schema = route.answer
    answer: Documented = {"description": HTTPStatus(status).phrase}
    if schema is not None:
        answer["content"] = {"application/json": {"schema": schema}}
    headers = dict(route.headers or {}) | ({} if route.created is None else location)
    if headers:
        answer["headers"] = headers
    if route.scope == public:
        return {str(status): answer, **problems.documented(*route.refuses)}
    repeats = (IdempotencyKeyReused,) if route.writes else ()
    refusals = (*always_possible, *repeats, *route.refuses)
    return {str(status): answer, **problems.documented(*refusals)}

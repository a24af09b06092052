"""The one place where an error becomes a response: problem+json (RFC 9457)."""

import logging
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import marshmallow
from flask import Flask, Response, current_app, make_response
from marshmallow import fields
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from voucherpool.database.errors import DatabaseUnavailable
from voucherpool.errors import VoucherPoolError
from voucherpool.http.bodies import current_request
from voucherpool.observability import logs, metrics
from voucherpool.readiness.obstacles import Readiness

log = logging.getLogger(__name__)

media_type = "application/problem+json"
codes_of_http = ("bad_request", "internal_server_error", "method_not_allowed", "not_found")
"""The codes of errors that Flask and Werkzeug raise."""
nowhere = "Nothing is at this path"
described = f"{nowhere}: /docs shows all routes, and /openapi.json describes them."


class Problem(marshmallow.Schema):
    """An error as RFC 9457 shapes it; `code` is stable, `errors` names fields."""

    type = fields.String(required=True)
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True)
    code = fields.String(required=True)
    request_id = fields.String(required=True)
    errors = fields.Dict(
        keys=fields.String(),
        metadata={
            "description": "The reasons by field: a list of texts. A nested object has them by its"
            " own fields instead, a list of values by the places of its wrong items, from 0 on."
        },
    )


def init_app(app: Flask) -> None:
    """Answer every error of the app as problem+json."""
    app.register_error_handler(VoucherPoolError, _answer)
    app.register_error_handler(HTTPException, _answer_http)
    app.register_error_handler(DBAPIError, _answer_database)
    for unreachable in (OperationalError, InterfaceError, PoolTimeout):
        app.register_error_handler(unreachable, _answer_unreachable)


def _answer(error: VoucherPoolError) -> Response:
    """Return the problem+json response of an error (RFC 9457)."""
    return _problem(error.status, error.code(), error.detail, error.errors, error.headers)


def _answer_http(error: HTTPException) -> Response:
    status = HTTPStatus(error.code or 500)
    code = re.sub(r"[^a-z]+", "_", status.phrase.lower()).strip("_")
    kept = {"Allow", "Location", "Retry-After"}
    headers = {name: value for name, value in error.get_headers() if name in kept}
    detail = error.description
    if status == HTTPStatus.NOT_FOUND:
        detail = described if current_app.config["DOCS"] else f"{nowhere}."
    return _problem(status, code, detail or status.description, None, headers)


def _answer_database(error: DBAPIError) -> Response:
    if error.connection_invalidated:
        return _answer_unreachable(error)
    readiness: Readiness = current_app.extensions["readiness"]
    if readiness.obstacle():
        return _answer(DatabaseUnavailable("The database is not ready: try again."))
    raise error


def _answer_unreachable(error: Exception) -> Response:
    if getattr(error, "statement", "") is not None:  # else nothing was sent: no connection was made
        sqlstate = getattr(getattr(error, "orig", None), "pgcode", None)
        log.warning("database unavailable: %s, SQLSTATE %s", type(error).__name__, sqlstate)
    return _answer(DatabaseUnavailable())


def _problem(
    status: HTTPStatus,
    code: str,
    detail: str,
    errors: Mapping[str, object] | None,
    headers: Mapping[str, str],
) -> Response:
    metrics.refused(code)
    current_request().refusal = code
    body: dict[str, object] = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "code": code,
        "request_id": logs.request_id.get(),
    }
    if errors:
        body["errors"] = dict(errors)
    response = make_response(body, status.value)
    response.headers.extend(headers)
    response.mimetype = media_type
    return response


refusal_headers = {
    status: {name: {"required": True, "schema": schema}}
    for status, name, schema in (
        (HTTPStatus.UNAUTHORIZED, "WWW-Authenticate", {"type": "string", "pattern": "^Bearer "}),
        (HTTPStatus.TOO_MANY_REQUESTS, "Retry-After", {"type": "integer", "minimum": 0}),
        (HTTPStatus.SERVICE_UNAVAILABLE, "Retry-After", {"type": "integer", "minimum": 0}),
    )
}
"""The headers of a refusal, by its status."""


def documented(*refusals: type[VoucherPoolError]) -> dict[str, object]:
    """Return the responses of the OpenAPI document for the refusals."""
    responses: dict[str, Any] = {}
    for refusal in refusals:
        response = responses.setdefault(
            str(refusal.status.value),
            {
                "description": refusal.status.phrase,
                "headers": refusal_headers.get(refusal.status, {}),
                "content": {
                    media_type: {
                        "schema": {"$ref": "#/components/schemas/Problem"},
                        "examples": {},
                    }
                },
            },
        )
        response["content"][media_type]["examples"][refusal.code()] = {
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

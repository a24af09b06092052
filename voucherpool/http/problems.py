"""The one place where an error becomes a response: problem+json (RFC 9457)."""

import logging
import re
from collections.abc import Mapping
from http import HTTPStatus

from flask import Flask, Response, g, make_response
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from voucherpool.errors import DatabaseUnavailable, VoucherPoolError
from voucherpool.observability import metrics

log = logging.getLogger(__name__)

media_type = "application/problem+json"


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
    return _problem(status, code, error.description or status.description, None, headers)


def _answer_database(error: DBAPIError) -> Response:
    if error.connection_invalidated:
        return _answer_unreachable(error)
    raise error


def _answer_unreachable(error: Exception) -> Response:
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
    body = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "code": code,
        "request_id": g.get("request_id"),
    }
    if errors:
        body["errors"] = dict(errors)
    response = make_response(body, status.value)
    response.headers.extend(headers)
    response.mimetype = media_type
    return response

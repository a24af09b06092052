"""Everything voucherpool can say no to, and the one place where a no becomes a response.

VoucherPoolError
├── InvalidInput                422  validation_failed
├── MalformedJson               400  malformed_json
├── UnsupportedMediaType        415  unsupported_media_type
├── ApiKeyRequired              401  api_key_required
├── ApiKeyInvalid               401  api_key_invalid
├── ScopeMissing                403  scope_missing
├── CustomerNotFound            404  customer_not_found
├── VoucherNotFound             404  voucher_not_found
├── VoucherAlreadyRedeemed      409  voucher_already_redeemed
├── RedemptionLimitReached      409  redemption_limit_reached
├── ApiKeyExists                409  api_key_exists
├── ApiKeyNotFound              404  api_key_not_found
├── VoucherExpired              410  voucher_expired
└── DatabaseUnavailable         503  database_unavailable
"""

import logging
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar

from flask import Flask, Response, g, make_response
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

log = logging.getLogger(__name__)

type_of_problem = "application/problem+json"
retry_after_seconds = 2


class VoucherPoolError(Exception):
    """A request that cannot be carried out, for a reason that its sender should know."""

    status: ClassVar[HTTPStatus]
    detail: str
    errors: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = {}

    def __init__(self, detail: str | None = None) -> None:
        self.detail = detail or type(self).detail
        super().__init__(self.detail)

    @classmethod
    def code(cls) -> str:
        """Return the stable name of the error: its class's name in snake case."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()


class InvalidInput(VoucherPoolError):
    """A field is missing, unknown or holds a value that it cannot hold."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    detail = "Some fields are not valid; `errors` names each of them and says why."

    def __init__(self, errors: Mapping[str, Any]) -> None:
        super().__init__()
        self.errors = errors

    @classmethod
    def code(cls) -> str:
        return "validation_failed"


class MalformedJson(VoucherPoolError):
    """The body is not JSON, or not JSON that every parser reads alike (RFC 7493)."""

    status = HTTPStatus.BAD_REQUEST
    detail = "The body is not well-formed JSON in UTF-8."

    def __init__(self, detail: str | None = None, errors: Mapping[str, Any] | None = None) -> None:
        super().__init__(detail)
        self.errors = errors


class UnsupportedMediaType(VoucherPoolError):
    """The body is of a kind that cannot be read as JSON."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    detail = "The body must be plain JSON: send it as application/json, not encoded."


class ApiKeyRequired(VoucherPoolError):
    """The request carries no API key."""

    status = HTTPStatus.UNAUTHORIZED
    detail = "Send an API key in the header `Authorization: Bearer vp_…`."
    headers: Mapping[str, str] = {"WWW-Authenticate": 'Bearer realm="voucherpool"'}


class ApiKeyInvalid(VoucherPoolError):
    """The API key is misspelt, unknown or revoked."""

    status = HTTPStatus.UNAUTHORIZED
    detail = "The API key is not valid: it is misspelt, unknown or revoked."
    headers: Mapping[str, str] = {
        "WWW-Authenticate": 'Bearer realm="voucherpool", error="invalid_token"'
    }


class ScopeMissing(VoucherPoolError):
    """The API key may not do this."""

    status = HTTPStatus.FORBIDDEN
    detail = "The API key lacks the scope that this route needs."


class CustomerNotFound(VoucherPoolError):
    """No customer has this e-mail."""

    status = HTTPStatus.NOT_FOUND
    detail = "No customer has this e-mail."


class VoucherNotFound(VoucherPoolError):
    """No voucher of this customer has this code."""

    status = HTTPStatus.NOT_FOUND
    detail = "This customer has no voucher with this code."


class VoucherAlreadyRedeemed(VoucherPoolError):
    """The single use of the voucher was taken before."""

    status = HTTPStatus.CONFLICT
    detail = "This voucher was redeemed before."


class RedemptionLimitReached(VoucherPoolError):
    """All uses of the voucher were taken before."""

    status = HTTPStatus.CONFLICT
    detail = "This voucher was redeemed as often as it may be."


class ApiKeyExists(VoucherPoolError):
    """Another API key has this name."""

    status = HTTPStatus.CONFLICT
    detail = "An API key of this name exists: choose another name, or revoke that key."


class ApiKeyNotFound(VoucherPoolError):
    """No API key that is not revoked has this name."""

    status = HTTPStatus.NOT_FOUND
    detail = "No active API key has this name: `voucherpool apikeys list` shows all of them."


class VoucherExpired(VoucherPoolError):
    """The voucher's time is over."""

    status = HTTPStatus.GONE
    detail = "This voucher has expired."


class DatabaseUnavailable(VoucherPoolError):
    """The database could not be reached, or did not answer in time."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    detail = "The database does not answer at the moment: try again."
    headers: Mapping[str, str] = {"Retry-After": str(retry_after_seconds)}


def init_app(app: Flask) -> None:
    """Answer every error of the app in one shape."""
    app.register_error_handler(VoucherPoolError, answer)
    app.register_error_handler(HTTPException, _answer_http)
    for unreachable in (OperationalError, InterfaceError, PoolTimeout):
        app.register_error_handler(unreachable, _answer_unreachable)


def answer(error: VoucherPoolError) -> Response:
    """Return the problem+json response of an error (RFC 9457)."""
    return _problem(error.status, error.code(), error.detail, error.errors, error.headers)


def _answer_http(error: HTTPException) -> Response:
    status = HTTPStatus(error.code or 500)
    code = re.sub(r"[^a-z]+", "_", status.phrase.lower()).strip("_")
    kept = {"Allow", "Location", "Retry-After"}
    headers = {name: value for name, value in error.get_headers() if name in kept}
    return _problem(status, code, error.description or status.description, None, headers)


def _answer_unreachable(error: Exception) -> Response:
    log.warning("database unavailable: %s", type(error).__name__, exc_info=error)
    return answer(DatabaseUnavailable())


def _problem(
    status: HTTPStatus,
    code: str,
    detail: str,
    errors: Mapping[str, Any] | None,
    headers: Mapping[str, str],
) -> Response:
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
    response.mimetype = type_of_problem
    return response

"""The errors of API keys and failed attempts."""

from collections.abc import Mapping
from http import HTTPStatus
from math import ceil

from voucherpool.errors import Conflict, NotFound, VoucherPoolError


class ApiKeyRequired(VoucherPoolError, status=HTTPStatus.UNAUTHORIZED):
    detail = "Send an API key in the header `Authorization: Bearer vp_…`."
    headers: Mapping[str, str] = {"WWW-Authenticate": 'Bearer realm="voucherpool"'}


class ApiKeyInvalid(VoucherPoolError, status=HTTPStatus.UNAUTHORIZED):
    detail = "The API key is not valid: it is misspelt, unknown or revoked."
    headers: Mapping[str, str] = {
        "WWW-Authenticate": 'Bearer realm="voucherpool", error="invalid_token"'
    }


class ScopeMissing(VoucherPoolError, status=HTTPStatus.FORBIDDEN):
    detail = "The API key lacks the scope that this route needs."


class ApiKeyNotFound(NotFound):
    detail = "No active API key has this name: `voucherpool apikeys list` shows all of them."


class ApiKeyExists(Conflict):
    detail = "An API key of this name exists or was revoked: choose another name."


class TooManyFailedAttempts(VoucherPoolError, status=HTTPStatus.TOO_MANY_REQUESTS):
    detail = "Too many failed attempts: try again after the seconds in Retry-After."

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.headers = {"Retry-After": str(ceil(seconds))}

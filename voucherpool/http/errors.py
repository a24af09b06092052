"""The errors of the HTTP edge."""

from http import HTTPStatus

from voucherpool.errors import Unprocessable, VoucherPoolError


class MalformedBody(VoucherPoolError, status=HTTPStatus.BAD_REQUEST):
    detail = "The body is cut off or badly framed: send it whole."


class BodyTooLarge(VoucherPoolError, status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE):
    detail = "The body may have at most 1 MiB."


class UnsupportedMediaType(VoucherPoolError, status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE):
    detail = "The body must be JSON: send it as application/json, without a Content-Encoding."


class IdempotencyKeyReused(Unprocessable):
    detail = "This Idempotency-Key belongs to another request: use a new key for each request."

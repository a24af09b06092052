"""The errors of the database."""

from collections.abc import Mapping
from http import HTTPStatus

from voucherpool.errors import VoucherPoolError


class DatabaseUnavailable(VoucherPoolError, status=HTTPStatus.SERVICE_UNAVAILABLE):
    detail = "The database does not answer: try again."
    headers: Mapping[str, str] = {"Retry-After": "2"}


class OutcomeUnknown(DatabaseUnavailable):
    detail = (
        "The connection to the database broke during the commit, so the result is unknown."
        " Check whether the change was made before you repeat it."
    )

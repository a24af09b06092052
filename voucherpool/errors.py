"""Everything voucherpool can say no to; voucherpool.http.problems makes a response of it."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from math import ceil
from typing import Any, ClassVar


class VoucherPoolError(Exception):
    """A refusal; `detail` is what the reader is told, unless the raiser knows better."""

    detail: str
    status: ClassVar[HTTPStatus]
    headers: Mapping[str, str] = {}

    def __init_subclass__(cls, *, status: HTTPStatus | None = None) -> None:
        cls.status = status or cls.status

    def __init__(self, detail: str | None = None, errors: Mapping[str, Any] | None = None) -> None:
        self.detail = detail or self.detail
        self.errors = errors
        super().__init__(self.detail)

    @classmethod
    def code(cls) -> str:
        """Return the stable name of the error: its class's name in snake case."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()


class NotFound(VoucherPoolError, status=HTTPStatus.NOT_FOUND):
    detail = "There is no such thing."


class Conflict(VoucherPoolError, status=HTTPStatus.CONFLICT):
    detail = "The present state does not allow it."


class Unprocessable(VoucherPoolError, status=HTTPStatus.UNPROCESSABLE_ENTITY):
    detail = "The request is well-formed, and still makes no sense."


class MalformedJson(VoucherPoolError, status=HTTPStatus.BAD_REQUEST):
    detail = "The body is not well-formed JSON in UTF-8."


class MalformedBody(VoucherPoolError, status=HTTPStatus.BAD_REQUEST):
    detail = "The body is cut off or badly framed: send it whole."


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


class CustomerNotFound(NotFound):
    detail = "No customer has this e-mail or id."


class OfferNotFound(NotFound):
    detail = "No offer has this id or name."


class VoucherNotFound(NotFound):
    detail = "This customer has no voucher with this code."


class RedemptionNotFound(NotFound):
    detail = "No redemption has this id or order_ref."


class BatchNotFound(NotFound):
    detail = "No batch has this id."


class ApiKeyNotFound(NotFound):
    detail = "No active API key has this name: `voucherpool apikeys list` shows all of them."


class CustomerExists(Conflict):
    detail = "A customer with this e-mail exists."


class OfferExists(Conflict):
    detail = "An offer with this name exists."


class OfferNotPercentage(Conflict):
    detail = "This offer gives a fixed amount; generate only makes and changes percentages."


class VoucherExists(Conflict):
    detail = "A voucher with this code exists, in this or another spelling."


class ApiKeyExists(Conflict):
    detail = "An API key of this name exists, be it active or revoked: choose another name."


class VoucherAlreadyRedeemed(Conflict):
    detail = "This voucher was redeemed before."


class RedemptionLimitReached(Conflict):
    detail = "This voucher was redeemed as often as it may be."


class CustomerLimitReached(Conflict):
    detail = "This customer has redeemed vouchers of this offer as often as one customer may."


class VoucherHeld(Conflict):
    detail = "Others hold this voucher at the moment: try again later."


class VoucherDisabled(Conflict):
    detail = "This voucher is disabled."


class OfferNotActive(Conflict):
    detail = "The offer of this voucher has not begun or is over."


class PoolEmpty(Conflict):
    detail = "No voucher of this offer is left to claim."


class ClaimMismatch(Conflict):
    detail = "This claim_ref claimed a voucher of the offer before, for another customer."


class OrderMismatch(Conflict):
    detail = "This order redeemed the voucher before, for another customer or amount."


class VoucherArchived(Conflict):
    detail = "This voucher is archived: it can be looked up, and nothing changes it any more."


class RedemptionReversed(Conflict):
    detail = "This order redeemed the voucher and gave it back: use another order_ref."


class VoucherExpired(VoucherPoolError, status=HTTPStatus.GONE):
    detail = "This voucher has expired."


class BodyTooLarge(VoucherPoolError, status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE):
    detail = "The body may have at most 1 MiB."


class UnsupportedMediaType(VoucherPoolError, status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE):
    detail = "The body must be plain JSON: send it as application/json, not encoded."


class InvalidInput(Unprocessable):
    detail = "Some fields are not valid; `errors` names each of them and says why."

    def __init__(self, errors: Mapping[str, Any]) -> None:
        super().__init__(errors=errors)

    @classmethod
    def code(cls) -> str:
        """Return the stable name of the error."""
        return "validation_failed"


class OrderBelowMinimum(Unprocessable):
    detail = "The offer asks for a larger order, or order_amount is missing."


class IdempotencyKeyReused(Unprocessable):
    detail = "This Idempotency-Key stands for another request: make a new key for each."


class TooManyFailedAttempts(VoucherPoolError, status=HTTPStatus.TOO_MANY_REQUESTS):
    detail = "Too many codes were guessed wrong: wait for the seconds that Retry-After names."

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.headers = {"Retry-After": str(ceil(seconds))}


class DatabaseUnavailable(VoucherPoolError, status=HTTPStatus.SERVICE_UNAVAILABLE):
    detail = "The database does not answer at the moment: try again."
    headers: Mapping[str, str] = {"Retry-After": "2"}


class OutcomeUnknown(DatabaseUnavailable):
    detail = "The database was lost at the commit: see whether it took effect before you try again."

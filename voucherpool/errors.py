"""The base of all errors, and most of them; voucherpool.http.problems turns them into responses."""

import re
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from math import ceil
from typing import ClassVar

Reasons = Mapping[str, "Sequence[str] | Reasons"]
"""The reasons why fields are wrong, by field; for a nested object, by its own fields."""


class CannotStart(Exception):
    """The process must not start; the text says why and what to do."""


class ConfigurationError(CannotStart):
    """An environment variable is missing or has a wrong value."""

    def __init__(self, variable: str, expected: str) -> None:
        super().__init__(f"{variable} must be {expected}.")


class VoucherPoolError(Exception):
    """An error for the caller; `detail` is its text, which the raiser may replace."""

    detail: str
    status: ClassVar[HTTPStatus]
    headers: Mapping[str, str] = {}

    def __init_subclass__(cls, *, status: HTTPStatus | None = None) -> None:
        cls.status = status or cls.status

    def __init__(self, detail: str | None = None, errors: Reasons | None = None) -> None:
        self.detail = detail or self.detail
        self.errors = errors
        super().__init__(self.detail)

    @classmethod
    def code(cls) -> str:
        """Return the stable name of the error: its class's name in snake case."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()


def codes(base: type[VoucherPoolError] = VoucherPoolError) -> Iterator[str]:
    """Yield the code of every error that a module of this process has declared."""
    for error in base.__subclasses__():
        yield error.code()
        yield from codes(error)


class NotFound(VoucherPoolError, status=HTTPStatus.NOT_FOUND):
    detail = "It does not exist."


class Conflict(VoucherPoolError, status=HTTPStatus.CONFLICT):
    detail = "The current state does not allow this."


class Unprocessable(VoucherPoolError, status=HTTPStatus.UNPROCESSABLE_ENTITY):
    detail = "The request is well-formed but not valid."


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


class ScheduleNotFound(NotFound):
    detail = "No schedule has this id."


class WebhookNotFound(NotFound):
    detail = "No webhook has this id."


class LinkNotFound(NotFound):
    detail = "This link is incomplete."


class ApiKeyNotFound(NotFound):
    detail = "No active API key has this name: `voucherpool apikeys list` shows all of them."


class BatchFinished(Conflict):
    detail = "This batch is finished: there is nothing left to cancel."


class CustomerExists(Conflict):
    detail = "A customer with this e-mail exists."


class OfferExists(Conflict):
    detail = "An offer with this name exists."


class OfferNameSimilar(Conflict):
    detail = (
        "An offer has a name that differs only in case or blanks."
        ' Use it, or send "allow_similar_name": true.'
    )


class ScheduleExists(Conflict):
    detail = "A schedule with this name exists."


class OfferDiscountDiffers(Conflict):
    detail = (
        "The offer's discount is locked and differs from the one you sent."
        " Omit `discount`, or change the offer."
    )


class CurrencyMismatch(Conflict):
    detail = "The order is in another currency than the voucher's offer."


class OfferNotPercentage(Conflict):
    detail = "This offer gives a fixed amount; generate can only set percentages."


class VoucherExists(Conflict):
    detail = "A voucher with this code exists, in this or another spelling."


class ApiKeyExists(Conflict):
    detail = "An API key of this name exists or was revoked: choose another name."


class VoucherAlreadyRedeemed(Conflict):
    detail = "This voucher has already been redeemed."


class RedemptionLimitReached(Conflict):
    detail = "This voucher has reached its limit of redemptions."


class CustomerLimitReached(Conflict):
    detail = "This customer has reached the offer's limit of redemptions per customer."


class OfferBudgetExhausted(Conflict):
    detail = "The budget of this voucher's offer is used up, or too small for this order."


class VoucherHeld(Conflict):
    detail = "Other customers hold this voucher: try again later."


class VoucherDisabled(Conflict):
    detail = "This voucher is disabled."


class VoucherNotStarted(Conflict):
    detail = "This voucher is not valid yet."


class VoucherInUse(Conflict):
    detail = "This voucher was used or is held: it cannot get another customer."


class LimitBelowUses(Conflict):
    detail = "The voucher has more redemptions and open holds than this limit allows."


class OfferNotActive(Conflict):
    detail = "This voucher's offer has not begun or has ended."


class PoolEmpty(Conflict):
    detail = "No voucher of this offer is left to claim."


class ClaimLimitReached(Conflict):
    detail = "This customer has reached the offer's limit of claims per customer."


class ClaimMismatch(Conflict):
    detail = "This claim_ref has already claimed a voucher of the offer for another customer."


class OrderMismatch(Conflict):
    detail = "This order redeemed the voucher before, for another customer, amount or currency."


class VoucherArchived(Conflict):
    detail = "This voucher is archived: you can look it up, but not change it."


class RedemptionReversed(Conflict):
    detail = "This order redeemed the voucher and gave it back: use another order_ref."


class WebhookDisabled(Conflict):
    detail = "This webhook is disabled: enable it first."


class SecretKeyNotConfigured(Conflict):
    detail = (
        "This needs a key: set VOUCHERPOOL_SECRET_KEY to what `voucherpool secret-key` prints,"
        " for the service and its workers."
    )


class MailNotConfigured(Conflict):
    detail = (
        "E-mail is not configured: set VOUCHERPOOL_SMTP_URL, VOUCHERPOOL_MAIL_FROM,"
        " VOUCHERPOOL_PUBLIC_URL and VOUCHERPOOL_SECRET_KEY."
    )


class VoucherExpired(VoucherPoolError, status=HTTPStatus.GONE):
    detail = "This voucher has expired."


class BodyTooLarge(VoucherPoolError, status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE):
    detail = "The body may have at most 1 MiB."


class UnsupportedMediaType(VoucherPoolError, status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE):
    detail = "The body must be JSON: send it as application/json, without a Content-Encoding."


class InvalidInput(Unprocessable):
    detail = "Some fields are not valid: `errors` names them and says why."

    def __init__(self, errors: Reasons) -> None:
        super().__init__(errors=errors)

    @classmethod
    def code(cls) -> str:
        """Return the stable name of the error."""
        return "validation_failed"


class CurrencyRequired(Unprocessable):
    detail = "This voucher's offer has amounts in a currency: send `currency` with `order_amount`."


class OrderAmountRequired(Unprocessable):
    detail = "This voucher's offer has a budget of money: send `order_amount`."


class OrderBelowMinimum(Unprocessable):
    detail = "The order is below the offer's minimum, or `order_amount` is missing."


class IdempotencyKeyReused(Unprocessable):
    detail = "This Idempotency-Key belongs to another request: use a new key for each request."


class TooManyFailedAttempts(VoucherPoolError, status=HTTPStatus.TOO_MANY_REQUESTS):
    detail = "Too many failed attempts: try again after the seconds in Retry-After."

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.headers = {"Retry-After": str(ceil(seconds))}


class DatabaseUnavailable(VoucherPoolError, status=HTTPStatus.SERVICE_UNAVAILABLE):
    detail = "The database does not answer: try again."
    headers: Mapping[str, str] = {"Retry-After": "2"}


class OutcomeUnknown(DatabaseUnavailable):
    detail = (
        "The connection to the database broke during the commit, so the result is unknown."
        " Check whether the change was made before you repeat it."
    )

"""The errors of vouchers."""

from http import HTTPStatus

from voucherpool.errors import Conflict


class Refusal(Conflict):
    """A reason why a voucher does not redeem for a customer or an order; a check names its code."""

    detail = "This voucher cannot be redeemed."


class VoucherNotFound(Refusal, status=HTTPStatus.NOT_FOUND):
    detail = "This customer has no voucher with this code."


class CurrencyMismatch(Refusal):
    detail = "The order is in another currency than the voucher's offer."


class VoucherAlreadyRedeemed(Refusal):
    detail = "This voucher has already been redeemed."


class RedemptionLimitReached(Refusal):
    detail = "This voucher has reached its limit of redemptions."


class CustomerLimitReached(Refusal):
    detail = "This customer has reached the offer's limit of redemptions per customer."


class OfferBudgetExhausted(Refusal):
    detail = "The budget of this voucher's offer is used up, or too small for this order."


class VoucherHeld(Refusal):
    detail = "Other customers hold this voucher: try again later."


class VoucherDisabled(Refusal):
    detail = "This voucher is disabled."


class VoucherNotStarted(Refusal):
    detail = "This voucher is not valid yet."


class OfferNotActive(Refusal):
    detail = "This voucher's offer has not begun or has ended."


class OrderMismatch(Refusal):
    detail = "This order redeemed the voucher before, for another customer, amount or currency."


class RedemptionReversed(Refusal):
    detail = "This order redeemed the voucher and gave it back: use another order_ref."


class VoucherExpired(Refusal, status=HTTPStatus.GONE):
    detail = "This voucher has expired."


class CurrencyRequired(Refusal, status=HTTPStatus.UNPROCESSABLE_ENTITY):
    detail = "This voucher's offer has amounts in a currency: send `currency` with `order_amount`."


class OrderAmountRequired(Refusal, status=HTTPStatus.UNPROCESSABLE_ENTITY):
    detail = "This voucher's offer has a budget of money: send `order_amount`."


class OrderBelowMinimum(Refusal, status=HTTPStatus.UNPROCESSABLE_ENTITY):
    detail = "The order is below the offer's minimum, or `order_amount` is missing."


class VoucherExists(Conflict):
    detail = "A voucher with this code exists, in this or another spelling."


class VoucherInUse(Conflict):
    detail = "This voucher was used or is held: it cannot get another customer."


class LimitBelowUses(Conflict):
    detail = "The voucher has more redemptions and open holds than this limit allows."


class VoucherArchived(Conflict):
    detail = "This voucher is archived: you can look it up, but not change it."

"""The errors of vouchers."""

from http import HTTPStatus

from voucherpool.errors import Conflict, NotFound, Unprocessable, VoucherPoolError


class VoucherNotFound(NotFound):
    detail = "This customer has no voucher with this code."


class CurrencyMismatch(Conflict):
    detail = "The order is in another currency than the voucher's offer."


class VoucherExists(Conflict):
    detail = "A voucher with this code exists, in this or another spelling."


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


class OrderMismatch(Conflict):
    detail = "This order redeemed the voucher before, for another customer, amount or currency."


class VoucherArchived(Conflict):
    detail = "This voucher is archived: you can look it up, but not change it."


class RedemptionReversed(Conflict):
    detail = "This order redeemed the voucher and gave it back: use another order_ref."


class VoucherExpired(VoucherPoolError, status=HTTPStatus.GONE):
    detail = "This voucher has expired."


class CurrencyRequired(Unprocessable):
    detail = "This voucher's offer has amounts in a currency: send `currency` with `order_amount`."


class OrderAmountRequired(Unprocessable):
    detail = "This voucher's offer has a budget of money: send `order_amount`."


class OrderBelowMinimum(Unprocessable):
    detail = "The order is below the offer's minimum, or `order_amount` is missing."

"""Checks vouchers: would it redeem now? It answers what redeeming would, and changes nothing."""

from decimal import Decimal

from voucherpool.customers.errors import CustomerNotFound
from voucherpool.vouchers.checkout import earlier
from voucherpool.vouchers.eligibility import state
from voucherpool.vouchers.eligibility.state import VoucherState


def check(
    code: str,
    email: str | None,
    order_ref: str | None = None,
    order_amount: Decimal | None = None,
    currency: str | None = None,
    *,
    create_customer: bool = False,
) -> VoucherState:
    """Return the voucher's state if it can be redeemed now.

    Without an `email` the customer is still unknown; so is an unknown e-mail that the redemption
    would make a customer with `create_customer`. For an order that has redeemed the voucher it
    returns the discount of then.

    Raises rules.refusals, rules.order_refusals, OrderMismatch, RedemptionReversed and LostRace.
    """
    request = state.request(code, email, order_ref, order_amount, currency)
    voucher = _state(request, create_customer=create_customer)
    if voucher.earlier_id is not None:
        redeemed = earlier.repeated(request, voucher.customer_id, currency)
        return voucher._replace(
            discount=redeemed.discount,
            discount_type=redeemed.discount_type,
            currency=redeemed.currency,
            discount_amount=redeemed.discount_amount,
        )
    if refused := state.refusal(voucher):
        raise refused
    return voucher


def check_hold_for_guest(
    code: str, order_amount: Decimal | None = None, currency: str | None = None
) -> None:
    """Raise what holding would refuse to a customer who is still unknown."""
    of_order = order_amount is not None or currency is not None
    request = state.request(code, None, None, order_amount, currency)
    voucher = state.read_for_unknown_customer(request, state.for_hold)
    if refused := state.refusal(voucher, of_order=of_order):
        raise refused


def _state(request: dict[str, object], *, create_customer: bool) -> VoucherState:
    if request["email"] is None:
        return state.read_for_unknown_customer(request, state.for_redemption)
    try:
        return state.read(request, state.for_redemption)
    except CustomerNotFound:
        if not create_customer:
            raise
    return state.read_for_unknown_customer(request, state.for_redemption)

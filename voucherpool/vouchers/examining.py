"""Looks at a voucher for a customer, and says why it would not redeem."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from sqlalchemy import Numeric, Row, Text, and_, bindparam, select

from voucherpool.customers.models import Customer, email_key
from voucherpool.errors import (
    CustomerNotFound,
    DatabaseUnavailable,
    OrderBelowMinimum,
    RedemptionLimitReached,
    VoucherAlreadyRedeemed,
    VoucherNotFound,
    VoucherPoolError,
)
from voucherpool.offers.models import Offer
from voucherpool.statements import Statement
from voucherpool.vouchers import codes, rules
from voucherpool.vouchers.archive import everywhere
from voucherpool.vouchers.models import Redemption, Voucher
from voucherpool.vouchers.rules import Conditions

Examined = Row[*tuple[Any, ...]]

attempts = 10  # each loses to another change of the same voucher, so few are ever needed

order_ref = bindparam("order_ref", None, type_=Text)
order_amount = bindparam("order_amount", None, type_=Numeric)
conditions: Conditions = {
    **rules.conditions,
    OrderBelowMinimum: Offer.takes_order_of(order_amount),
}


def who(code: str, email: str) -> dict[str, Any]:
    """Return the parameters that name a voucher and a customer to the statements."""
    return {"key": codes.normal_form(code), "email": email_key(email)}


def check(code: str, email: str, order_amount: Decimal | None = None) -> dict[str, Any]:
    """Say whether the voucher would redeem for the customer now; change nothing.

    `reason` is the code of the error that redeeming would raise.
    """
    voucher = examine({**who(code, email), "order_amount": order_amount})
    refusal = refusal_of(voucher, conditions)
    if refusal is not None:
        return {"redeemable": False, "reason": refusal.code()}
    assert voucher is not None  # noqa: S101
    return {"redeemable": True, **voucher._asdict()}


def examine(request: dict[str, Any]) -> Any:
    """Return what the voucher is to the customer, or None for an unknown customer.

    An unknown voucher has the `code_key` None. `earlier` is the redemption of the same order.
    The archive is asked about what would be a miss, a stranger's voucher included, so that its
    answer takes as long as that of an unknown code.
    """
    examined: Any = _examine.one_or_none(request)
    if examined is None or (examined.code_key is not None and examined.usable):
        return examined
    return _examine_everywhere.one_or_none(request)


def take_or_refuse(
    statement: Statement, request: dict[str, Any], otherwise: Callable[[Examined | None], Any]
) -> Any:
    """Return the row of a guarded write; without one, what `otherwise` returns or raises.

    A voucher can become free between the write and the look at why it took nothing: then the
    write is tried again, so that nobody is refused without a reason.
    """
    for _ in range(attempts):
        taken = statement.one_or_none(request)
        answer = otherwise(examine(request)) if taken is None else taken
        if answer is not None:
            return answer
    raise DatabaseUnavailable("This voucher is in too much demand at the moment: try again.")


def refuse(voucher: Examined | None, conditions: Conditions) -> None:
    """Raise the error that redeeming an examined voucher would raise, if there is one."""
    if refusal := refusal_of(voucher, conditions):
        raise refusal


def refusal_of(voucher: Examined | None, conditions: Conditions) -> VoucherPoolError | None:
    """Return the error that redeeming an examined voucher would raise."""
    if voucher is None:
        return CustomerNotFound()
    if voucher.code_key is None or not voucher.usable:
        return VoucherNotFound()
    for refusal in conditions:
        if not getattr(voucher, refusal.code()):
            if refusal is VoucherAlreadyRedeemed and voucher.max_redemptions > 1:
                return RedemptionLimitReached()
            return refusal()
    return None


_look = (
    select(
        Customer.id.label("customer_id"),
        Voucher.code_key,
        Voucher.max_redemptions,
        Voucher.expires_at,
        Offer.name.label("offer_name"),
        Offer.discount_type,
        Offer.currency,
        rules.discount.label("discount"),
        Offer.discount_amount(rules.discount, order_amount).label("discount_amount"),
        rules.usable_by_customer.label("usable"),
        *(condition.label(refusal.code()) for refusal, condition in conditions.items()),
        Redemption.id.label("earlier"),
        Redemption.customer_id.label("earlier_customer_id"),
        Redemption.order_amount.label("earlier_order_amount"),
        Redemption.discount.label("earlier_discount"),
        Redemption.discount_amount.label("earlier_discount_amount"),
        Redemption.redeemed_at.label("earlier_redeemed_at"),
        Redemption.reversed_at.label("earlier_reversed_at"),
    )
    .select_from(Customer)
    .outerjoin(Voucher, Voucher.code_key == bindparam("key"))
    .outerjoin(Offer, Offer.id == Voucher.offer_id)
    .outerjoin(
        Redemption,
        # By the code itself, so that each table says on which shard to look.
        and_(Redemption.code_key == bindparam("key"), Redemption.order_ref == order_ref),
    )
    .where(Customer.email_key == bindparam("email"))
)

_examine = Statement("examine", _look)
_examine_everywhere = Statement("examine_everywhere", everywhere(_look))

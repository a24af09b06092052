"""Redeems vouchers."""

import uuid
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from psycopg2.errors import CheckViolation
from sqlalchemy import CTE, Select, case, exists, func, insert, literal, select, true, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError

from voucherpool import metrics
from voucherpool.customers.models import Customer
from voucherpool.db import TwinCommitted, after_commit
from voucherpool.errors import (
    OrderMismatch,
    RedemptionReversed,
)
from voucherpool.offers import figures
from voucherpool.offers.models import CustomerRedemptions, Offer
from voucherpool.statements import Statement
from voucherpool.vouchers import rules
from voucherpool.vouchers.examining import (
    Examined,
    conditions,
    order_amount,
    order_ref,
    refuse,
    take_or_refuse,
    who,
)
from voucherpool.vouchers.models import Redemption, Voucher


class Taken(NamedTuple):
    """A redemption as its customer sees it; amounts are in the offer's currency."""

    id: uuid.UUID
    redeemed_at: datetime
    discount: Decimal
    discount_type: str
    currency: str | None
    discount_amount: Decimal | None


def redeem(
    code: str, email: str, order_ref: str | None = None, order_amount: Decimal | None = None
) -> Taken:
    """Take one use of a voucher and return its redemption.

    The customer's own hold becomes the use. With an `order_ref`, the same order, customer and
    amount get the redemption that they have.

    Raises CustomerNotFound, VoucherNotFound (also for another customer's voucher), the errors of
    rules.conditions, RedemptionLimitReached, OrderBelowMinimum, OrderMismatch and
    RedemptionReversed.
    """
    request = {**who(code, email), "order_ref": order_ref, "order_amount": order_amount}
    try:
        taken = take_or_refuse(
            take_one, request, lambda seen: _repeat_or_refuse(seen, order_amount)
        )
    except IntegrityError as error:
        if isinstance(error.orig, CheckViolation) and over_limit in str(error.orig):
            raise TwinCommitted from error
        raise
    if isinstance(taken, Taken):
        return taken
    after_commit(metrics.redeemed.inc)
    return Taken(*taken)


def _repeat_or_refuse(voucher: Examined | None, order_amount: Decimal | None) -> Taken | None:
    if voucher is None or not voucher.usable or voucher.earlier is None:
        refuse(voucher, conditions)
        return None
    earlier = (voucher.earlier_customer_id, voucher.earlier_order_amount)
    if earlier != (voucher.customer_id, order_amount):
        raise OrderMismatch
    if voucher.earlier_reversed_at is not None:
        raise RedemptionReversed
    return Taken(
        voucher.earlier,
        voucher.earlier_redeemed_at,
        voucher.earlier_discount,
        voucher.discount_type,
        voucher.currency,
        voucher.earlier_discount_amount,
    )


_same_order = exists().where(
    Redemption.code_key == Voucher.code_key, Redemption.order_ref == order_ref
)

_taken = (
    update(Voucher.__table__)
    .where(
        *rules.guard,
        Offer.takes_order_of(order_amount),
        ~_same_order.correlate(Voucher),
    )
    .values(
        redemption_count=Voucher.redemption_count + 1,
        used_at=case((Voucher.redemption_count + 1 == Voucher.max_redemptions, func.now())),
        holds=case((Voucher.holds.is_not(None), rules.other_holds)),
    )
    .returning(
        Voucher.code_key,
        Voucher.used_at,
        Customer.id.label("customer_id"),
        Offer.id.label("offer_id"),
        Offer.discount_type,
        Offer.currency,
        Offer.max_redemptions_per_customer.label("limit"),
        rules.discount.label("discount"),
        Offer.discount_amount(rules.discount, order_amount).label("discount_amount"),
    )
    .cte("taken")
)


def _counted() -> CTE:
    """Count the redemption for its customer and offer.

    In a row of its own, because a condition on other rows is not checked again when two race. One
    above the offer's limit is written as a count that the table refuses, so that the whole
    statement takes nothing.
    """
    count = upsert(CustomerRedemptions.__table__).from_select(
        ["offer_id", "customer_id", "redemption_count"],
        select(_taken.c.offer_id, _taken.c.customer_id, literal(1)),
    )
    limit = select(_taken.c.limit).scalar_subquery()
    before = CustomerRedemptions.redemption_count + CustomerRedemptions.carried
    return (
        count.on_conflict_do_update(
            index_elements=["offer_id", "customer_id"],
            set_={
                "redemption_count": case(
                    (func.coalesce(before >= limit, False), -1),
                    else_=CustomerRedemptions.redemption_count + 1,
                )
            },
        )
        .returning(CustomerRedemptions.offer_id)
        .cte("counted")
    )


def _figured() -> CTE:
    """Count the redemption into the offer's figures, last of all: the lock is shared by many."""
    return figures.raised(
        _taken,
        _taken.c.offer_id,
        func.now(),
        {
            "redeemed": literal(1),
            "used_up": case((_taken.c.used_at.is_not(None), 1), else_=0),
        },
    ).cte("figured")


def _take_one() -> Select[*tuple[Any, ...]]:
    """Build the statement that takes a use, counts it and writes it into the ledger.

    It answers no row when nothing was taken, and fails as a whole when a twin of the order was
    first or another redemption reached the customer's limit.
    """
    counted = _counted()
    entry = {
        "code_key": _taken.c.code_key,
        "customer_id": _taken.c.customer_id,
        "discount": _taken.c.discount,
        "discount_amount": _taken.c.discount_amount,
        "order_ref": order_ref,
        "order_amount": order_amount,
    }
    entered = (
        insert(Redemption.__table__)
        .from_select(list(entry), select(*entry.values()))
        .returning(Redemption.id, Redemption.redeemed_at)
        .cte("entered")
    )
    answer = select(
        entered.c.id,
        entered.c.redeemed_at,
        _taken.c.discount,
        _taken.c.discount_type,
        _taken.c.currency,
        _taken.c.discount_amount,
    ).select_from(_taken.join(counted, true()).join(entered, true()))
    return answer.add_cte(_figured())


take_one = Statement("redeem", _take_one())

over_limit = "customer_redemptions_redemption_count_check"

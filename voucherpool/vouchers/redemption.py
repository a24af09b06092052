"""Redeems vouchers."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Row, and_, bindparam, case, func, insert, select, update

from voucherpool.customers.models import Customer, email_key
from voucherpool.db import db
from voucherpool.errors import (
    CustomerNotFound,
    RedemptionLimitReached,
    VoucherAlreadyRedeemed,
    VoucherExpired,
    VoucherNotFound,
    VoucherPoolError,
)
from voucherpool.offers.models import Offer
from voucherpool.vouchers import codes
from voucherpool.vouchers.models import Redemption, Voucher


def redeem(code: str, email: str) -> Row[UUID, Decimal, datetime]:
    """Take one use of a voucher and return its redemption: id, discount and redeemed_at.

    Raises CustomerNotFound, VoucherNotFound (also for another customer's voucher),
    VoucherAlreadyRedeemed, RedemptionLimitReached and VoucherExpired.
    """
    who = {"key": codes.normal_form(code), "email": email_key(email)}
    redemption = db.session.execute(redeem_one, who).one_or_none()
    if redemption is None:
        raise _refusal(who)
    return redemption


def _refusal(who: Mapping[str, Any]) -> VoucherPoolError:
    voucher = db.session.execute(why_not, who).one_or_none()
    if voucher is None:
        return CustomerNotFound()
    if voucher.used_up:
        return (
            VoucherAlreadyRedeemed() if voucher.max_redemptions == 1 else RedemptionLimitReached()
        )
    # Neither used up nor expired, it came to be after the attempt: then there was none.
    return VoucherExpired() if voucher.expired else VoucherNotFound()


_taken = (
    update(Voucher.__table__)
    .where(
        Voucher.code_key == bindparam("key"),
        Customer.email_key == bindparam("email"),
        Offer.id == Voucher.offer_id,
        Voucher.usable_by_customer(),
        Voucher.redeemable(),
    )
    .values(
        redemption_count=Voucher.redemption_count + 1,
        used_at=case((Voucher.redemption_count + 1 == Voucher.max_redemptions, func.now())),
    )
    .returning(Voucher.code_key, Customer.id.label("customer_id"), Offer.discount)
    .cte("taken")
)

# The condition is checked again on the newest version of the row once its lock is had
# (https://www.postgresql.org/docs/current/transaction-iso.html, 13.2.1), so of two racing
# redemptions the later one finds no row.
redeem_one = (
    insert(Redemption.__table__)
    .from_select(
        ["code_key", "customer_id", "discount"],
        select(_taken.c.code_key, _taken.c.customer_id, _taken.c.discount),
    )
    .returning(Redemption.id, Redemption.discount, Redemption.redeemed_at)
)

why_not = (
    select(
        Voucher.max_redemptions,
        Voucher.used_at.is_not(None).label("used_up"),
        (Voucher.expires_at <= func.now()).label("expired"),
    )
    .select_from(Customer)
    .outerjoin(Voucher, and_(Voucher.code_key == bindparam("key"), Voucher.usable_by_customer()))
    .where(Customer.email_key == bindparam("email"))
)

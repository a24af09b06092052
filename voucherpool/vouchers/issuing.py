"""Issues vouchers."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    Boolean,
    DateTime,
    Numeric,
    Select,
    Text,
    and_,
    bindparam,
    case,
    cast,
    exists,
    func,
    join,
    literal,
    null,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import insert

from voucherpool import metrics
from voucherpool.customers.models import Customer, email_key
from voucherpool.db import after_commit
from voucherpool.errors import CustomerNotFound, InvalidInput, OfferNotPercentage, VoucherExists
from voucherpool.offers import figures
from voucherpool.offers.models import Offer
from voucherpool.statements import Statement
from voucherpool.vouchers import archiving, codes
from voucherpool.vouchers.models import Voucher

attempts = 5  # a collision of two codes of 60 bits is rare; five in a row mean a broken generator

key = bindparam("email_key", type_=Text)
offer_name = bindparam("offer_name", type_=Text)
discount = bindparam("discount", type_=Numeric)
expires_at = bindparam("expires_at", type_=DateTime(timezone=True))


def issue(
    email: str | None,
    offer_name: str,
    expires_at: datetime,
    *,
    discount: Decimal | None = None,
    code: str | None = None,
    max_redemptions: int = 1,
    freeze_discount: bool = False,
) -> str:
    """Issue one voucher, bound to the customer unless the e-mail is None, and return its code.

    Makes the offer if its name is new, otherwise gives it the discount (a percentage); without a
    discount the offer stays as it is. A frozen discount is the voucher's own, whatever becomes of
    the offer's.

    Raises CustomerNotFound, OfferNotPercentage, VoucherExists when the chosen code is taken, and
    InvalidInput when the expiry is not in the future or a new offer lacks its discount.
    """
    values = {
        "email_key": None if email is None else email_key(email),
        "offer_name": offer_name,
        "discount": discount,
        "expires_at": expires_at,
        "max_redemptions": max_redemptions,
        "freeze_discount": freeze_discount,
    }
    for _ in range(attempts):
        spelling = code or codes.generate()
        voucher = {"code": spelling, "code_key": codes.normal_form(spelling)}
        if issue_one.one_or_none(values | voucher):
            # A generated code meets one of 100 million archived ones once in 11 thousand million.
            if code is not None and archiving.taken([voucher["code_key"]]):
                raise VoucherExists
            after_commit(metrics.issued.inc)
            return spelling
        _refuse(values)
        if code is not None:
            raise VoucherExists
    raise RuntimeError(f"{attempts} generated codes in a row were taken")


def _refuse(values: dict[str, Any]) -> None:
    seen = why_not.one_or_none(values)
    if not seen.in_future:
        raise InvalidInput({"expiry": ["Must be in the future."]})
    if not seen.known:
        raise CustomerNotFound
    if seen.fixed_amount and values["discount"] is not None:
        raise OfferNotPercentage
    if not seen.offered and values["discount"] is None:
        raise InvalidInput({"discount": ["An offer of a new name needs a discount."]})


why_not = Statement(
    "why_not_issued",
    select(
        (expires_at > func.now()).label("in_future"),
        (key.is_(None) | exists().where(Customer.email_key == key)).label("known"),
        exists()
        .where(Offer.name == offer_name, Offer.discount_type != "percentage")
        .label("fixed_amount"),
        exists().where(Offer.name == offer_name).label("offered"),
    ),
)

_customer = union_all(
    select(Customer.id).where(Customer.email_key == key, expires_at > func.now()),
    select(cast(null(), BigInteger)).where(key.is_(None), expires_at > func.now()),
).cte("customer")


def _offer() -> CTE:
    """Return the offer of the wanted name, written where its discount is not the wanted one yet.

    Only there: an unconditional upsert would lock the offer's row and make every issue of a
    popular offer wait for the one before.
    """
    is_percentage = Offer.discount_type == "percentage"
    is_wanted = or_(discount.is_(None), and_(Offer.discount == discount, is_percentage))
    unchanged = (
        select(Offer.id, Offer.discount).where(Offer.name == offer_name, is_wanted).cte("unchanged")
    )
    wanted = select(offer_name, discount).where(
        discount.is_not(None), exists(select(_customer)), ~exists(select(unchanged.c.id))
    )
    upsert = insert(Offer.__table__).from_select(["name", "discount"], wanted)
    written = (
        upsert.on_conflict_do_update(
            index_elements=[Offer.name],
            # Not now() itself, which Citus does not take here; this is the column's default.
            set_={name: upsert.excluded[name] for name in ("discount", "updated_at")},
            where=is_percentage,
        )
        .returning(Offer.id, Offer.discount)
        .cte("written")
    )
    return union_all(select(unchanged), select(written)).cte("offer")


def _issue_one() -> Select[*tuple[Any, ...]]:
    offer = _offer()
    columns = {
        "code_key": bindparam("code_key", type_=Text),
        "code": bindparam("code", type_=Text),
        "offer_id": offer.c.id,
        "customer_id": _customer.c.id,
        "expires_at": expires_at,
        "max_redemptions": bindparam("max_redemptions", type_=BigInteger),
        "frozen_discount": case((bindparam("freeze_discount", type_=Boolean), offer.c.discount)),
    }
    voucher = select(*columns.values()).select_from(join(offer, _customer, true()))
    issued = (
        insert(Voucher.__table__)
        .from_select(list(columns), voucher)
        .on_conflict_do_nothing(index_elements=[Voucher.code_key])
        .returning(Voucher.code_key, Voucher.offer_id, Voucher.created_at)
        .cte("issued")
    )
    figured = figures.raised(issued, issued.c.offer_id, issued.c.created_at, {"issued": literal(1)})
    return select(issued.c.code_key).add_cte(figured.cte("figured"))


# Decides on the request, sees to its offer and issues its voucher; nothing is written for an
# unknown customer or a time that is past.
issue_one = Statement("issue", _issue_one())

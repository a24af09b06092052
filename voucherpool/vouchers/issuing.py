"""Issues vouchers."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import (
    CTE,
    DateTime,
    Executable,
    Numeric,
    Text,
    bindparam,
    exists,
    func,
    join,
    literal,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import insert

from voucherpool.customers.models import Customer, email_key
from voucherpool.db import db
from voucherpool.errors import CustomerNotFound, InvalidInput
from voucherpool.offers.models import Offer
from voucherpool.vouchers import codes
from voucherpool.vouchers.models import Voucher

attempts = 5  # a collision of two codes of 60 bits is rare; five in a row mean a broken generator

offer_name = bindparam("offer_name", type_=Text)
discount = bindparam("discount", type_=Numeric)
expires_at = bindparam("expires_at", type_=DateTime(timezone=True))


def issue(email: str, offer_name: str, discount: Decimal, expires_at: datetime) -> str:
    """Issue one voucher of a customer and return its code.

    Makes the offer if its name is new, otherwise gives it the discount (a percentage).
    Raises CustomerNotFound, and InvalidInput when the expiry is not in the future.
    """
    key = email_key(email)
    values = {
        "email_key": key,
        "offer_name": offer_name,
        "discount": discount,
        "expires_at": expires_at,
    }
    for _ in range(attempts):
        code = codes.generate()
        spelling = {"code": code, "code_key": codes.normal_form(code)}
        if db.session.scalar(issue_one, values | spelling):
            return code
        _refuse(key, expires_at)
    raise RuntimeError(f"{attempts} generated codes in a row were taken")


def _refuse(email_key: str, expires_at: datetime) -> None:
    in_future = literal(expires_at, DateTime(timezone=True)) > func.now()
    known = exists().where(Customer.email_key == email_key)
    row = db.session.execute(select(in_future.label("in_future"), known.label("known"))).one()
    if not row.in_future:
        raise InvalidInput({"expiry": ["Must be in the future."]})
    if not row.known:
        raise CustomerNotFound


_customer = (
    select(Customer.id)
    .where(Customer.email_key == bindparam("email_key"), expires_at > func.now())
    .cte("customer")
)


def _offer() -> CTE:
    """Return the offer of the wanted name and discount, written where it is not so yet.

    Only there: an unconditional upsert would lock the offer's row and make every issue of a
    popular offer wait for the one before.
    """
    unchanged = (
        select(Offer.id)
        .where(Offer.name == offer_name, Offer.discount == discount)
        .cte("unchanged")
    )
    wanted = select(offer_name, discount).where(
        exists(select(_customer.c.id)), ~exists(select(unchanged.c.id))
    )
    upsert = insert(Offer.__table__).from_select(["name", "discount"], wanted)
    written = (
        upsert.on_conflict_do_update(
            index_elements=[Offer.name],
            set_={"discount": upsert.excluded.discount, "updated_at": func.now()},
        )
        .returning(Offer.id)
        .cte("written")
    )
    return union_all(select(unchanged.c.id), select(written.c.id)).cte("offer")


def _issue_one() -> Executable:
    offer = _offer()
    voucher = select(
        bindparam("code_key", type_=Text),
        bindparam("code", type_=Text),
        offer.c.id,
        _customer.c.id,
        expires_at,
    ).select_from(join(offer, _customer, true()))
    return (
        insert(Voucher.__table__)
        .from_select(["code_key", "code", "offer_id", "customer_id", "expires_at"], voucher)
        .on_conflict_do_nothing(index_elements=[Voucher.code_key])
        .returning(Voucher.code_key)
    )


# Decides on the request, sees to its offer and issues its voucher; nothing is written for an
# unknown customer or a time that is past.
issue_one = _issue_one()

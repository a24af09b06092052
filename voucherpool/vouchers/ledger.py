"""Reads the ledger, and gives redemptions back."""

import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    CTE,
    Executable,
    Row,
    Text,
    Uuid,
    and_,
    bindparam,
    case,
    func,
    literal,
    null,
    or_,
    select,
    true,
    update,
)

from voucherpool import paging
from voucherpool.customers import service as customers
from voucherpool.customers.models import Customer
from voucherpool.db import db
from voucherpool.errors import DatabaseUnavailable, InvalidInput, RedemptionNotFound
from voucherpool.offers import figures
from voucherpool.offers.models import CustomerRedemptions, Offer
from voucherpool.paging import Page, Position
from voucherpool.vouchers import archiving
from voucherpool.vouchers.archive import archived_redemptions, everywhere
from voucherpool.vouchers.models import Redemption, Voucher

Redemptions = Sequence[Row[*tuple[Any, ...]]]

# The limit makes PostgreSQL look each voucher up: it knows too little of the union of hot table and
# archive, and would rather read all of both.
_voucher = (
    select(Voucher.code, Voucher.offer_id)
    .where(Voucher.code_key == Redemption.code_key)
    .limit(1)
    .lateral("voucher")
)

redemptions = everywhere(
    select(
        Redemption.id,
        _voucher.c.code,
        Customer.email,
        Offer.name.label("offer_name"),
        Redemption.order_ref,
        Redemption.order_amount,
        Redemption.discount,
        Offer.discount_type,
        Offer.currency,
        Redemption.discount_amount,
        Redemption.redeemed_at,
        Redemption.reversed_at,
    )
    .select_from(Redemption)
    .join(_voucher, true())
    .join(Customer, Customer.id == Redemption.customer_id)
    .join(Offer, Offer.id == _voucher.c.offer_id)
)


def list_redemptions(
    limit: int,
    email: str | None = None,
    order_ref: str | None = None,
    after: Position | None = None,
) -> Page:
    """Return up to `limit` redemptions of the customer and of the order, the oldest first.

    Raises CustomerNotFound, and InvalidInput when neither is named.
    """
    if email is None and order_ref is None:
        raise InvalidInput({"email": ["Give an email, an order_ref, or both."]})
    statement = redemptions
    if email is not None:
        statement = statement.where(Customer.id == customers.id_of(email))
    if order_ref is not None:
        statement = statement.where(Redemption.order_ref == order_ref)
    return paging.fetch(statement, (Redemption.redeemed_at, Redemption.id), limit, after)


def reverse(redemption_id: uuid.UUID) -> Row[*tuple[Any, ...]]:
    """Give a redemption back and return it; one that was given back stays so.

    Raises RedemptionNotFound.
    """
    return _reverse({"this": redemption_id, "order": None})[0]


def reverse_order(order_ref: str) -> Redemptions:
    """Give all redemptions of an order back and return them.

    Raises RedemptionNotFound when there is none.
    """
    return _reverse({"this": None, "order": order_ref})


def _reverse(given: dict[str, Any]) -> Redemptions:
    for _ in range(archiving.attempts):
        archiving.bring_back(db.session.scalars(archived, given).all())
        db.session.execute(lock_vouchers, given)
        db.session.execute(lock_counts, given)
        db.session.execute(give_back, given)
        found = db.session.execute(given_redemptions, given).all()
        if not found:
            raise RedemptionNotFound
        if all(redemption.reversed_at for redemption in found):
            return found
    raise DatabaseUnavailable("This redemption is being archived at the moment: try again.")


_given = or_(
    Redemption.id == bindparam("this", type_=Uuid),
    Redemption.order_ref == bindparam("order", type_=Text),
)

given_redemptions = redemptions.where(_given).order_by(Redemption.redeemed_at, Redemption.id)

# What was given back before stays where it is.
archived = select(archived_redemptions.c.code_key).where(
    or_(
        archived_redemptions.c.id == bindparam("this", type_=Uuid),
        archived_redemptions.c.order_ref == bindparam("order", type_=Text),
    ),
    archived_redemptions.c.reversed_at.is_(None),
)

# Vouchers, then counts, each in one order, as redeeming does: who locks otherwise can deadlock.
lock_vouchers = (
    select(Voucher.code_key)
    .join(Redemption, Redemption.code_key == Voucher.code_key)
    .where(_given)
    .order_by(Voucher.code_key)
    .with_for_update(of=Voucher)
)

lock_counts = (
    select(CustomerRedemptions.redemption_count)
    .join(Voucher, Voucher.offer_id == CustomerRedemptions.offer_id)
    .join(
        Redemption,
        and_(
            Redemption.code_key == Voucher.code_key,
            Redemption.customer_id == CustomerRedemptions.customer_id,
        ),
    )
    .where(_given)
    .order_by(CustomerRedemptions.offer_id, CustomerRedemptions.customer_id)
    .with_for_update(of=CustomerRedemptions)
)


def _reversed() -> CTE:
    return (
        update(Redemption.__table__)
        .where(_given, Redemption.reversed_at.is_(None))
        # The redemption may have begun after this transaction, and was waited for.
        .values(reversed_at=func.greatest(func.now(), Redemption.redeemed_at))
        .returning(Redemption.code_key, Redemption.customer_id, Redemption.reversed_at)
        .cte("reversed")
    )


def _counted(returned: CTE) -> CTE:
    per_customer = (
        select(returned.c.offer_id, returned.c.customer_id, func.count().label("uses"))
        .group_by(returned.c.offer_id, returned.c.customer_id)
        .cte("per_customer")
    )
    return (
        update(CustomerRedemptions.__table__)
        .where(
            CustomerRedemptions.offer_id == per_customer.c.offer_id,
            CustomerRedemptions.customer_id == per_customer.c.customer_id,
        )
        .values(redemption_count=CustomerRedemptions.redemption_count - per_customer.c.uses)
        .returning(CustomerRedemptions.offer_id)
        .cte("counted")
    )


def _give_back() -> Executable:
    """Build the statement that marks the rows of the ledger and gives their uses back.

    Whoever marks a row gives its use back, so that of many who reverse it only one does. An order
    redeems a voucher once, so each voucher gets back one use at most.
    """
    marked = _reversed()
    returned = (
        update(Voucher.__table__)
        .where(Voucher.code_key == marked.c.code_key)
        .values(redemption_count=Voucher.redemption_count - 1, used_at=null())
        .returning(
            Voucher.offer_id,
            marked.c.customer_id,
            marked.c.reversed_at,
            case((Voucher.redemption_count + 1 == Voucher.max_redemptions, 1), else_=0).label(
                "reopened"
            ),
        )
        .cte("returned")
    )
    figured = figures.raised(
        returned,
        returned.c.offer_id,
        returned.c.reversed_at,
        {"reversed": literal(1), "used_up": -returned.c.reopened},
        several=True,
    )
    return figured.add_cte(_counted(returned))


give_back = _give_back()

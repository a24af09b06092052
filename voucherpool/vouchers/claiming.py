"""Gives vouchers of an offer's pool to those who claim them."""

from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Select, Text, bindparam, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import NoResultFound

from voucherpool.customers import service as customers
from voucherpool.customers.models import Customer, email_key
from voucherpool.db import db
from voucherpool.errors import (
    ClaimMismatch,
    CustomerLimitReached,
    DatabaseUnavailable,
    OfferNotActive,
    OfferNotFound,
    PoolEmpty,
    VoucherNotFound,
)
from voucherpool.offers import figures
from voucherpool.offers import service as offers
from voucherpool.offers.models import Offer
from voucherpool.statements import Statement
from voucherpool.vouchers import rules
from voucherpool.vouchers.archive import everywhere
from voucherpool.vouchers.models import Claim, Voucher

attempts = 10  # each loses the last vouchers to others, of whom few can follow each other


class Claimed(NamedTuple):
    """A voucher as it is given to its customer."""

    code: str
    expires_at: datetime
    offer_name: str


def claim(email: str, offer_name: str, claim_ref: str | None = None) -> Claimed:
    """Bind a voucher of the offer's pool to the customer: the oldest expiry, then the first issued.

    The same `claim_ref` gets the voucher that it has, whatever became of it.

    Raises CustomerNotFound, OfferNotFound, OfferNotActive, CustomerLimitReached, PoolEmpty,
    ClaimMismatch when the `claim_ref` stands for another customer, and VoucherNotFound when its
    voucher was purged.
    """
    if claim_ref is not None:
        earlier = _earlier(email, offer_name, claim_ref)
        if earlier is not None:
            return earlier
    request = {"email": email_key(email), "offer_name": offer_name, "ref": claim_ref}
    for _ in range(attempts):
        for statement in (take_free, take_any):
            taken = _take(statement, request)
            if taken is not None:
                return taken
            _refuse(request)
    raise DatabaseUnavailable("The last vouchers are in too much demand at the moment: try again.")


def _earlier(email: str, offer_name: str, claim_ref: str) -> Claimed | None:
    """Return what the claim_ref took, or keep its place until the transaction ends.

    A twin waits here until the first one commits or rolls back.
    """
    customer_id = customers.id_of(email)
    request = {"offer_id": offers.id_of(offer_name), "ref": claim_ref}
    if db.session.scalar(remember, request | {"customer_id": customer_id}):
        return None
    claimed = db.session.execute(claimed_before, request).one_or_none()
    if claimed is None:
        raise VoucherNotFound("The voucher of this claim was purged.")
    if claimed.customer_id != customer_id:
        raise ClaimMismatch
    return Claimed(claimed.code, claimed.expires_at, claimed.offer_name)


def _take(statement: Statement, request: dict[str, Any]) -> Claimed | None:
    """Return what the statement takes, or nothing.

    PostgreSQL also locks what it then finds claimed by others. A savepoint gives that up again:
    two that kept it and waited for more could wait for each other.
    """
    with suppress(NoResultFound), db.session.begin_nested():
        taken = statement.one_or_none(request)
        if taken is None:
            raise NoResultFound
        return Claimed(*taken)
    return None


def _refuse(request: dict[str, Any]) -> None:
    """Raise the reason why nothing was taken; return while others may yet leave a voucher."""
    seen = why_not.one_or_none(request)
    if seen is None:
        customers.id_of(request["email"])
        raise OfferNotFound
    if not seen.active:
        raise OfferNotActive
    if not seen.within_limit:
        raise CustomerLimitReached
    if not seen.left:
        raise PoolEmpty


_email = bindparam("email", type_=Text)
_offer_name = bindparam("offer_name", type_=Text)
_claim_ref = bindparam("ref", type_=Text)

remember = (
    insert(Claim.__table__)
    .values(
        offer_id=bindparam("offer_id"), claim_ref=_claim_ref, customer_id=bindparam("customer_id")
    )
    .on_conflict_do_nothing(index_elements=["offer_id", "claim_ref"])
    .returning(Claim.offer_id)
)

claimed_before = everywhere(
    select(Claim.customer_id, Voucher.code, Voucher.expires_at, Offer.name.label("offer_name"))
    .join(Voucher, Voucher.code_key == Claim.code_key)
    .join(Offer, Offer.id == Claim.offer_id)
    .where(Claim.offer_id == bindparam("offer_id"), Claim.claim_ref == _claim_ref)
)

# By its id as a constant, the index delivers an offer's vouchers in order, without a sort.
_offer_id = select(Offer.id).where(Offer.name == _offer_name).correlate(None).scalar_subquery()

_pool = (
    select(Voucher.code_key, Customer.id.label("customer_id"))
    .join(Offer, Offer.id == Voucher.offer_id)
    .join(Customer, Customer.email_key == _email)
    .where(Voucher.offer_id == _offer_id, rules.claimable)
)

_in_order = _pool.order_by(Voucher.expires_at, Voucher.issue_number).limit(1)
_first = _in_order.with_only_columns(Voucher.code_key).correlate(None).scalar_subquery()

# Sees what is committed: a voucher that a transaction at work may yet leave counts as left.
why_not = Statement(
    "why_not_claimed",
    select(
        rules.conditions[OfferNotActive].label("active"),
        rules.conditions[CustomerLimitReached].label("within_limit"),
        _first.is_not(None).label("left"),
    )
    .select_from(Offer)
    .join(Customer, Customer.email_key == _email)
    .where(Offer.name == _offer_name),
)


def _taking(*, skip_locked: bool) -> Select[*tuple[Any, ...]]:
    picked = _in_order.with_for_update(of=Voucher, skip_locked=skip_locked).cte("picked")
    taken = (
        update(Voucher.__table__)
        .where(
            Voucher.code_key == picked.c.code_key,
            Customer.id == picked.c.customer_id,
            Offer.id == Voucher.offer_id,
            rules.claimable,
        )
        .values(customer_id=Customer.id, claimed_at=func.now())
        .returning(
            Voucher.code_key,
            Voucher.code,
            Voucher.expires_at,
            Voucher.claimed_at,
            Voucher.offer_id,
            Offer.name.label("offer_name"),
        )
        .cte("taken")
    )
    remembered = (
        update(Claim.__table__)
        .where(Claim.offer_id == taken.c.offer_id, Claim.claim_ref == _claim_ref)
        .values(code_key=taken.c.code_key)
        .cte("remembered")
    )
    figured = figures.raised(taken, taken.c.offer_id, taken.c.claimed_at, {"claimed": literal(1)})
    answer = select(taken.c.code, taken.c.expires_at, taken.c.offer_name)
    return answer.add_cte(remembered, figured.cte("figured"))


take_free = Statement("claim_free", _taking(skip_locked=True))
"""Takes the first voucher that no transaction at work has locked, without waiting for any."""

take_any = Statement("claim_any", _taking(skip_locked=False))
"""Waits for the transactions that have locked vouchers, and takes what one of them leaves."""

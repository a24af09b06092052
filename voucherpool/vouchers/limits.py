"""Limits per customer: counts a customer's redemptions of an offer.

It adds the live rows of the ledger and the totals of the archive.
"""

from typing import NamedTuple

from sqlalchemy import BigInteger, ColumnElement, bindparam, func, or_, select, union_all
from sqlalchemy.orm import aliased

from voucherpool.database.model import AnySelect
from voucherpool.database.statements import Statement
from voucherpool.offers.models import Offer
from voucherpool.vouchers.archived import CustomerTotals
from voucherpool.vouchers.models import Redemption

_ledger = aliased(Redemption, name="ledger")
# Plus 0, so that PostgreSQL reads the customer's redemptions by their index, and not all of the
# offer's. Before it has analyzed the table, it cannot tell which are fewer.
_offer_of_ledger = _ledger.offer_id + 0
_offer_id = bindparam("offer_id", type_=BigInteger)
_customer_id = bindparam("customer_id", type_=BigInteger)

_hot = (
    select(func.count())
    .select_from(_ledger)
    .where(
        _ledger.customer_id == _customer_id,
        _offer_of_ledger == _offer_id,
        _ledger.reversed_at.is_(None),
    )
    .scalar_subquery()
)
_archived = (
    select(CustomerTotals.redemption_count)
    .where(CustomerTotals.customer_id == _customer_id, CustomerTotals.offer_id == _offer_id)
    .scalar_subquery()
)
_count: ColumnElement[int] = _hot + func.coalesce(_archived, 0)

within_limit: ColumnElement[bool] = or_(
    Offer.max_redemptions_per_customer.is_(None), _count < Offer.max_redemptions_per_customer
)
"""Whether the customer's count is below the limit of the offer in the FROM list.

It is exact only under lock_name(): then no other redemption of theirs can commit meanwhile.
"""


class RedemptionCount(NamedTuple):
    """A customer's live redemptions of an offer."""

    redemption_count: int


count = Statement("count_of_customer", RedemptionCount, select(_count.label("redemption_count")))


def reached(offer_id: int | None, customer_id: int | None, limit: int | None) -> bool:
    """Tell whether a customer has reached an offer's limit."""
    if limit is None:
        return False
    counted = count.one_or_none({"offer_id": offer_id, "customer_id": customer_id})
    return counted is not None and counted.redemption_count >= limit


def exhausted_offers(customer_id: int) -> list[int]:
    """Return the offers whose limit a customer has reached."""
    return [offer.id for offer in exhausted.all({"customer_id": customer_id})]


def lock_name(offer_id: int | None, customer_id: int | None) -> str:
    """Return the name of the advisory lock for counting a customer's redemptions of an offer."""
    return f"limit:{offer_id}:{customer_id}"


class ExhaustedOffer(NamedTuple):
    """An offer whose limit a customer has reached."""

    id: int


def _exhausted() -> AnySelect:
    hot = (
        select(_offer_of_ledger.label("offer_id"), func.count().label("redemption_count"))
        .where(_ledger.customer_id == _customer_id, _ledger.reversed_at.is_(None))
        .group_by(_offer_of_ledger)
    )
    archived = select(CustomerTotals.offer_id, CustomerTotals.redemption_count).where(
        CustomerTotals.customer_id == _customer_id
    )
    counted = union_all(hot, archived).subquery("counted")
    return (
        select(Offer.id)
        .join(counted, counted.c.offer_id == Offer.id)
        .group_by(Offer.id)
        .having(func.sum(counted.c.redemption_count) >= Offer.max_redemptions_per_customer)
    )


exhausted = Statement("exhausted_offers", ExhaustedOffer, _exhausted())

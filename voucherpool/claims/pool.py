"""Takes a voucher out of an offer's pool, without waiting for other claimers."""

import random
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Text,
    Update,
    and_,
    bindparam,
    exists,
    func,
    literal_column,
    or_,
    select,
    update,
)

from voucherpool.customers.models import Customer
from voucherpool.database import cluster
from voucherpool.database.model import AnySelect
from voucherpool.database.retries import LostRace
from voucherpool.database.statements import Statement
from voucherpool.errors import PoolEmpty
from voucherpool.offers.models import Offer
from voucherpool.vouchers import conditions
from voucherpool.vouchers.models import Redemption, Voucher, open_holds

most_candidates = 64
"""So many claimers at once rarely meet at a voucher, if each begins at a random one."""


class Taken(NamedTuple):
    """A voucher taken from the pool."""

    code_key: str
    code: str
    expires_at: datetime


def take(offer_id: int, customer_id: int) -> Taken:
    """Bind a voucher of the offer's pool to the customer: the oldest expiry, then the first issued.

    On a cluster it is one of the first 64. Raises PoolEmpty, and LostRace if other claims took what
    there was.
    """
    ids = {"offer_id": offer_id, "customer_id": customer_id}
    taken = _take_candidate(ids) if cluster.is_cluster() else take_first.one_or_none(ids)
    if taken is None:
        raise LostRace if left.all(ids) else PoolEmpty
    return taken


def _take_candidate(ids: Mapping[str, int]) -> Taken | None:
    """Take one of the first vouchers: a cluster skips what is locked only if its code is named."""
    found = left.all(ids)
    begin = random.randrange(len(found)) if found else 0  # noqa: S311
    for candidate in (*found[begin:], *found[:begin]):
        if taken := take_this.one_or_none({**ids, "key": candidate.code_key}):
            return taken
    return None


_offer_id = bindparam("offer_id", type_=BigInteger)
_customer_id = bindparam("customer_id", type_=BigInteger)

_never_used = ~exists().where(Redemption.code_key == Voucher.code_key).correlate(Voucher)
_unheld = or_(Voucher.holds.is_(None), literal_column(f"NOT EXISTS (SELECT FROM {open_holds})"))

claimable: ColumnElement[bool] = and_(
    Voucher.customer_id.is_(None),
    Voucher.used_at.is_(None),  # for the index
    Voucher.redemption_count == 0,
    conditions.redeemable,
    _unheld,
    _never_used,
)
"""In its offer's pool: unbound, never used, not held, and redeemable by the customer.

A voucher whose use was given back does not return to the pool.
"""

_pool = (
    select(Voucher.code_key)
    .join(Offer, Offer.id == Voucher.offer_id)
    .join(Customer, Customer.id == _customer_id)
    .where(Voucher.offer_id == _offer_id, claimable)
    .order_by(Voucher.expires_at, Voucher.issue_number)
)
_key = bindparam("key", type_=Text)


def _take(pool: AnySelect, *named: ColumnElement[bool]) -> Update:
    """Build the statement that takes the first voucher that no other transaction has locked."""
    first = pool.limit(1).with_for_update(of=Voucher, skip_locked=True).cte("first")
    return (
        update(Voucher.__table__)
        .where(Voucher.code_key == first.c.code_key, *named)
        .values({"customer_id": _customer_id, "claimed_at": func.now()})
        .returning(Voucher.code_key, Voucher.code, Voucher.expires_at)
    )


take_first = Statement("claim", Taken, _take(_pool))
take_this = Statement(
    "claim_candidate",
    Taken,
    _take(_pool.where(Voucher.code_key == _key), Voucher.code_key == _key),
)


class Left(NamedTuple):
    """A voucher in the pool, perhaps locked by a transaction that has not committed yet."""

    code_key: str


left = Statement("left_in_pool", Left, _pool.limit(most_candidates))

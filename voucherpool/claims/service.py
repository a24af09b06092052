"""Claims: binds vouchers of an offer's pool to customers."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import DateTime, bindparam, select

from voucherpool.claims import on_cluster, pool
from voucherpool.claims.errors import ClaimLimitReached, ClaimMismatch, PoolEmpty
from voucherpool.claims.models import Claim
from voucherpool.customers.errors import CustomerNotFound
from voucherpool.database import cluster
from voucherpool.database.model import db
from voucherpool.database.retries import LostRace
from voucherpool.database.statements import Statement
from voucherpool.input.emails import email_key
from voucherpool.offers.errors import OfferNotFound
from voucherpool.offers.models import Offer
from voucherpool.vouchers.archived import including_archive
from voucherpool.vouchers.eligibility import budgets, limits, rules
from voucherpool.vouchers.errors import (
    CustomerLimitReached,
    OfferBudgetExhausted,
    OfferNotActive,
    VoucherNotFound,
)
from voucherpool.vouchers.models import Voucher


class Claimed(NamedTuple):
    """A claimed voucher as its customer sees it."""

    code: str
    expires_at: datetime | None
    offer_name: str


class ClaimRequest(NamedTuple):
    """The customer and the offer of a claim; `offer_id` is None if no offer has the name.

    `is_known` tells whether the `claim_ref` took a voucher before.
    """

    customer_id: int
    offer_id: int | None
    is_offered: bool
    customer_limit: int | None
    has_budget: bool
    claim_limit: int | None
    is_known: bool


def claim(
    email: str, offer_name: str, claim_ref: str | None = None, *, timezone: str = "UTC"
) -> Claimed:
    """Bind a voucher of the offer's pool to the customer: the oldest expiry, then the first issued.

    A repeat with the same `claim_ref` gets its voucher, even if used, expired or archived. Vouchers
    that are valid for some days from their claim on expire at the end of a day in the `timezone`.

    Raises CustomerNotFound, OfferNotFound, OfferNotActive, CustomerLimitReached, ClaimLimitReached,
    OfferBudgetExhausted, PoolEmpty, ClaimMismatch if the `claim_ref` belongs to another customer,
    VoucherNotFound if its voucher was purged, and LostRace.
    """
    request = {"email": email_key(email), "offer_name": offer_name, "claim_ref": claim_ref}
    asked = read_request.one_or_none(request)
    if asked is None:
        raise CustomerNotFound
    if asked.offer_id is None:
        raise OfferNotFound("No offer has this name.")
    if claim_ref is not None and asked.is_known:
        return _claimed_before(asked.offer_id, claim_ref, asked.customer_id)
    if not asked.is_offered:
        raise OfferNotActive
    if limits.reached(asked.offer_id, asked.customer_id, asked.customer_limit):
        raise CustomerLimitReached
    if asked.has_budget and not budgets.has_room(asked.offer_id, None, asked.customer_id, None):
        raise OfferBudgetExhausted
    if _has_claimed_all(asked):
        raise ClaimLimitReached
    ids = {"offer_id": asked.offer_id, "customer_id": asked.customer_id, "claim_ref": claim_ref}
    take = on_cluster.take if cluster.is_cluster() else pool.take_first.one_or_none
    taken = take(ids | {"claim_limit": asked.claim_limit, "timezone": timezone})
    if taken is None:
        # The same claim_ref, or other claims of what there was, may have been faster.
        now = read_request.one_or_none(request)  # None if the customer was erased meanwhile
        left = pool.candidates.all({"offer_id": asked.offer_id})
        raise LostRace if now is None or now.is_known or left else PoolEmpty
    return Claimed(taken.code, taken.expires_at, offer_name)


def check(offer_name: str) -> None:
    """Raise what a claim would refuse to any customer.

    Raises OfferNotFound, OfferNotActive, OfferBudgetExhausted and PoolEmpty.
    """
    offer = read_offer.one_or_none({"offer_name": offer_name})
    if offer is None:
        raise OfferNotFound("No offer has this name.")
    if not offer.is_offered:
        raise OfferNotActive
    if offer.has_budget and not budgets.has_room(offer.id, None, None, None):
        raise OfferBudgetExhausted
    if not pool.candidates.all({"offer_id": offer.id}):
        raise PoolEmpty


def _has_claimed_all(asked: ClaimRequest) -> bool:
    """Tell whether the customer has claimed as many of the offer's vouchers as it allows."""
    if asked.claim_limit is None:
        return False
    found = count.one_or_none({"offer_id": asked.offer_id, "customer_id": asked.customer_id})
    return found is not None and found.claimed >= asked.claim_limit


def _claimed_before(offer_id: int, claim_ref: str, customer_id: int) -> Claimed:
    """Return the voucher that a claim_ref took, including the archive."""
    claim = db.session.get_one(Claim, (offer_id, claim_ref))
    if claim.customer_id != customer_id:
        raise ClaimMismatch
    this = {"key": claim.code_key, "claimed_at": claim.claimed_at}
    voucher = db.session.execute(claimed_before, this).one_or_none()
    if voucher is None:
        raise VoucherNotFound("The voucher of this claim was purged.")
    return Claimed(*voucher)


read_request = Statement(
    "claim_request",
    ClaimRequest,
    f"""
    SELECT customers.id AS customer_id,
        offers.id AS offer_id,
        {rules.offer_is_active} AS is_offered,
        max_redemptions_per_customer AS customer_limit,
        NOT ({budgets.is_absent}) AS has_budget,
        max_claims_per_customer AS claim_limit,
        EXISTS (
            SELECT 1 FROM claims WHERE offer_id = offers.id AND claim_ref = :claim_ref
        ) AS is_known
    FROM customers LEFT JOIN offers ON offers.name = :offer_name
    WHERE customers.email_key = :email""",
    {"email": "text", "offer_name": "text", "claim_ref": "text"},
)


class ClaimCount(NamedTuple):
    """How many vouchers of an offer a customer has claimed."""

    claimed: int


count = Statement(
    "claim_count",
    ClaimCount,
    "SELECT claimed FROM claim_counts WHERE offer_id = :offer_id AND customer_id = :customer_id",
    {"offer_id": "bigint", "customer_id": "bigint"},
)


class OfferState(NamedTuple):
    """An offer as a customer who is still unknown sees it."""

    id: int
    is_offered: bool
    has_budget: bool


read_offer = Statement(
    "offer_of_claim",
    OfferState,
    f"""
    SELECT id, {rules.offer_is_active} AS is_offered, NOT ({budgets.is_absent}) AS has_budget
    FROM offers WHERE name = :offer_name""",
    {"offer_name": "text"},
)

claimed_before = including_archive(
    select(Voucher.code, Voucher.expires_at, Offer.name.label("offer_name"))
    .join(Offer, Offer.id == Voucher.offer_id)
    .where(
        Voucher.code_key == bindparam("key"),
        Voucher.claimed_at == bindparam("claimed_at", type_=DateTime(timezone=True)),
    )
)

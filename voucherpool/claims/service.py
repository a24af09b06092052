"""Claims: binds vouchers of an offer's pool to customers."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    DateTime,
    Text,
    bindparam,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from voucherpool.claims import pool
from voucherpool.claims.models import Claim
from voucherpool.customers.models import Customer
from voucherpool.database.model import db
from voucherpool.database.statements import Statement
from voucherpool.errors import (
    ClaimMismatch,
    CustomerLimitReached,
    CustomerNotFound,
    OfferNotActive,
    OfferNotFound,
    VoucherNotFound,
)
from voucherpool.input.emails import email_key
from voucherpool.offers import counts
from voucherpool.offers.models import Offer
from voucherpool.vouchers import event_types, events, limits
from voucherpool.vouchers.archived import including_archive
from voucherpool.vouchers.models import Voucher


class Claimed(NamedTuple):
    """A claimed voucher as its customer sees it."""

    code: str
    expires_at: datetime
    offer_name: str


class Asked(NamedTuple):
    """The customer and the offer of a claim; `offer_id` is None if no offer has the name."""

    customer_id: int
    offer_id: int | None
    is_offered: bool
    customer_limit: int | None


def claim(email: str, offer_name: str, claim_ref: str | None = None) -> Claimed:
    """Bind a voucher of the offer's pool to the customer: the oldest expiry, then the first issued.

    A repeat with the same `claim_ref` gets its voucher, even if used, expired or archived.

    Raises CustomerNotFound, OfferNotFound, OfferNotActive, CustomerLimitReached, PoolEmpty,
    ClaimMismatch if the `claim_ref` belongs to another customer, VoucherNotFound if its voucher
    was purged, and LostRace.
    """
    asked = ask.one_or_none({"email": email_key(email), "offer_name": offer_name})
    if asked is None:
        raise CustomerNotFound
    if asked.offer_id is None:
        raise OfferNotFound("No offer has this name.")
    this = {"offer_id": asked.offer_id, "ref": claim_ref, "customer_id": asked.customer_id}
    if claim_ref is not None and not db.session.scalar(remember_claim, this):
        return _claimed_before(asked.offer_id, claim_ref, asked.customer_id)
    if not asked.is_offered:
        raise OfferNotActive
    if limits.reached(asked.offer_id, asked.customer_id, asked.customer_limit):
        raise CustomerLimitReached
    taken = pool.take(asked.offer_id, asked.customer_id)
    if claim_ref is not None:
        settled = {"offer": asked.offer_id, "ref": claim_ref, "key": taken.code_key}
        db.session.execute(settle, settled)
    events.record(event_types.claimed, taken.code_key)
    counts.count(asked.offer_id, claimed=1)
    return Claimed(taken.code, taken.expires_at, offer_name)


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


_offer_id = bindparam("offer_id", type_=BigInteger)
_customer_id = bindparam("customer_id", type_=BigInteger)
_claim_ref = bindparam("ref", type_=Text)

ask = Statement(
    "ask_for_claim",
    Asked,
    select(
        Customer.id.label("customer_id"),
        Offer.id.label("offer_id"),
        Offer.is_active().label("is_offered"),
        Offer.max_redemptions_per_customer.label("customer_limit"),
    )
    .outerjoin(Offer, Offer.name == bindparam("offer_name"))
    .where(Customer.email_key == bindparam("email")),
)

# Waits for a concurrent request with this claim_ref.
remember_claim = (
    insert(Claim.__table__)
    .values(offer_id=_offer_id, claim_ref=_claim_ref, customer_id=_customer_id)
    .on_conflict_do_nothing(index_elements=["offer_id", "claim_ref"])
    .returning(Claim.offer_id)
)

settle = (
    update(Claim.__table__)
    .where(Claim.offer_id == bindparam("offer"), Claim.claim_ref == _claim_ref)
    .values(code_key=bindparam("key"))
)

claimed_before = including_archive(
    select(Voucher.code, Voucher.expires_at, Offer.name.label("offer_name"))
    .join(Offer, Offer.id == Voucher.offer_id)
    .where(
        Voucher.code_key == bindparam("key"),
        Voucher.claimed_at == bindparam("claimed_at", type_=DateTime(timezone=True)),
    )
)

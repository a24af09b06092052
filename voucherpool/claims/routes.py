"""The claims' route."""

from collections.abc import Callable
from contextlib import suppress
from functools import wraps

from flask import Response

from voucherpool.claims import schemas, service
from voucherpool.customers.guests import with_guest
from voucherpool.customers.visitors import visitor
from voucherpool.database.transactions import transaction
from voucherpool.errors import (
    ClaimMismatch,
    CustomerLimitReached,
    CustomerNotFound,
    OfferNotActive,
    OfferNotFound,
    OutcomeUnknown,
    PoolEmpty,
    TooManyFailedAttempts,
    VoucherNotFound,
)
from voucherpool.http.blueprints import Blueprint, Fields
from voucherpool.http.idempotency import write

blueprint = Blueprint(
    "claims",
    __name__,
    url_prefix="/vouchers",
    description="Vouchers from an offer's pool.",
)


def counted(view: Callable[[Fields], Response]) -> Callable[[Fields], Response]:
    """Count an unknown offer as a failed attempt; refuse visitors without attempts.

    A visitor may type an offer's name as they type a code.
    """

    @wraps(view)
    def run(body: Fields) -> Response:
        asking = visitor(body)
        asking.admit()
        try:
            return view(body)
        except OfferNotFound:
            with suppress(OutcomeUnknown), transaction():
                asking.count_failure()
            raise

    return run


def look_for_guest(body: Fields) -> None:
    """Raise what a claim would refuse to a customer who is still unknown."""
    service.check(body["offer_name"])


@blueprint.post("/claim")
@blueprint.guarded(
    "issue",
    TooManyFailedAttempts,
    *(CustomerNotFound, OfferNotFound, VoucherNotFound),
    *(OfferNotActive, CustomerLimitReached, PoolEmpty, ClaimMismatch),
)
@blueprint.arguments(schemas.ClaimRequest())
@counted
@with_guest(look_for_guest)
@write
@blueprint.response(201, schemas.Claimed())
def claim_voucher(body: Fields) -> service.Claimed:
    """Claim the voucher of an offer's pool that expires first, for a customer."""
    return service.claim(**body)

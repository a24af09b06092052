"""The claims' route."""

from voucherpool.claims import schemas, service
from voucherpool.customers.guests import with_guest
from voucherpool.errors import (
    ClaimMismatch,
    CustomerLimitReached,
    CustomerNotFound,
    OfferNotActive,
    OfferNotFound,
    PoolEmpty,
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


@blueprint.post("/claim")
@blueprint.guarded(
    "issue",
    *(CustomerNotFound, OfferNotFound, VoucherNotFound),
    *(OfferNotActive, CustomerLimitReached, PoolEmpty, ClaimMismatch),
)
@blueprint.arguments(schemas.ClaimRequest())
@with_guest
@write
@blueprint.response(201, schemas.Claimed())
def claim_voucher(body: Fields) -> service.Claimed:
    """Claim the voucher of an offer's pool that expires first, for a customer."""
    return service.claim(**body)

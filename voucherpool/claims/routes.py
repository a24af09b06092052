"""The claims' route."""

from typing import Any

from voucherpool.claims import schemas, service
from voucherpool.errors import (
    ClaimMismatch,
    CustomerLimitReached,
    CustomerNotFound,
    OfferNotActive,
    OfferNotFound,
    PoolEmpty,
    VoucherNotFound,
)
from voucherpool.http.idempotency import write
from voucherpool.http.openapi import Blueprint

blueprint = Blueprint("claims", __name__, url_prefix="/vouchers")

refusals = (
    CustomerNotFound,
    OfferNotFound,
    VoucherNotFound,
    OfferNotActive,
    CustomerLimitReached,
    PoolEmpty,
    ClaimMismatch,
)


@blueprint.post("/claim")
@blueprint.guarded("issue", *refusals)
@blueprint.arguments(schemas.ClaimRequest())
@write
@blueprint.response(201, schemas.Claimed())
def claim(body: dict[str, Any]) -> Any:
    """Bind the offer's unbound voucher that expires first to the customer."""
    return service.claim(**body)

"""The redemptions' routes."""

import uuid
from collections.abc import Sequence

from voucherpool.database.paging import Page
from voucherpool.errors import CustomerNotFound, RedemptionNotFound, VoucherArchived
from voucherpool.http.blueprints import Blueprint, Fields
from voucherpool.http.idempotency import write
from voucherpool.redemptions import schemas, service
from voucherpool.redemptions.ledger import Entry

blueprint = Blueprint(
    "redemptions",
    __name__,
    url_prefix="/redemptions",
    description="The ledger of redemptions, and giving them back.",
)


@blueprint.get("")
@blueprint.guarded("read", CustomerNotFound)
@blueprint.arguments(schemas.RedemptionsRequest(), location="query")
@blueprint.response(200, schemas.redemptions_page)
def list_redemptions(query: Fields) -> Page:
    """List the redemptions of an order, of a customer, or of both, the oldest first."""
    return service.list_redemptions(after=query.pop("cursor", None), **query)


@blueprint.post("/<uuid:redemption_id>/reverse")
@blueprint.guarded("redeem", RedemptionNotFound, VoucherArchived)
@blueprint.arguments(schemas.Nothing(), required=False)
@write
@blueprint.response(200, schemas.Redemption())
def reverse_redemption(body: Fields, redemption_id: uuid.UUID) -> Entry:
    """Give back a redemption; a repeat changes nothing."""
    return service.reverse(redemption_id)


@blueprint.post("/reverse")
@blueprint.guarded("redeem", RedemptionNotFound, VoucherArchived)
@blueprint.arguments(schemas.OrderRequest())
@write
@blueprint.response(200, schemas.OrderRedemptions())
def reverse_order(body: Fields) -> dict[str, Sequence[Entry]]:
    """Give back all redemptions of an order."""
    return {"items": service.reverse_order(**body)}

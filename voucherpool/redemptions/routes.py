"""The redemptions' routes."""

import uuid
from collections.abc import Sequence

from flask import Response

from voucherpool.batches.errors import BatchNotFound
from voucherpool.customers.errors import CustomerNotFound
from voucherpool.database.paging import Page
from voucherpool.database.transactions import long_transaction
from voucherpool.http.files import attachments
from voucherpool.http.files.transfers import TooManyTransfers
from voucherpool.http.routes import Blueprint, Fields
from voucherpool.offers.errors import OfferNotFound
from voucherpool.redemptions import schemas, search, service
from voucherpool.redemptions.errors import RedemptionNotFound
from voucherpool.redemptions.ledger import Entry
from voucherpool.vouchers.errors import VoucherArchived

blueprint = Blueprint(
    "redemptions",
    __name__,
    url_prefix="/redemptions",
    description="The ledger of redemptions, and giving them back.",
)


@blueprint.get(
    "",
    scope="read",
    query=schemas.RedemptionsRequest(),
    answer=(200, schemas.Redemptions()),
    refuses=(CustomerNotFound,),
)
def list_redemptions(query: Fields) -> dict[str, object]:
    """List the redemptions of an order, of a customer, or of both, the oldest first.

    With an order_ref it also tells how much the order's vouchers took off in all.
    """
    page = service.list_redemptions(after=query.pop("cursor", None), **query)
    return {**page._asdict(), "discounted": service.discounted(query.get("order_ref"))}


@blueprint.post(
    "/search",
    scope="read",
    or_scope="support",
    body=schemas.RedemptionSearch(),
    body_is_optional=True,
    answer=(200, schemas.found_page),
    refuses=(CustomerNotFound, OfferNotFound, BatchNotFound),
)
def search_redemptions(body: Fields) -> Page:
    """Search the redemptions, the oldest first; codes are in no address."""
    return search.search(body.pop("limit"), body.pop("cursor", None), **body)


@blueprint.post(
    "/export",
    scope="read",
    or_scope="support",
    body=schemas.RedemptionExport(),
    body_is_optional=True,
    sends_file=True,
    refuses=(CustomerNotFound, OfferNotFound, BatchNotFound, TooManyTransfers),
    documented=attachments.documented(tuple(search.cells)),
)
def export_redemptions(body: Fields) -> Response:
    """Export the redemptions that a search finds as a file, the oldest first."""
    with long_transaction():
        bom = body.pop("bom")
        found = search.exported(**body)
        return attachments.csv("redemptions.csv", tuple(search.cells), found, bom=bom)


@blueprint.post(
    "/<uuid:redemption_id>/reverse",
    scope="redeem",
    or_scope="support",
    body=schemas.Reversal(),
    body_is_optional=True,
    answer=(200, schemas.Redemption()),
    refuses=(RedemptionNotFound, VoucherArchived),
    writes=True,
)
def reverse_redemption(body: Fields, redemption_id: uuid.UUID) -> Entry:
    """Give back a redemption; a repeat changes nothing."""
    return service.reverse(redemption_id, **body)


@blueprint.post(
    "/reverse",
    scope="redeem",
    or_scope="support",
    body=schemas.OrderRequest(),
    answer=(200, schemas.OrderRedemptions()),
    refuses=(RedemptionNotFound, VoucherArchived),
    writes=True,
)
def reverse_order(body: Fields) -> dict[str, Sequence[Entry]]:
    """Give back all redemptions of an order."""
    return {"items": service.reverse_order(**body)}

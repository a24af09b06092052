"""The offers' routes."""

from voucherpool.database.paging import Page
from voucherpool.http.routes import Blueprint, Fields
from voucherpool.offers import schemas, service
from voucherpool.offers.errors import OfferExists, OfferNameSimilar, OfferNotFound
from voucherpool.offers.models import Offer

blueprint = Blueprint(
    "offers",
    __name__,
    url_prefix="/offers",
    description="Special offers; a voucher gives the discount of its offer.",
)


@blueprint.post(
    "",
    scope="issue",
    body=schemas.NewOffer(),
    answer=(201, schemas.Offer()),
    refuses=(OfferExists, OfferNameSimilar),
    writes=True,
)
def create_offer(body: Fields) -> Offer:
    """Create an offer."""
    return service.create(**body)


@blueprint.get("", scope="read", query=schemas.ListRequest(), answer=(200, schemas.offers_page))
def list_offers(query: Fields) -> Page:
    """List the offers, the oldest first; all, or those with a part of a name."""
    return service.list_offers(after=query.pop("cursor", None), **query)


@blueprint.get(
    "/<id:offer_id>", scope="read", answer=(200, schemas.Offer()), refuses=(OfferNotFound,)
)
def read_offer(offer_id: int) -> Offer:
    """Read an offer."""
    return service.read(offer_id)


@blueprint.patch(
    "/<id:offer_id>",
    scope="issue",
    body=schemas.OfferChanges(),
    body_is_optional=True,
    answer=(200, schemas.Offer()),
    refuses=(OfferNotFound, OfferExists),
    writes=True,
)
def change_offer(body: Fields, offer_id: int) -> Offer:
    """Change terms of an offer; this affects its vouchers, except frozen discounts."""
    return service.change(offer_id, **body)

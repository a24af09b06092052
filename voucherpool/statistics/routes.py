"""The statistics' routes."""

from voucherpool.http.routes import Blueprint, Fields
from voucherpool.offers.errors import OfferNotFound
from voucherpool.statistics import schemas, service

blueprint = Blueprint(
    "statistics", __name__, description="Counts and sums of one offer, and of all."
)


@blueprint.get(
    "/offers/<id:offer_id>/stats",
    scope="read",
    query=schemas.StatisticsRequest(),
    answer=(200, schemas.Statistics()),
    refuses=(OfferNotFound,),
)
def read_statistics(query: Fields, offer_id: int) -> service.Statistics:
    """Count an offer's vouchers and redemptions, in total and by day, the newest day first."""
    return service.read(offer_id, **query)


@blueprint.get(
    "/stats",
    scope="read",
    query=schemas.StatisticsRequest(),
    answer=(200, schemas.AllStatistics()),
)
def read_all_statistics(query: Fields) -> service.Statistics:
    """Count the events of all offers in a period, in total, by offer, and by day."""
    return service.read_all(**query)

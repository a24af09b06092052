"""The batches' routes."""

from voucherpool.batches import generating, schemas, service
from voucherpool.batches.errors import BatchFinished, BatchNotFound
from voucherpool.database.paging import Page
from voucherpool.http.routes import Blueprint, Fields
from voucherpool.input.schemas import PageRequest
from voucherpool.offers.errors import OfferNotFound

blueprint = Blueprint(
    "batches", __name__, description="Vouchers in bulk, issued in the background."
)


@blueprint.post(
    "/offers/<id:offer_id>/batches",
    scope="issue",
    body=schemas.NewBatch(),
    answer=(202, schemas.Batch()),
    refuses=(OfferNotFound, service.TooManyBatches),
    writes=True,
    created=("batches.read_batch", "batch_id"),
)
def create_batch(body: Fields, offer_id: int) -> service.Progress:
    """Request vouchers in bulk; a worker generates them in the background."""
    return service.create(offer_id, **body)


@blueprint.get(
    "/offers/<id:offer_id>/batches",
    scope="issue",
    query=PageRequest(),
    answer=(200, schemas.batches_page),
    refuses=(OfferNotFound,),
)
def list_batches(query: Fields, offer_id: int) -> Page:
    """List the batches of an offer, the oldest first."""
    return service.list_batches(offer_id, query["limit"], query.get("cursor"))


@blueprint.post(
    "/batches/<id:batch_id>/cancel",
    scope="issue",
    answer=(200, schemas.Batch()),
    refuses=(BatchNotFound, BatchFinished),
    writes=True,
)
def cancel_batch(batch_id: int) -> service.Progress:
    """Cancel a batch; the vouchers that it has issued stay."""
    return generating.cancel(batch_id)


@blueprint.get(
    "/batches/<id:batch_id>", scope="issue", answer=(200, schemas.Batch()), refuses=(BatchNotFound,)
)
def read_batch(batch_id: int) -> service.Progress:
    """Read a batch and its progress."""
    return service.read(batch_id)

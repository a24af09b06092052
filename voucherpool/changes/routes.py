"""The changes' routes."""

from flask import current_app

from voucherpool.batches.errors import BatchNotFound
from voucherpool.changes import deleting, schemas, service
from voucherpool.database.paging import Page
from voucherpool.http.routes import Blueprint, Fields
from voucherpool.input.schemas import PageRequest
from voucherpool.offers.errors import OfferNotFound

blueprint = Blueprint(
    "changes", __name__, description="Changes of many vouchers, in the background."
)


@blueprint.post(
    "/batches/<id:batch_id>/changes",
    scope="admin",
    body=schemas.NewChange(),
    answer=(202, schemas.Change()),
    refuses=(BatchNotFound, service.BatchUnfinished),
    writes=True,
    created=("changes.read_change", "change_id"),
)
def change_batch(body: Fields, batch_id: int) -> service.Progress:
    """Change or disable the vouchers of a batch; a worker does it in the background."""
    return service.change_batch(batch_id, **body, timezone=_timezone())


@blueprint.post(
    "/offers/<id:offer_id>/changes",
    scope="admin",
    body=schemas.NewChange(),
    answer=(202, schemas.Change()),
    refuses=(OfferNotFound,),
    writes=True,
    created=("changes.read_change", "change_id"),
)
def change_vouchers_of_offer(body: Fields, offer_id: int) -> service.Progress:
    """Change or disable the vouchers of an offer; a worker does it in the background."""
    return service.change_offer(offer_id, **body, timezone=_timezone())


@blueprint.get(
    "/offers/<id:offer_id>/changes",
    scope="admin",
    query=PageRequest(),
    answer=(200, schemas.changes_page),
    refuses=(OfferNotFound,),
)
def list_changes(query: Fields, offer_id: int) -> Page:
    """List the changes of an offer and its batches, the oldest first."""
    return service.list_changes(offer_id, query["limit"], query.get("cursor"))


@blueprint.get(
    "/changes/<id:change_id>",
    scope="admin",
    answer=(200, schemas.Change()),
    refuses=(service.ChangeNotFound,),
)
def read_change(change_id: int) -> service.Progress:
    """Read a change and its progress."""
    return service.read(change_id)


@blueprint.post(
    "/changes/<id:change_id>/cancel",
    scope="admin",
    answer=(200, schemas.Change()),
    refuses=(service.ChangeNotFound, service.ChangeFinished),
    writes=True,
)
def cancel_change(change_id: int) -> service.Progress:
    """Cancel a change; what it has changed stays changed."""
    return service.cancel(change_id)


@blueprint.delete(
    "/batches/<id:batch_id>",
    scope="admin",
    answer=(204, None),
    refuses=(BatchNotFound, service.BatchUnfinished, deleting.BatchInUse),
    writes=True,
)
def delete_batch(batch_id: int) -> None:
    """Delete a batch and its vouchers, if none was ever redeemed or is held."""
    deleting.delete_batch(batch_id)


@blueprint.delete(
    "/offers/<id:offer_id>",
    scope="admin",
    answer=(204, None),
    refuses=(OfferNotFound, deleting.OfferInUse),
    writes=True,
)
def delete_offer(offer_id: int) -> None:
    """Delete an offer, its batches and its vouchers, if none was ever redeemed or is held."""
    deleting.delete_offer(offer_id)


def _timezone() -> str:
    name: str = current_app.config["TIMEZONE"]
    return name

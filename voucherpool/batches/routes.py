"""The batches' routes."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from flask import Response, url_for

from voucherpool.batches import schemas, service
from voucherpool.database.paging import Page
from voucherpool.errors import BatchNotFound, OfferNotFound
from voucherpool.http.blueprints import Blueprint, Fields
from voucherpool.http.idempotency import write
from voucherpool.input.schemas import PageRequest

Arguments = ParamSpec("Arguments")

blueprint = Blueprint(
    "batches", __name__, description="Vouchers in bulk, issued in the background."
)

location = {"Location": {"schema": {"type": "string"}, "description": "The batch's address."}}


def located(view: Callable[Arguments, Response]) -> Callable[Arguments, Response]:
    """Add the batch's Location, also to a repeated answer."""

    @wraps(view)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Response:
        response = view(*args, **kwargs)
        batch = response.get_json()
        response.headers["Location"] = url_for("batches.read_batch", batch_id=batch["id"])
        return response

    return run


@blueprint.post("/offers/<id:offer_id>/batches")
@blueprint.guarded("issue", OfferNotFound, service.TooManyBatches)
@blueprint.arguments(schemas.NewBatch())
@located
@write
@blueprint.response(202, schemas.Batch(), headers=location)
def create_batch(body: Fields, offer_id: int) -> service.Progress:
    """Request vouchers in bulk; a worker generates them in the background."""
    return service.create(offer_id, **body)


@blueprint.get("/offers/<id:offer_id>/batches")
@blueprint.guarded("issue", OfferNotFound)
@blueprint.arguments(PageRequest(), location="query")
@blueprint.response(200, schemas.batches_page)
def list_batches(query: Fields, offer_id: int) -> Page:
    """List the batches of an offer, the oldest first."""
    return service.list_batches(offer_id, query["limit"], query.get("cursor"))


@blueprint.get("/batches/<id:batch_id>")
@blueprint.guarded("issue", BatchNotFound)
@blueprint.response(200, schemas.Batch())
def read_batch(batch_id: int) -> service.Progress:
    """Read a batch and its progress."""
    return service.read(batch_id)

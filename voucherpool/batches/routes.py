"""The batches' routes."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Response, url_for

from voucherpool.batches import schemas, service
from voucherpool.errors import BatchNotFound, OfferNotFound
from voucherpool.http.idempotency import write
from voucherpool.http.openapi import Blueprint

blueprint = Blueprint("batches", __name__)

location = {"Location": {"schema": {"type": "string"}, "description": "The batch's address."}}


def located(view: Callable[..., Response]) -> Callable[..., Response]:
    """Add the batch's Location, also to a repeated answer."""

    @wraps(view)
    def run(*args: Any, **kwargs: Any) -> Response:
        response = view(*args, **kwargs)
        batch = response.get_json()
        response.headers["Location"] = url_for("batches.read_batch", batch_id=batch["id"])
        return response

    return run


@blueprint.post("/offers/<id:offer_id>/batches")
@blueprint.guarded("issue", OfferNotFound)
@blueprint.arguments(schemas.NewBatch())
@located
@write
@blueprint.response(202, schemas.Batch(), headers=location)
def create_batch(body: dict[str, Any], offer_id: int) -> Any:
    """Request vouchers in bulk; a worker generates them in the background."""
    return service.create(offer_id, **body)


@blueprint.get("/offers/<id:offer_id>/batches")
@blueprint.guarded("issue", OfferNotFound)
@blueprint.arguments(schemas.ListRequest(), location="query")
@blueprint.response(200, schemas.Batches())
def list_batches(query: dict[str, Any], offer_id: int) -> Any:
    """List the batches of an offer, the oldest first."""
    return service.list_batches(offer_id, query["limit"], query.get("cursor"))


@blueprint.get("/batches/<id:batch_id>")
@blueprint.guarded("issue", BatchNotFound)
@blueprint.response(200, schemas.Batch())
def read_batch(batch_id: int) -> Any:
    """Read a batch and its progress."""
    return service.read(batch_id)

"""The batches' routes."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from flask import Response, url_for

from voucherpool.batches import schemas, service
from voucherpool.database.model import AnyRow
from voucherpool.database.paging import Page
from voucherpool.errors import BatchNotFound, OfferNotFound
from voucherpool.http.idempotency import write
from voucherpool.http.openapi import Blueprint, Fields
from voucherpool.input.fields import PageRequest

Arguments = ParamSpec("Arguments")

blueprint = Blueprint("batches", __name__)

location = {"Location": {"schema": {"type": "string"}, "description": "Where the batch is read."}}


def located(view: Callable[Arguments, Response]) -> Callable[Arguments, Response]:
    """Say where the batch is read, when the answer is a repeated one, too."""

    @wraps(view)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Response:
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
def create_batch(body: Fields, offer_id: int) -> AnyRow:
    """Ask for vouchers in bulk; they are made in the background."""
    return service.create(offer_id, **body)


@blueprint.get("/offers/<id:offer_id>/batches")
@blueprint.guarded("issue", OfferNotFound)
@blueprint.arguments(PageRequest(), location="query")
@blueprint.response(200, schemas.batches_page)
def list_batches(query: Fields, offer_id: int) -> Page:
    """List the batches of an offer in the order in which they were asked for."""
    return service.list_batches(offer_id, query["limit"], query.get("cursor"))


@blueprint.get("/batches/<id:batch_id>")
@blueprint.guarded("issue", BatchNotFound)
@blueprint.response(200, schemas.Batch())
def read_batch(batch_id: int) -> AnyRow:
    """Read how far a batch is."""
    return service.read(batch_id)

"""The files' routes."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial, wraps
from pathlib import Path
from tempfile import TemporaryFile

from flask import Response

from voucherpool.database.model import AnySelect
from voucherpool.database.transactions import long_transaction, transaction
from voucherpool.errors import BatchNotFound, OfferNotFound
from voucherpool.files import exporting, importing, layout, schemas
from voucherpool.files.parsing import Parsed, parsed
from voucherpool.http.blueprints import Blueprint, Fields
from voucherpool.http.idempotency import write
from voucherpool.http.transfers import TooManyTransfers, few_at_once
from voucherpool.http.uploads import uploaded

blueprint = Blueprint("files", __name__, description="Vouchers as CSV files: import and export.")

chunk_bytes = 64 * 1024
csv = {"type": "string", "description": f"Its columns: {', '.join(layout.columns)}."}
disposition = {"Content-Disposition": {"schema": {"type": "string"}}}
example = "code,email,expires_at\r\nSUMMER-26,,2099-12-31T23:59:59Z\r\n"
body = {"required": True, "content": {layout.media_type: {"schema": csv, "example": example}}}


def parsed_first(
    view: Callable[[Fields, int, Parsed], Response],
) -> Callable[[Fields, int, Path], Response]:
    """Parse the uploaded file before the view, whose transaction would wait for it."""

    @wraps(view)
    def run(query: Fields, offer_id: int, path: Path) -> Response:
        with transaction():
            readers = importing.readers(offer_id, query.pop("timezone"))
        with parsed(path, readers) as file:
            return view(query, offer_id, file)

    return run


@blueprint.get("/offers/<id:offer_id>/codes")
@few_at_once
@blueprint.guarded("issue", OfferNotFound, TooManyTransfers)
@blueprint.response(200, csv, content_type=layout.media_type, headers=disposition)
def export_offer(offer_id: int) -> Response:
    """Export the vouchers of an offer as a file, in the order of issue."""
    with long_transaction():
        return _attachment(exporting.of_offer(offer_id), f"offer-{offer_id}.csv")


@blueprint.get("/batches/<id:batch_id>/codes")
@few_at_once
@blueprint.guarded("issue", BatchNotFound, TooManyTransfers)
@blueprint.response(200, csv, content_type=layout.media_type, headers=disposition)
def export_batch(batch_id: int) -> Response:
    """Export the vouchers of a batch as a file, in the order of issue."""
    with long_transaction():
        return _attachment(exporting.of_batch(batch_id), f"batch-{batch_id}.csv")


@blueprint.post("/offers/<id:offer_id>/imports")
@few_at_once
@uploaded(layout.media_type)
@blueprint.guarded("issue", OfferNotFound, TooManyTransfers)
@blueprint.doc(requestBody=body)
@blueprint.arguments(schemas.ImportRequest(), location="query")
@parsed_first
@write
@blueprint.response(201, schemas.Imported())
def import_vouchers(query: Fields, offer_id: int, file: Parsed) -> dict[str, int]:
    """Issue the vouchers of a file, all of them or none; `expiry` is for lines without one."""
    return {"imported": importing.load(file, offer_id, **query)}


def _attachment(chosen: AnySelect, name: str) -> Response:
    """Write the whole file before any of it is sent.

    So a slow client blocks no database connection, and a failure cannot look like the file's end.
    """
    with ExitStack() as undo:
        file = undo.enter_context(TemporaryFile())
        exporting.write(file, chosen)
        response = Response(
            iter(partial(file.read, chunk_bytes), b""),
            content_type=f"{layout.media_type}; charset=utf-8",
            headers={
                "Content-Disposition": f'attachment; filename="{name}"',
                "Content-Length": str(os.fstat(file.fileno()).st_size),
            },
        )
        response.call_on_close(undo.pop_all().close)
        return response

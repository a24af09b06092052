"""The files' routes."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from tempfile import TemporaryFile

from flask import Response

from voucherpool.database.model import AnySelect
from voucherpool.database.transactions import long_transaction, transaction
from voucherpool.errors import BatchNotFound, OfferNotFound
from voucherpool.files import exporting, importing, layout, schemas
from voucherpool.files.parsing import parsed
from voucherpool.http.routes import Blueprint, Fields
from voucherpool.http.transfers import TooManyTransfers

blueprint = Blueprint("files", __name__, description="Vouchers as CSV files: import and export.")

chunk_bytes = 64 * 1024
csv = {"type": "string", "description": f"Its columns: {', '.join(layout.columns)}."}
exported: Fields = {
    "responses": {
        "200": {
            "description": "OK",
            "headers": {"Content-Disposition": {"schema": {"type": "string"}}},
            "content": {layout.media_type: {"schema": csv}},
        }
    }
}
example = "code,email,expires_at\r\nSUMMER-26,,2099-12-31T23:59:59Z\r\n"
body = {"required": True, "content": {layout.media_type: {"schema": csv, "example": example}}}


@contextmanager
def parsed_first(fields: Fields, offer_id: int) -> Iterator[Fields]:
    """Parse the uploaded file before the view, whose transaction would wait for it."""
    with transaction():
        readers = importing.readers(offer_id, fields.pop("timezone"))
    with parsed(fields.pop("path"), readers) as file:
        yield fields | {"file": file}


@blueprint.get(
    "/offers/<id:offer_id>/codes",
    scope="issue",
    sends_file=True,
    refuses=(OfferNotFound, TooManyTransfers),
    documented=exported,
)
def export_offer(offer_id: int) -> Response:
    """Export the vouchers of an offer as a file, in the order of issue."""
    with long_transaction():
        return _attachment(exporting.of_offer(offer_id), f"offer-{offer_id}.csv")


@blueprint.get(
    "/batches/<id:batch_id>/codes",
    scope="issue",
    sends_file=True,
    refuses=(BatchNotFound, TooManyTransfers),
    documented=exported,
)
def export_batch(batch_id: int) -> Response:
    """Export the vouchers of a batch as a file, in the order of issue."""
    with long_transaction():
        return _attachment(exporting.of_batch(batch_id), f"batch-{batch_id}.csv")


@blueprint.post(
    "/offers/<id:offer_id>/imports",
    scope="issue",
    query=schemas.ImportRequest(),
    receives=layout.media_type,
    answer=(201, schemas.Imported()),
    refuses=(OfferNotFound, TooManyTransfers),
    writes=True,
    around=parsed_first,
    documented={"requestBody": body},
)
def import_vouchers(query: Fields, offer_id: int) -> dict[str, int]:
    """Issue the vouchers of a file, all of them or none; `expiry` is for lines without one."""
    return {"imported": importing.load(offer_id=offer_id, **query)}


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

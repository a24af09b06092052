"""The files' routes."""

from collections.abc import Iterator
from contextlib import contextmanager

from flask import Response

from voucherpool.batches.errors import BatchNotFound
from voucherpool.database.csv_files import media_type
from voucherpool.database.transactions import long_transaction, transaction
from voucherpool.files import exporting, importing, layout, schemas
from voucherpool.files.parsing import parsed
from voucherpool.http.files import attachments
from voucherpool.http.files.transfers import TooManyTransfers
from voucherpool.http.routes import Blueprint, Fields
from voucherpool.input.schemas import FileExport
from voucherpool.offers.errors import OfferNotFound

blueprint = Blueprint("files", __name__, description="Vouchers as CSV files: import and export.")

exported = attachments.documented(layout.columns)
csv = {"type": "string", "description": f"Its columns: {', '.join(layout.columns)}."}
example = "code,email,expires_at\r\nSUMMER-26,,2099-12-31T23:59:59Z\r\n"
body = {"required": True, "content": {media_type: {"schema": csv, "example": example}}}


@contextmanager
def parsed_first(fields: Fields, offer_id: int) -> Iterator[Fields]:
    """Parse the uploaded file before the view, whose transaction would wait for it."""
    with transaction():
        readers = importing.readers(offer_id, fields.pop("timezone"))
    with parsed(fields.pop("path"), readers, encoding=fields.pop("encoding")) as file:
        yield fields | {"file": file}


@blueprint.get(
    "/offers/<id:offer_id>/codes",
    scope="issue",
    query=FileExport(),
    sends_file=True,
    refuses=(OfferNotFound, TooManyTransfers),
    documented=exported,
)
def export_offer(query: Fields, offer_id: int) -> Response:
    """Export the vouchers of an offer as a file, in the order of issue."""
    with long_transaction():
        return attachments.csv(
            f"offer-{offer_id}.csv", layout.columns, exporting.of_offer(offer_id), **query
        )


@blueprint.get(
    "/batches/<id:batch_id>/codes",
    scope="issue",
    query=FileExport(),
    sends_file=True,
    refuses=(BatchNotFound, TooManyTransfers),
    documented=exported,
)
def export_batch(query: Fields, batch_id: int) -> Response:
    """Export the vouchers of a batch as a file, in the order of issue."""
    with long_transaction():
        return attachments.csv(
            f"batch-{batch_id}.csv", layout.columns, exporting.of_batch(batch_id), **query
        )


@blueprint.post(
    "/offers/<id:offer_id>/imports",
    scope="issue",
    query=schemas.ImportRequest(),
    receives=media_type,
    answer=(201, schemas.ImportResult()),
    refuses=(OfferNotFound, TooManyTransfers),
    writes=True,
    around=parsed_first,
    documented={"requestBody": body},
)
def import_vouchers(query: Fields, offer_id: int) -> importing.Imported:
    """Issue the vouchers of a file, all of them or none; `expiry` is for lines without one."""
    return importing.load(offer_id=offer_id, **query)

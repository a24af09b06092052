"""The routes of the audit log. Its package lies below the HTTP edge."""

from flask import Response

from voucherpool.audit import schemas, service
from voucherpool.database.paging import Page
from voucherpool.database.transactions import long_transaction
from voucherpool.http.files import attachments
from voucherpool.http.files.transfers import TooManyTransfers
from voucherpool.http.routes import Blueprint, Fields

blueprint = Blueprint(
    "audit_log", __name__, url_prefix="/audit-log", description="Who did what, and why."
)


@blueprint.get(
    "", scope="admin", query=schemas.EntriesRequest(), answer=(200, schemas.entries_page)
)
def list_audit_log(query: Fields) -> Page:
    """List the administrative writes, the newest first."""
    return service.list_entries(query.pop("limit"), query.pop("cursor", None), **query)


@blueprint.get(
    "/export",
    scope="admin",
    query=schemas.EntriesExport(),
    sends_file=True,
    refuses=(TooManyTransfers,),
    documented=attachments.documented(tuple(service.cells)),
)
def export_audit_log(query: Fields) -> Response:
    """Export the administrative writes as a file, the newest first."""
    bom = query.pop("bom")
    with long_transaction():
        found = service.exported(**query)
        return attachments.csv("audit-log.csv", tuple(service.cells), found, bom=bom)

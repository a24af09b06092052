"""The route of the audit log, whose package lies below the HTTP edge."""

from voucherpool.audit import schemas, service
from voucherpool.database.paging import Page
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

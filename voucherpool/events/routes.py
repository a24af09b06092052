"""The route of events."""

from voucherpool.events import numbering, schemas
from voucherpool.http.routes import Blueprint, Fields

blueprint = Blueprint("events", __name__, description="Events, in order.")


@blueprint.get(
    "/events", scope="admin", query=schemas.EventsRequest(), answer=(200, schemas.Events())
)
def list_events(query: Fields) -> numbering.Events:
    """List events; new ones always come after those already listed.

    Events are recorded while a webhook listens for their type, and kept for 30 days.
    """
    return numbering.list_events(query["after"], query["limit"])

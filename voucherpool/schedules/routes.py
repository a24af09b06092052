"""The schedules' routes."""

from collections.abc import Sequence
from datetime import datetime

from voucherpool.database.model import AnyRow
from voucherpool.database.paging import Page
from voucherpool.http.routes import Blueprint, Fields
from voucherpool.input.schemas import PageRequest
from voucherpool.offers.errors import OfferNotFound
from voucherpool.schedules import schemas, service
from voucherpool.schedules.errors import ScheduleExists, ScheduleNotFound

blueprint = Blueprint(
    "schedules",
    __name__,
    url_prefix="/schedules",
    description="Vouchers issued regularly, by a cron expression.",
)


@blueprint.post(
    "",
    scope="admin",
    body=schemas.NewSchedule(),
    answer=(201, schemas.Schedule()),
    refuses=(OfferNotFound, ScheduleExists),
    writes=True,
)
def create_schedule(body: Fields) -> AnyRow:
    """Create a schedule, which issues vouchers of an offer regularly."""
    return service.create(**body)


@blueprint.get("", scope="admin", query=PageRequest(), answer=(200, schemas.schedules_page))
def list_schedules(query: Fields) -> Page:
    """List the schedules, the oldest first."""
    return service.list_schedules(query["limit"], query.get("cursor"))


@blueprint.post(
    "/preview",
    scope="admin",
    body=schemas.SchedulePreviewRequest(),
    answer=(200, schemas.SchedulePreview()),
)
def preview_schedule(body: Fields) -> dict[str, Sequence[datetime]]:
    """Preview the next ten occurrences of a cron expression in a time zone."""
    return {"occurrences": service.preview(**body)}


@blueprint.get(
    "/<id:schedule_id>/runs",
    scope="admin",
    query=schemas.RunsRequest(),
    answer=(200, schemas.runs_page),
    refuses=(ScheduleNotFound,),
)
def list_schedule_runs(query: Fields, schedule_id: int) -> Page:
    """List the runs of a schedule, the newest first."""
    return service.list_runs(schedule_id, query["limit"], query.get("cursor"))


@blueprint.get(
    "/<id:schedule_id>",
    scope="admin",
    answer=(200, schemas.Schedule()),
    refuses=(ScheduleNotFound,),
)
def read_schedule(schedule_id: int) -> AnyRow:
    """Read a schedule."""
    return service.read(schedule_id)


@blueprint.patch(
    "/<id:schedule_id>",
    scope="admin",
    body=schemas.ScheduleChanges(),
    body_is_optional=True,
    answer=(200, schemas.Schedule()),
    refuses=(ScheduleNotFound, OfferNotFound, ScheduleExists),
    writes=True,
)
def change_schedule(body: Fields, schedule_id: int) -> AnyRow:
    """Change a schedule; the vouchers that it issued stay as they are."""
    return service.change(schedule_id, **body)


@blueprint.delete(
    "/<id:schedule_id>", scope="admin", answer=(204, None), refuses=(ScheduleNotFound,), writes=True
)
def delete_schedule(schedule_id: int) -> None:
    """Delete a schedule and its runs; the batches and vouchers stay."""
    service.remove(schedule_id)

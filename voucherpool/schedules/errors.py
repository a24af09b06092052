"""The errors of schedules."""

from voucherpool.errors import Conflict, NotFound


class ScheduleNotFound(NotFound):
    detail = "No schedule has this id."


class ScheduleExists(Conflict):
    detail = "A schedule with this name exists."

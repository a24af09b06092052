"""The errors of batches."""

from voucherpool.errors import Conflict, NotFound


class BatchNotFound(NotFound):
    detail = "No batch has this id."


class BatchFinished(Conflict):
    detail = "This batch is finished: there is nothing left to cancel."

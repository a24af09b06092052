"""The application, in workers that kill themselves where a request's X-Kill header says.

`before` is between the work and the commit, `after` between the commit and the answer.
"""

import os
import signal

from flask import has_request_context, request
from sqlalchemy import Engine, event

from voucherpool import create_app
from voucherpool.database.statements import Statement

app = create_app()


def die_if_told(moment: str) -> None:
    if has_request_context() and request.headers.get("X-Kill") == moment:
        os.kill(os.getpid(), signal.SIGKILL)


@event.listens_for(Engine, "before_cursor_execute")
def die_before(connection, cursor, statement, *_):
    if "COMMIT" in statement:
        die_if_told("before")


@event.listens_for(Engine, "after_cursor_execute")
def die_after(connection, cursor, statement, *_):
    if "COMMIT" in statement:
        die_if_told("after")


execute = Statement._execute


def execute_and_die(self, values, before, after):
    if after == "COMMIT":
        die_if_told("before")
    cursor = execute(self, values, before, after)
    if after == "COMMIT":
        die_if_told("after")
    return cursor


Statement._execute = execute_and_die

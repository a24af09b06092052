"""The application, in workers that kill themselves where a request's X-Kill header says.

`before` is between the work and the commit, `after` between the commit and the answer.
"""

import os
import signal

from flask import has_request_context, request
from sqlalchemy import event

from voucherpool import create_app
from voucherpool.db import db

app = create_app()


def die_if_told(moment: str) -> None:
    if has_request_context() and request.headers.get("X-Kill") == moment:
        os.kill(os.getpid(), signal.SIGKILL)


event.listen(db.session, "before_commit", lambda session: die_if_told("before"))
event.listen(db.session, "after_commit", lambda session: die_if_told("after"))

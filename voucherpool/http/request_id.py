"""Names each request, so that an answer can be found in the logs."""

import re
import secrets

from flask import Flask, Response, g, request

from voucherpool.observability import logs

# Visible ASCII only: the name goes back out in a header and into the log.
acceptable = re.compile(r"[\x21-\x7e]{1,128}")


def init_app(app: Flask) -> None:
    """Take the request's name from X-Request-Id or make one, and answer with it."""
    app.before_request(_name)
    app.after_request(_answer_with_name)
    app.teardown_appcontext(_forget_name)


def _name() -> None:
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if acceptable.fullmatch(given) else secrets.token_hex(8)
    logs.request_id.set(g.request_id)


def _answer_with_name(response: Response) -> Response:
    response.headers["X-Request-Id"] = g.request_id
    return response


def _forget_name(_: BaseException | None) -> None:
    # The thread's next words may be gunicorn's, about a request that came to no name.
    logs.request_id.set(None)

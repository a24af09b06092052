"""Limits how many files a process sends and receives at once, so that other requests find a thread.

A file takes its thread for seconds of computing, or for as long as its client is slow.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import wraps
from http import HTTPStatus
from threading import BoundedSemaphore
from weakref import finalize

from flask import Flask, Response, current_app

from voucherpool.errors import VoucherPoolError

View = Callable[..., Response]


class TooManyTransfers(VoucherPoolError, status=HTTPStatus.SERVICE_UNAVAILABLE):
    detail = "Too many files are on their way: try again after the seconds in Retry-After."
    headers: Mapping[str, str] = {"Retry-After": "5"}


def init_app(app: Flask) -> None:
    """Let a quarter of the process's threads, or one, be taken by files."""
    app.extensions["transfers"] = BoundedSemaphore(max(1, app.config["THREADS"] // 4))


def few_at_once(view: View) -> View:
    """Run the view only while few others of this process do. Raises TooManyTransfers.

    The view counts until it has its answer, or if it streams one, until that is sent or its client
    has gone. Put it above @uploaded, so that receiving a file counts too.
    """

    @wraps(view)
    def run(*args: object, **kwargs: object) -> Response:
        places: BoundedSemaphore = current_app.extensions["transfers"]
        if not places.acquire(blocking=False):
            raise TooManyTransfers
        with ExitStack() as leaving:
            leaving.callback(places.release)
            response = view(*args, **kwargs)
            if response.is_streamed:
                # Once: by the server's close(), or with a response that never gets to the server.
                response.call_on_close(finalize(response, leaving.pop_all().close))
            return response

    return run

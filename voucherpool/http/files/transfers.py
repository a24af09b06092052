"""Limits how many files a process sends and receives at once, so that other requests find a thread.

A file takes its thread for seconds of computing, or for as long as its client is slow.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from threading import BoundedSemaphore
from weakref import finalize

from flask import Flask, Response, current_app

from voucherpool.errors import VoucherPoolError


class TooManyTransfers(VoucherPoolError, status=HTTPStatus.SERVICE_UNAVAILABLE):
    detail = "Too many files are on their way: try again after the seconds in Retry-After."
    headers: Mapping[str, str] = {"Retry-After": "5"}


def init_app(app: Flask) -> None:
    """Let a quarter of the process's threads, or one, be taken by files."""
    app.extensions["transfers"] = BoundedSemaphore(max(1, app.config["THREADS"] // 4))


@contextmanager
def place() -> Iterator[ExitStack]:
    """Take one of the few places; what is given leaves it. Raises TooManyTransfers."""
    places: BoundedSemaphore = current_app.extensions["transfers"]
    if not places.acquire(blocking=False):
        raise TooManyTransfers
    with ExitStack() as leaving:
        leaving.callback(places.release)
        yield leaving


def leave_when_sent(response: Response, leaving: ExitStack) -> None:
    """Keep the place until an answer that streams is sent, or its client has gone."""
    if response.is_streamed:
        # Once: by the server's close(), or with a response that never gets to the server.
        response.call_on_close(finalize(response, leaving.pop_all().close))

"""Counts requests once a second, all at once.

Counting each request before its answer would take 4 % of a redemption: each time the processor
would reload the code that writes the files of the metrics.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from voucherpool.observability import metrics

most_waiting = 1000

answering: set[int] = set()
"""The threads that answer a request now, by threading.get_ident()."""

_waiting: deque[Callable[[], None]] = deque()


def later(count: Callable[[], None]) -> None:
    """Let a count wait for the next count_all()."""
    _waiting.append(count)
    if len(_waiting) > most_waiting:
        count_all()


def count_all() -> None:
    """Count what waits, and the requests in progress."""
    metrics.in_progress.set(len(answering))
    with suppress(IndexError):  # none is left
        while True:
            _waiting.popleft()()


def start() -> None:
    """Count once a second, in a thread, until the process ends."""
    threading.Thread(target=_count_each_second, name="metrics", daemon=True).start()


def _count_each_second() -> None:
    while True:
        time.sleep(1)
        count_all()

"""Measures calls by the processor's time, and compares it with that of a plain piece of work."""

import gc
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import chain, repeat
from typing import Any

mebibyte = "a" * 2**20
anything_else = re.compile("[^a]")
most_passes = 25


@contextmanager
def stopwatch() -> Iterator[Callable[[Callable[[], Any], float], float]]:
    """Yield a function that returns the CPU time of a call, or `most` where it is given up.

    For many short calls, use one stopwatch: to begin with it takes longer than they do.
    """

    def give_up(*_: Any) -> None:
        raise TimeoutError

    def measure(call: Callable[[], Any], most: float) -> float:
        began = time.thread_time()
        signal.setitimer(signal.ITIMER_VIRTUAL, most + 0.1)  # it is coarse, and may be early
        try:
            call()
        except TimeoutError:
            return most
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        return time.thread_time() - began

    gc.disable()  # giving up in the middle of a collection would be an error of its own
    before = signal.signal(signal.SIGVTALRM, give_up)
    try:
        yield measure
    finally:
        signal.signal(signal.SIGVTALRM, before)
        gc.enable()


def cpu_seconds(call: Callable[[], Any], most: float) -> float:
    """Return the CPU time that a call takes, or `most` where it takes longer and is given up."""
    with stopwatch() as measure:
        return measure(call, most)


def pass_seconds() -> float:
    """Return the CPU time that a pass over 1 MiB takes now, on this processor: 5 ms on many."""
    return cpu_seconds(lambda: anything_else.search(mebibyte), most=60)


usual_pass_seconds = cache(pass_seconds)


def is_busy(call: Callable[[], Any], passes: float = most_passes) -> bool:
    """Tell whether a call takes longer than so many passes over 1 MiB, five times in a row.

    Only what may be busy is compared with a pass of the same moment.
    """
    measured = chain((usual_pass_seconds,), repeat(pass_seconds, 4))
    limits = (passes * seconds() for seconds in measured)
    return all(cpu_seconds(call, limit) >= limit for limit in limits)

"""Measures calls by the processor's time, which a busy machine does not change; waits."""

import signal
import time
from collections.abc import Callable
from typing import Any


def cpu_seconds(call: Callable[[], Any], most: float = 1.0) -> float:
    """Return the CPU time that a call takes, or `most` where it takes longer and is given up."""

    def give_up(*_: Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGVTALRM, give_up)
    began = time.thread_time()
    signal.setitimer(signal.ITIMER_VIRTUAL, most)
    try:
        call()
    except TimeoutError:
        return most
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    return time.thread_time() - began


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Return once the condition holds; fail if it does not within so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)

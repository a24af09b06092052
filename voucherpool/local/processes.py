"""Processes that end with the one that started them."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import partial
from http.client import HTTPConnection

from voucherpool.operations.worker import on_stop_signals

slowest_stop_seconds = 10

pr_set_pdeathsig = 1  # of linux/prctl.h


def end_with(parent: int, signum: int) -> None:
    """Let Linux send this process a signal when its parent ends (prctl(2)).

    Other systems lack this. A change of user cancels it.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signum)
    if os.getppid() != parent:  # the parent ended before prctl()
        os.kill(os.getpid(), signum)


@contextmanager
def python(
    environment: Mapping[str, str], *arguments: str, output: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Python module as a process that ends with the block.

    `output` is the descriptor of a file for what it prints.
    """
    # In a new session Ctrl-C does not reach it: this process stops it in order.
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", *arguments],
        env=dict(environment),
        stdout=output,
        stderr=output,
        start_new_session=True,
        preexec_fn=partial(end_with, os.getpid(), signal.SIGTERM),
    )
    try:
        yield process
    finally:
        on_stop_signals(signal.SIG_IGN)  # nothing interrupts the stop that has begun
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(slowest_stop_seconds)
        with suppress(ProcessLookupError):  # a survivor would keep gunicorn's port
            os.killpg(process.pid, signal.SIGKILL)


def is_serving(host: str, port: int, process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait until the process answers HTTP; tell whether it does within the seconds."""
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), closing(HTTPConnection(host, port, timeout=5)) as connection:
            connection.request("GET", "/livez")
            connection.getresponse()
            return True
        time.sleep(0.05)
    return False

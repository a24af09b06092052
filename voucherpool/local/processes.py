"""Processes that end with the one that started them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import partial
from http.client import HTTPConnection

from voucherpool.operations.processes import end_with, on_stop_signals

slowest_stop_seconds = 10


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

"""How processes of the service end."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

Handler = Callable[[int, FrameType | None], object] | signal.Handlers

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


def on_stop_signals(action: Handler) -> None:
    """Let SIGINT and SIGTERM do this."""
    signal.signal(signal.SIGINT, action)
    signal.signal(signal.SIGTERM, action)

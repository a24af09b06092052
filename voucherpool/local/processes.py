"""Processes that end with the one that started them."""

import ctypes
import os
import sys

pr_set_pdeathsig = 1  # of linux/prctl.h


def end_with(parent: int, signum: int) -> None:
    """Let Linux send this process a signal when its parent ends (prctl(2)).

    Other systems have nothing like it. A change of user forgets it.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signum)
    if os.getppid() != parent:  # it ended before it was asked about
        os.kill(os.getpid(), signum)

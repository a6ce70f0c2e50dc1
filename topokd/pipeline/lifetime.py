"""No training goes on after the command that started it is gone."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # from <linux/prctl.h>


def die_with_parent() -> None:
    """Ask the kernel to send this process SIGTERM when its parent dies, also by SIGKILL; does nothing but on Linux.

    Make, the scheduler, DVC and the notebook's runner form a chain: when a link is killed, those below it end too, and
    the run's last state is what the next start goes on from.
    """
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died in between
        os.kill(os.getpid(), signal.SIGTERM)

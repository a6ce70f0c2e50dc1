"""Signals to a notebook's runner, passed on to the training in its kernel; papermill passes on none."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from topokd.stopping import INTERRUPTED, TERMINATED, ask_to_stop

GRACE = 25  # seconds between SIGTERM and the end of the kernel; SLURM sends SIGKILL after 30


class KernelSignals:
    """Forwards signals to the training in a notebook; works in the main thread only.

    SIGTERM and Ctrl-C end the kernel: at once if nothing trains, otherwise when the training has saved its state, for
    which it has `GRACE` seconds after SIGTERM, or until a second Ctrl-C. SIGUSR1 asks the training to save its state
    and stop; other cells continue.

    Args:
        folder: folder through which runner and training communicate (`topokd.stopping`).

    Attributes:
        status: exit status of a command that stops for the signal.
        ended: whether the kernel was killed for it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.status = TERMINATED
        self.ended = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> KernelSignals:
        if threading.current_thread() is threading.main_thread():
            actions: dict[int, Callable[..., object]] = {
                signal.SIGTERM: self._terminate,
                signal.SIGINT: self._interrupt,
                signal.SIGALRM: self._end,
                signal.SIGUSR1: lambda *_: ask_to_stop(self.folder),
            }
            self._before = {number: signal.signal(number, action) for number, action in actions.items()}
        return self

    def __exit__(self, *_: object) -> None:
        if self._before:
            signal.alarm(0)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _terminate(self, *_: Any) -> None:
        if not ask_to_stop(self.folder):
            self._end()
        signal.alarm(GRACE)

    def _interrupt(self, *_: Any) -> None:
        again, self.status = self.status == INTERRUPTED, INTERRUPTED
        if again or not ask_to_stop(self.folder):
            self._end()

    def _end(self, *_: Any) -> None:
        """Kill the kernel, which papermill notices within a second; raise KeyboardInterrupt where there is none.

        An exception in papermill's event loop would leave tasks behind, and a kernel that shuts down while a cell runs
        fails to reply: both print tracebacks.
        """
        kernels = [child for child in psutil.Process().children() if _is_kernel(child)]
        if self.ended or not kernels:
            raise KeyboardInterrupt
        self.ended = True
        for kernel in kernels:
            with contextlib.suppress(psutil.NoSuchProcess):
                kernel.kill()


def _is_kernel(process: psutil.Process) -> bool:
    """Whether it runs IPython's kernel; False if it has ended."""
    try:
        return any("ipykernel" in word for word in process.cmdline())
    except psutil.Error:
        return False

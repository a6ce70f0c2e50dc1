"""Stop a training before a deadline: save the state, then end.

SIGTERM (a preemption, ``scancel``, ``kill``), SIGUSR1 (``--signal`` of SLURM: the time limit is near) and Ctrl-C ask
for a stop; a second Ctrl-C ends everything at once. A training looks after each step, saves its state and raises
`Stopped`. Where the notebook runner gets the signal, training runs in another process, the kernel: the runner names a
folder in ``$TOPOKD_STOP``, in which each tells the other by empty files. SLURM sends SIGTERM to both.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from topokd.errors import TopokdError

VARIABLE = "TOPOKD_STOP"
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
TERMINATED, INTERRUPTED = 128 + signal.SIGTERM, 128 + signal.SIGINT  # exit status of a command that saved and stopped
PR_SET_PDEATHSIG = 1  # from <linux/prctl.h>


class Stopped(TopokdError):
    """A signal asked training to stop; its state is saved, and the same command continues.

    Args:
        message: says what was stopped, and where.
        status: exit status of the command: 143, or 130 after Ctrl-C.
    """

    def __init__(self, message: str, status: int = TERMINATED) -> None:
        super().__init__(message)
        self.status = status


class StopRequest:
    """Tells a loop that can save its state whether it should; open it before the loop and close it after.

    It watches the signals, in the main thread, and inside a notebook of the pipeline the runner's folder too.

    Examples:
        >>> stop = StopRequest()
        >>> stop.open()
        >>> stop.requested()
        False
        >>> signal.raise_signal(signal.SIGUSR1)
        >>> stop.requested()
        True
        >>> stop.close()
    """

    def __init__(self) -> None:
        self._folder = Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None
        self._caught = self._interrupted = False
        self._before: dict[int, Any] = {}

    def open(self) -> None:
        """Begin to watch."""
        if self._folder is not None:
            self._own_file().touch()
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._catch) for number in SIGNALS}

    def requested(self) -> bool:
        """Whether a stop was asked for since `open`, or earlier in this notebook."""
        return self._caught or (self._folder is not None and (self._folder / "stop").exists())

    @property
    def status(self) -> int:
        """Exit status of a command that stops for this request."""
        return INTERRUPTED if self._interrupted else TERMINATED

    def close(self) -> None:
        """End watching; the former signal handlers are restored."""
        if self._folder is not None:
            self._own_file().unlink(missing_ok=True)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _own_file(self) -> Path:
        assert self._folder is not None
        return self._folder / f"training-{os.getpid()}"

    def _catch(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            if self._interrupted:
                raise KeyboardInterrupt
            self._interrupted = True
        self._caught = True


class Interrupts:
    """Remembers Ctrl-C and SIGTERM while a block runs; a second Ctrl-C raises KeyboardInterrupt.

    It works in the main thread only.

    Attributes:
        number: the first signal that came; 0: none.
        status: exit status of a command that stops for it.

    Examples:
        >>> with Interrupts() as stop:
        ...     signal.raise_signal(signal.SIGINT)
        ...     print(stop.number == signal.SIGINT, stop.status)
        True 130
    """

    def __init__(self) -> None:
        self.number = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def status(self) -> int:
        """143, or 130 after Ctrl-C."""
        return INTERRUPTED if self.number == signal.SIGINT else TERMINATED

    def _handle(self, number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT == self.number:
            raise KeyboardInterrupt
        self.number = self.number or number


def ask_to_stop(folder: Path) -> bool:
    """Ask the training that watches ``folder``, or the next one, to stop; returns whether one is running now."""
    running = any(folder.glob("training-*"))  # before it is asked: it may save and close before we look
    (folder / "stop").touch()
    return running


def die_with_parent(parent: int | None = None) -> None:
    """Ask the kernel to send this process SIGTERM when its parent dies, even by SIGKILL; does nothing outside Linux.

    Make, the scheduler, the stage and the notebook runner form a chain. Killing any process in it stops everything
    below; the next run resumes from the last state. A `ProcessPoolExecutor` needs it as ``initializer``: its
    workers wait for work on a pipe that they keep open for one another.

    Args:
        parent: its process ID, as it knows it itself: it may have died already. None: the parent at this moment.
    """
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid() if parent is None else parent
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before the call
        os.kill(os.getpid(), signal.SIGTERM)

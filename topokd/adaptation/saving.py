"""Save the state of a training by time as well as by steps."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from topokd.training import Resume
from topokd.training.state import ResumeFolder

if TYPE_CHECKING:
    from topokd.training import Fit

SECONDS = 60.0
"""Most seconds of work that a killed adaptation loses, and one step."""


class ResumeByTime(Resume):
    """`Resume` that also saves a minute after the last state: a large network may take minutes for a few steps.

    Args:
        folder: folder of the state.
        every: number of steps between states.
        seconds: the longest time between states.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> ResumeByTime(ResumeFolder(Path(tempfile.mkdtemp()), "mine", "ab12"), every=100).seconds
        60.0
    """

    def __init__(self, folder: ResumeFolder, every: int, seconds: float = SECONDS) -> None:
        super().__init__(folder, every)
        self.seconds = seconds
        self._last = time.monotonic()

    def start(self, fit: Fit) -> None:
        """Restore the last state, if there is one."""
        super().start(fit)
        self._last = time.monotonic()

    def after_step(self, fit: Fit) -> None:
        """Save, if due by steps or by time, or asked to stop.

        Raises:
            Stopped: as `Resume`.
        """
        by_steps = fit.is_due(self.every)
        if not by_steps and time.monotonic() - self._last >= self.seconds:
            self.folder.save(fit.state_dict())
            self._last = time.monotonic()
        super().after_step(fit)
        if by_steps:
            self._last = time.monotonic()

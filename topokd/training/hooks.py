"""Hooks between training steps: averaging weights, validation, live curves, saving the state for resuming a killed run.

Hooks are called after each step in the given order, and started in reverse order. Put ``Resume`` last: it then saves
the records of the others, and restores the state before they start.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from topokd.memory import resident_bytes
from topokd.progress import report_earlier
from topokd.stopping import Stopped, StopRequest
from topokd.training.history import metrics_at
from topokd.training.state import ResumeFolder
from topokd.training.trackers import Sink

if TYPE_CHECKING:
    from topokd.training.fit import Fit

log = logging.getLogger(__name__)


class Hook:
    """Base of all hooks; each method does nothing.

    Examples:
        >>> class Count(Hook):
        ...     steps = 0
        ...     def after_step(self, fit):
        ...         self.steps += 1
    """

    def start(self, fit: Fit) -> None:
        """Called before the first step."""

    def after_step(self, fit: Fit) -> None:
        """Called after each step; ``fit.state.step`` counts the steps done."""

    def close(self) -> None:
        """Called when training ends, also after an error."""


class Average(Hook):
    """A running average of the weights over steps, w~ <- a w~ + (1 - a) w, which replaces the weights at the end.

    Polyak averaging with exponential weights, of parameters and of BatchNorm's statistics. Early on a is at most
    (1 + t) / (10 + t) in step t, so that the first weights are soon forgotten. Put it before `Validate`, whose last
    mIoU is then that of the average.

    Args:
        decay: a, from 0 to below 1; 0.99 averages over about 100 steps.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay

    def after_step(self, fit: Fit) -> None:
        """Add the weights of this step; at the end give the average to the network."""
        weights, step = fit.model.state_dict(), fit.state.step
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        for name, value in weights.items():
            if name not in fit.averaged or not value.is_floating_point():
                fit.averaged[name] = value.detach().clone()
            else:
                fit.averaged[name].lerp_(value.detach(), share)
        if step == fit.steps:
            fit.model.load_state_dict(fit.averaged)


class Validate(Hook):
    """Record the mIoU every ``every`` steps and at the end, and keep the weights with the best one.

    Args:
        miou: computes the mIoU (0-1) of a network.
        every: number of steps between validations.

    Examples:
        >>> Validate(lambda model: 0.5, every=100).every
        100
    """

    def __init__(self, miou: Callable[[nn.Module], float], every: int) -> None:
        self.miou, self.every = miou, every

    def after_step(self, fit: Fit) -> None:
        """Validate, if due."""
        if fit.is_due(self.every) and fit.state.record_validation(self.miou(fit.model)):
            fit.best_weights = {k: v.detach().cpu().clone() for k, v in fit.model.state_dict().items()}


class Resume(Hook):
    """Save the state every ``every`` steps, at the end and when a signal asks to stop; start from the last one.

    Args:
        folder: folder of the state.
        every: number of steps between states.

    Examples:
        >>> import tempfile
        >>> resume = Resume(ResumeFolder(Path(tempfile.mkdtemp()), "mine", "ab12"), every=100)
        >>> resume.folder.load() is None
        True
    """

    def __init__(self, folder: ResumeFolder, every: int) -> None:
        self.folder, self.every = folder, every
        self.stop = StopRequest()

    def start(self, fit: Fit) -> None:
        """Restore the last state, if there is one."""
        state = self.folder.load()
        if state is not None:
            fit.load_state_dict(state)
            message = f"{fit.name} resumes from step {fit.state.step} of {fit.steps}"
            log.info("%s", message)
            if fit.ranks.is_main:
                report_earlier(message, fit.earlier_seconds)
        self.stop.open()

    def after_step(self, fit: Fit) -> None:
        """Save, if due or asked to stop.

        Raises:
            Stopped: SIGTERM, SIGUSR1 or Ctrl-C came before the last step; the state of this step is saved.
        """
        stopping = fit.ranks.any(self.stop.requested())
        if fit.ranks.is_main and (stopping or fit.is_due(self.every)):
            self.folder.save(fit.state_dict())
        if stopping and fit.state.step < fit.steps:
            words = f"{fit.name}: stopped by a signal after step {fit.state.step} of {fit.steps}; state saved"
            raise Stopped(words, self.stop.status)

    def close(self) -> None:
        """Restore the handlers of signals."""
        self.stop.close()


class LiveCurves(Hook):
    """Write losses, learning rate, validation mIoU and speed into ``folder`` through dvclive, while a run trains.

    The files are plain TSV and JSON and need no git. The folder is emptied at the start: a resumed run first writes
    its history, so no step occurs twice.

    Args:
        folder: created if missing.
        tracker: opens another place that gets the same points (`topokd.training.trackers`), or returns None.

    Examples:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp(), "live")
        >>> live = LiveCurves(folder)
        >>> live.open()
        >>> live.log(5, {"loss/total": 1.25})
        >>> live.close()
        >>> (folder / "plots" / "metrics" / "loss" / "total.tsv").read_text().split()
        ['step', 'total', '5', '1.25']
    """

    def __init__(self, folder: Path, tracker: Callable[[], Sink | None] = lambda: None) -> None:
        self.folder, self.tracker = folder, tracker
        self._live: Any = None
        self._sink: Sink | None = None
        self._seconds = 0.0

    def open(self) -> None:
        """Empty the folder and start writing."""
        from dvclive import Live

        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self._live = Live(dir=str(self.folder), save_dvc_exp=False, dvcyaml=None, report=None)
        self._sink = self.tracker()

    def log(self, step: int, values: dict[str, float]) -> None:
        """Add the point (``step``, value) to each curve in ``values``."""
        self._live.step = step
        for name, value in values.items():
            self._live.log_metric(name, value)
        self._live.make_summary()
        if self._sink is not None:
            self._sink.log(step, values)

    def start(self, fit: Fit) -> None:
        """Write the points that a resumed run has already recorded."""
        self.open()
        history = fit.state.history
        for i, step in enumerate(history["step"]):
            self.log(step, metrics_at(history, i))
        for step, miou in zip(history["val_step"], history["val_miou"], strict=True):
            self.log(step, {"val/miou": miou})
        self._seconds = fit.cpu_seconds

    def after_step(self, fit: Fit) -> None:
        """Write the points of the history that this step added."""
        step, history = fit.state.step, fit.state.history
        if history["step"][-1:] == [step]:
            speed = (fit.cpu_seconds - self._seconds) / fit.record_every
            memory = resident_bytes()
            resident = {} if memory is None else {"memory_gb": memory / 1e9}
            self.log(step, metrics_at(history, -1) | {"cpu_seconds_per_step": speed} | resident)
            self._seconds = fit.cpu_seconds
        if history["val_step"][-1:] == [step]:
            self.log(step, {"val/miou": history["val_miou"][-1]})

    def close(self) -> None:
        """Finish the files."""
        if self._live is not None:
            self._live.end()
        if self._sink is not None:
            self._sink.close()

"""Live metrics for TensorBoard or MLflow (``train.tracker``), in addition to those of dvclive."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from topokd.choices import Tracker
from topokd.errors import ParameterError


@runtime_checkable
class Sink(Protocol):
    """A destination for the curves of a run."""

    def log(self, step: int, values: dict[str, float]) -> None:
        """Add the point (``step``, value) to each curve in ``values``."""

    def close(self) -> None:
        """Finish."""


class TensorBoard:
    """Event files in ``folder``; look at them with ``tensorboard --logdir``.

    The folder is emptied at the start: a resumed run first writes its history, so no step occurs twice.
    """

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        shutil.rmtree(folder, ignore_errors=True)
        self._writer: Any = SummaryWriter(log_dir=str(folder))

    def log(self, step: int, values: dict[str, float]) -> None:
        """Add the point (``step``, value) to each curve in ``values``."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        """Finish the files."""
        self._writer.close()


class MLflow:
    """A run of MLflow in the experiment ``topokd``, on the server at ``$MLFLOW_TRACKING_URI``.

    Every start of a training creates a new run; a resumed training first writes its history. The run that is active in
    a notebook stays active.

    Args:
        name: name of the run.
        tags: tags of the run.
    """

    def __init__(self, name: str, tags: dict[str, str]) -> None:
        from mlflow import MlflowClient

        self._client: Any = MlflowClient()
        self._run = self._client.create_run(self._experiment(), run_name=name, tags=tags).info.run_id

    def _experiment(self) -> str:
        """The number of the experiment, which is created if there is none."""
        from mlflow.exceptions import MlflowException

        experiment = self._client.get_experiment_by_name("topokd")
        if experiment is None:
            try:
                return self._client.create_experiment("topokd")
            except MlflowException:  # a run that started at the same time was faster
                experiment = self._client.get_experiment_by_name("topokd")
                if experiment is None:
                    raise
        return experiment.experiment_id

    def log(self, step: int, values: dict[str, float]) -> None:
        """Add the point (``step``, value) to each curve in ``values``."""
        for name, value in values.items():
            self._client.log_metric(self._run, name, value, step=step)

    def close(self) -> None:
        """Mark the run as finished."""
        self._client.set_terminated(self._run)


def require_tracker(tracker: Tracker) -> None:
    """Raise before a training starts, not at its first point.

    Raises:
        ParameterError: the tracker's package is not installed.

    Examples:
        >>> require_tracker("none")
    """
    if tracker != "none" and importlib.util.find_spec(tracker) is None:
        raise ParameterError(
            f"train.tracker is {tracker}, but the package {tracker} is not installed: `pip install {tracker}`, or "
            "set train.tracker to none (dvclive writes the curves in any case)"
        )


def open_tracker(tracker: Tracker, folder: Path, profile: str, run: str) -> Sink | None:
    """The tracker of a run; None for ``none``.

    Args:
        tracker: its name.
        folder: folder of the run's files, for trackers that write files.
        profile: name of the profile.
        run: name of the run.
    """
    if tracker == "tensorboard":
        return TensorBoard(folder)
    if tracker == "mlflow":
        return MLflow(f"{profile}/{run}", {"profile": profile, "run": run})
    return None

"""Live metrics go where ``train.tracker`` says, in addition to dvclive's files."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from topokd import params as P
from topokd.errors import ParameterError
from topokd.training import train_teacher
from topokd.training.run import Run
from topokd.training.trackers import MLflow, require_tracker


def tracked(params: P.Params, tracker: str) -> P.Params:
    return params.replace(train=params.train.replace(tracker=tracker, teacher_steps=2, validate_every=2))


@pytest.mark.parametrize("tracker", ["tensorboard", "mlflow"])
def test_a_tracker_that_is_not_installed_is_named_before_training(
    params: P.Params, tracker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == tracker else find(name, *a))
    with pytest.raises(ParameterError, match=rf"train.tracker is {tracker}.*pip install {tracker}.*none"):
        train_teacher(tracked(params, tracker), 0)
    require_tracker("none")


def test_an_unknown_tracker_is_rejected_with_the_known_ones(params: P.Params) -> None:
    with pytest.raises(ParameterError, match="tracker is 'tensorbord'; choose one of none, tensorboard, mlflow"):
        params.replace(train=params.train.replace(tracker="tensorbord"))


class MlflowException(Exception):
    """As mlflow's own."""


def install_mlflow(monkeypatch: pytest.MonkeyPatch, client: type) -> None:
    module, exceptions = ModuleType("mlflow"), ModuleType("mlflow.exceptions")
    module.MlflowClient = client  # type: ignore[attr-defined]
    module.__spec__ = importlib.util.spec_from_loader("mlflow", None)
    exceptions.MlflowException = MlflowException  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mlflow", module)
    monkeypatch.setitem(sys.modules, "mlflow.exceptions", exceptions)


@pytest.mark.parametrize("there", [True, False])
def test_a_run_that_starts_at_the_same_time_may_create_the_experiment(
    monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    created, runs = [], []

    class MlflowClient:
        def get_experiment_by_name(self, name: str) -> Any:
            return SimpleNamespace(experiment_id="3") if created and there else None

        def create_experiment(self, name: str) -> str:
            created.append(name)
            raise MlflowException("RESOURCE_ALREADY_EXISTS" if there else "PERMISSION_DENIED")

        def create_run(self, experiment_id: str, run_name: str, tags: dict[str, str]) -> Any:
            runs.append(experiment_id)
            return SimpleNamespace(info=SimpleNamespace(run_id="7"))

    install_mlflow(monkeypatch, MlflowClient)
    if there:
        MLflow("default/kd-seed0", {})
        assert runs == ["3"]
    else:
        with pytest.raises(MlflowException, match="PERMISSION_DENIED"):
            MLflow("default/kd-seed0", {})


def test_mlflow_gets_every_point(params: P.Params, monkeypatch: pytest.MonkeyPatch) -> None:
    points: dict[tuple[str, int], float] = {}
    ended = []

    class MlflowClient:  # the part of mlflow's own that is used
        def get_experiment_by_name(self, name: str) -> None:
            return None

        def create_experiment(self, name: str) -> str:
            return "1"

        def create_run(self, experiment_id: str, run_name: str, tags: dict[str, str]) -> Any:
            assert (experiment_id, run_name) == ("1", "default/teacher-seed0") and tags["run"] == "teacher-seed0"
            return SimpleNamespace(info=SimpleNamespace(run_id="7"))

        def log_metric(self, run_id: str, key: str, value: float, step: int) -> None:
            assert run_id == "7" and (key, step) not in points
            points[key, step] = value

        def set_terminated(self, run_id: str) -> None:
            ended.append(run_id)

    install_mlflow(monkeypatch, MlflowClient)
    record = train_teacher(tracked(params, "mlflow"), 0)
    assert [points["loss/total", step] for step in (1, 2)] == record["history"]["loss"]
    assert points["val/miou", 2] == record["history"]["val_miou"][-1] and ended == ["7"]


def test_tensorboard_reads_the_curves(params: P.Params) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    params = tracked(params, "tensorboard")
    record = train_teacher(params, 0)
    events = EventAccumulator(str(Run("teacher", 0, params).tracked)).Reload()
    assert [event.step for event in events.Scalars("loss/total")] == [1, 2]
    assert [event.value for event in events.Scalars("loss/total")] == pytest.approx(record["history"]["loss"])

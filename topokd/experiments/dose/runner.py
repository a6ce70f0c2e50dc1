"""Trains and measures one student per arm and seed, with any number of workers."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from torch import nn

from topokd.experiments.dose.measures import Measures
from topokd.experiments.dose.plan import TERM, Arm, DosePlan, arm_params, arms
from topokd.experiments.study.plan import Unit
from topokd.experiments.teachers import clear_outputs, lend
from topokd.experiments.work import Experiment
from topokd.io import sha256
from topokd.models import load_checkpoint
from topokd.params import Params
from topokd.project import workspace_path
from topokd.scans import open_dataset
from topokd.training import Run, train_student, train_teacher
from topokd.training.determinism import deterministic


class Dose(Experiment[Unit]):
    """The experiment on disk: ``results/<profile>/dose/<unit>.json``. Doses come before variants.

    Args:
        plan: the protocol.
        params: its profile.
    """

    def __init__(self, plan: DosePlan, params: Params) -> None:
        self.plan, self.params = plan, params
        self.arms = {arm.name: arm for arm in arms(plan)}
        teachers = [Unit("teacher", "teacher", seed) for seed in params.teacher_seeds]
        doses = [name for name, arm in self.arms.items() if arm.axis == "share"]
        variants = [name for name in self.arms if name not in doses]
        runs = [Unit("run", name, seed) for kind in (doses, variants) for seed in params.seeds for name in kind]
        super().__init__([*teachers, *runs], params.results / "dose", params.workspace / "locks")
        self._measures: dict[int, Measures] = {}

    def needs(self, unit: Unit) -> Sequence[Unit]:
        """A student needs the teacher of its seed."""
        if unit.kind == "teacher":
            return []
        return [Unit("teacher", "teacher", self.params.teacher_seed(unit.number))]

    def shared(self, unit: Unit) -> Hashable:
        """The teacher's outputs, by seed: every arm has KD."""
        return None if unit.kind == "teacher" else unit.number

    def compute(self, unit: Unit) -> dict[str, Any]:
        """Train one unit, and measure it."""
        self.write_scans(self.params)
        if unit.kind == "teacher":
            return {"seed": unit.number} | self._teacher(unit.number)
        number = self.params.teacher_seed(unit.number)
        if not Run("teacher", number, self.params).checkpoint.is_file():  # its record came from git, weights do not
            with self.lock(f"missing-teacher{number}", wait=True):
                self._provide_teacher(number)
        return {"seed": unit.number} | self._student(unit)

    def records(self) -> dict[str, dict[int, dict[str, Any]]]:
        """Records of the units that are done, by arm (or ``teacher``) and seed."""
        records: dict[str, dict[int, dict[str, Any]]] = {}
        for unit in filter(self.is_done, self.units):
            records.setdefault(unit.row, {})[unit.number] = self.record(unit)
        return records

    def _teacher(self, seed: int) -> dict[str, Any]:
        record = {"arm": "teacher"} | self._provide_teacher(seed)
        run = Run("teacher", seed, self.params)
        with deterministic(self.params.train.threads):
            measures = self._measured_by(seed).of(load_checkpoint(run.checkpoint))
        return record | {"sha256": sha256(run.checkpoint), "measures": measures}

    def _provide_teacher(self, seed: int) -> dict[str, Any]:
        """Take a teacher over from the plan's ``teacher_of``, or train it; returns what its record says of that."""
        run = Run("teacher", seed, self.params)
        lender = workspace_path(self.plan.teacher_of) / "checkpoints" / run.checkpoint.name
        if not (self.plan.teacher_of and lender.is_file()):
            return _of_training(train_teacher(self.params, seed))
        lend(lender, run.checkpoint)
        return {"taken_from": self.plan.teacher_of}

    def _student(self, unit: Unit) -> dict[str, Any]:
        arm = self.arms[unit.row]
        params = arm_params(self.params, self.plan, arm)
        record = train_student(params, arm.name, unit.number)
        with deterministic(params.train.threads):
            model: nn.Module = load_checkpoint(Run(arm.name, unit.number, params).checkpoint)
            measures = self._measured_by(params.teacher_seed(unit.number)).of(model, arm.options)
        return {
            "arm": arm.name, "axis": arm.axis, "value": arm.value, "share": arm.share, "terms": record["terms"],
            **_of_training(record), "measures": {"miou": 100 * record["evaluation"]["miou_skip"], **measures},
        }  # fmt: skip

    def _measured_by(self, teacher_seed: int) -> Measures:
        if teacher_seed not in self._measures:
            params = self.params
            dataset = open_dataset(params.data, params.data_root, "val")
            teacher: nn.Module = load_checkpoint(Run("teacher", teacher_seed, params).checkpoint)
            own = params.rows[self.plan.row].terms[TERM]
            self._measures[teacher_seed] = Measures(self.plan, own, dataset, params.data.voxel_size, teacher)
        return self._measures[teacher_seed]

    def clear(self, unit: Unit) -> None:
        """Delete the teacher's stored outputs, which the arms of a seed share, after the last of them."""
        same = [other for other in self.units if other.kind == "run" and other.number == unit.number]
        if unit.kind == "run" and all(map(self.is_done, same)):
            clear_outputs(Run(unit.row, unit.number, self.params))


def _of_training(record: dict[str, Any]) -> dict[str, Any]:
    return {"steps": record["steps"], "history": record["history"]}


__all__ = ["Arm", "Dose"]

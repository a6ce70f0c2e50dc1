"""Runs a study: trains and evaluates its units with any number of workers."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from torch import nn

from topokd.data.dataset import ScanDataset
from topokd.distillation import build_objective
from topokd.errors import DataError, TrainingError
from topokd.evaluation import evaluate
from topokd.experiments.study.bootstrap import StreetScores
from topokd.experiments.study.folds import HELD_OUT, fold_params, link_fold
from topokd.experiments.study.plan import StudyPlan, Unit, needs, units, weighted
from topokd.experiments.study.records import problem
from topokd.experiments.teachers import clear_outputs, lend
from topokd.experiments.work import Experiment
from topokd.models import load_checkpoint
from topokd.params import Params
from topokd.scans import SYNTHETIC, open_dataset
from topokd.training import Run, train_student, train_teacher
from topokd.training.record import terms_of


class Study(Experiment[Unit]):
    """A study on disk; a unit is done when ``results/<profile>/study/<unit>.json`` exists.

    Args:
        plan: the protocol.
        params: its profile.
    """

    def __init__(self, plan: StudyPlan, params: Params) -> None:
        self.plan, self.params = plan, params
        self.taught = {row for row in plan.rows if build_objective(params, row).needs_teacher}
        self._chosen: dict[str, dict[str, Any]] = {}
        super().__init__(units(plan, params), params.results / "study", params.workspace / "locks")

    def needs(self, unit: Unit) -> Sequence[Unit]:
        """See `topokd.experiments.study.plan.needs`."""
        return needs(unit, self.plan, self.params)

    def shared(self, unit: Unit) -> Hashable:
        """The teacher's outputs, by seed; trials, which have one seed, share theirs."""
        return (unit.kind, unit.fold, self._seed(unit)) if unit.row in self.taught else None

    def compute(self, unit: Unit) -> dict[str, Any]:
        """Train one unit, and evaluate it by street."""
        params, row = self._profile(unit)
        self.write_scans(params)
        if unit.kind == "teacher":
            record = train_teacher(params, unit.number)
            run = Run("teacher", unit.number, params)
        else:
            seed = self._seed(unit)
            self._train_missing_teacher(Run(row, seed, params if unit.fold is not None else self.params).teacher)
            if unit.fold is None:
                lend(Run(row, seed, self.params).teacher.checkpoint, Run(row, seed, params).teacher.checkpoint)
            try:
                record = train_student(params, row, seed)
            except TrainingError as error:
                if unit.kind == "trial":
                    return self._failed(unit, params, row, error)
                raise
            run = Run(row, seed, params)
        dataset = open_dataset(params.data, params.data_root, "val")
        counts = street_counts(run, dataset)
        if unit.fold is not None:  # under its own name
            counts = {f"{unit.fold:02d}": counts[f"{HELD_OUT:02d}"]}
        return {
            "row": unit.row,
            "seed": run.seed,
            "terms": record["terms"],
            "learning_rate_factor": params.train.student_lr_factor,
            "steps": record["steps"],
            "miou": 100 * record["evaluation"]["miou_skip"],
            "streets": {street: counts[street].tolist() for street in sorted(counts)},
            "history": record["history"],
        }

    def _failed(self, unit: Unit, params: Params, row: str, error: TrainingError) -> dict[str, Any]:
        """The record of a trial that diverges: a result like the others, with the lowest mIoU."""
        return {
            "row": unit.row,
            "seed": self._seed(unit),
            "terms": terms_of(build_objective(params, row)),
            "learning_rate_factor": params.train.student_lr_factor,
            "steps": Run(row, self._seed(unit), params).count_steps(0),
            "miou": 0.0,
            "streets": {},
            "history": {},
            "failed": str(error),
        }

    def problem(self, unit: Unit, record: dict[str, Any]) -> str | None:
        """See `topokd.experiments.work.Experiment.problem`."""
        params, tuning = self.params, self.plan.tuning
        streets: tuple[int, ...] | None = None
        if unit.fold is not None:
            streets = (unit.fold,)
        elif params.data.dataset == SYNTHETIC:
            streets = tuning.sequences if unit.kind == "trial" else params.data.synthetic.val_sequences
        expected: dict[str, Any] = {"row": unit.row, "seed": self._seed(unit)}
        if unit.kind == "trial":
            own = self.plan.rows[unit.row]
            start = self.chosen(own.start) if own.start else None
            params = weighted(params, self.plan, unit.row, self.plan.grid(unit.row)[unit.number], start)
            params = params.replace(train=params.train.replace(student_steps=tuning.student_steps))
            expected["terms"] = terms_of(build_objective(params, unit.row))
            expected["learning_rate_factor"] = params.train.student_lr_factor
        train = params.train
        if train.teacher_steps if unit.kind == "teacher" else train.student_steps:  # otherwise it depends on the scans
            expected["steps"] = Run(unit.row, self._seed(unit), params).count_steps(0)
        if unit.kind == "run":
            own_terms = {
                "terms": terms_of(build_objective(params, unit.row)),
                "learning_rate_factor": train.student_lr_factor,
            }
            best = own_terms if self.plan.held_out else self.chosen(unit.row)
            expected |= {key: best[key] for key in own_terms}
        return problem(record, expected, None if streets is None else [f"{street:02d}" for street in streets])

    def chosen(self, row: str) -> dict[str, Any]:
        """The trial of a row with the best mIoU on the tuning streets; among equals the first.

        Raises:
            DataError: a trial is not done, or its record cannot be its own.
        """
        if row not in self._chosen:
            trials = [self.record(unit) for unit in self.units if unit.kind == "trial" and unit.row == row]
            self._chosen[row] = max(trials, key=lambda trial: trial["miou"])
        return self._chosen[row]

    def best_trial(self, row: str) -> dict[str, Any] | None:
        """`chosen`, or None if the row has no trials or a trial is missing."""
        own = [unit for unit in self.units if unit.kind == "trial" and unit.row == row]
        return self.chosen(row) if own and all(map(self.is_done, own)) else None

    def scores(self, row: str) -> StreetScores | None:
        """Counts of the runs of a row by seed and street (or held-out sequence), for the seeds whose runs are all done.

        Returns:
            None where no seed is complete.

        Raises:
            DataError: a record cannot be its own, or seeds were evaluated on different streets.
        """
        own = [unit for unit in self.units if unit.kind == "run" and unit.row == row]
        seeds = dict.fromkeys(unit.number for unit in own)
        whole = [seed for seed in seeds if all(self.is_done(unit) for unit in own if unit.number == seed)]
        if not whole:
            return None
        by_seed: dict[int, dict[str, Any]] = {}
        for unit in own:
            if unit.number in whole:
                by_seed.setdefault(unit.number, {}).update(self.record(unit)["streets"])
        streets = {tuple(sorted(by_street)) for by_street in by_seed.values()}
        if len(streets) != 1 or len({np.shape(counts) for one in by_seed.values() for counts in one.values()}) != 1:
            raise DataError(
                f"runs of {row} were evaluated on different streets or classes: delete their records in {self.folder} "
                "and start a worker again"
            )
        (names,) = streets
        counts = np.array([[by_street[name] for name in names] for by_street in by_seed.values()])
        return StreetScores(counts, tuple(by_seed), names)

    def _seed(self, unit: Unit) -> int:
        return self.plan.tuning.seed if unit.kind == "trial" else unit.number

    def _profile(self, unit: Unit) -> tuple[Params, str]:
        """Parameters of a unit, and the name of its row in them; a trial gets a separate row."""
        if unit.fold is not None:
            params = fold_params(self.params, unit.fold)
            link_fold(self.params.data_root, params.data_root, unit.fold)
            return params, unit.row
        if unit.kind == "teacher":
            return self.params, "teacher"
        own, grid = self.plan.rows[unit.row], self.plan.grid(unit.row)
        start = self.chosen(own.start) if own.start else None
        if unit.kind == "run":
            best = self.chosen(unit.row)
            factor = grid[int(best["unit"].rsplit("-", 1)[1])]
            return weighted(self.params, self.plan, unit.row, factor, start), unit.row
        tuning = self.plan.tuning
        world = self.params.data.synthetic.replace(
            val_sequences=tuning.sequences, val_scans_per_sequence=tuning.scans_per_sequence
        )
        params = weighted(self.params, self.plan, unit.row, grid[unit.number], start)
        name = f"{unit.row}-trial{unit.number}"
        return params.replace(
            profile=f"{self.params.profile}/tuning",
            data=params.data.replace(synthetic=world),
            train=params.train.replace(student_steps=tuning.student_steps),
            rows=params.rows | {name: params.rows[unit.row]},
        ), name

    def _train_missing_teacher(self, teacher: Run) -> None:
        """Train a teacher again whose record came from git, where weights are not."""
        if not teacher.checkpoint.is_file():
            with self.lock(f"missing-{teacher.params.profile.replace('/', '-')}-{teacher.name}", wait=True):
                train_teacher(teacher.params, teacher.seed)

    def clear(self, unit: Unit) -> None:
        """Delete the teacher's stored outputs, which the rows of a seed share, after the last of them."""
        params, _ = self._profile(unit)
        same = [
            u for u in self.units
            if (u.kind, u.fold) == (unit.kind, unit.fold) and (unit.kind == "trial" or u.number == unit.number)
        ]  # fmt: skip
        if unit.kind != "teacher" and all(map(self.is_done, same)):
            clear_outputs(Run(unit.row, self._seed(unit), params))


def street_counts(run: Run, dataset: ScanDataset) -> dict[str, np.ndarray]:
    """(3, classes) points per street: true positives, points predicted, points in the truth.

    Args:
        run: a finished run.
        dataset: validation scans; the name of a scan starts with its sequence.
    """
    model: nn.Module = load_checkpoint(run.checkpoint)
    by_street: dict[str, list[int]] = {}
    for index, name in enumerate(dataset.names):
        by_street.setdefault(str(name).split("/")[0], []).append(index)
    counts = {}
    for street, scans in by_street.items():
        cm = evaluate(model, dataset, run.params.data.voxel_size, run.params.evaluation.tta, scans=scans)
        predicted, truth = cm.matrix.sum(1), cm.matrix.sum(0) + cm.missed
        counts[street] = np.stack([np.diag(cm.matrix), predicted, truth])
    return counts

"""One training run of a profile: its name, its settings and all its paths."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from topokd.choices import Role
from topokd.params import Params, Train
from topokd.project import TEACHER, run_name, run_record


@dataclass(frozen=True)
class Run:
    """The teacher of a seed, or the student of one row of the ablation.

    Args:
        row: a name in ``params.rows``, or ``"teacher"``.
        seed: seed of weights, batches and everything random in a step.
        params: the profile.

    Examples:
        >>> run = Run("full", 0, Params())
        >>> run.name, run.role, run.checkpoint.name
        ('full-seed0', 'student', 'full-seed0.safetensors')
    """

    row: str
    seed: int
    params: Params

    @property
    def role(self) -> Role:
        """``teacher`` or ``student``."""
        return "teacher" if self.row == TEACHER else "student"

    @property
    def student_row(self) -> str | None:
        """The row of the ablation; None for a teacher."""
        return None if self.role == "teacher" else self.row

    @property
    def name(self) -> str:
        """``teacher-seed0`` or ``full-seed0``: the name of the run's files."""
        return run_name(self.row, self.seed)

    @property
    def preset(self) -> str:
        """Preset of the network."""
        if self.role == "teacher":
            return self.params.model.teacher
        row = self.params.rows.get(self.row)
        return (row.student if row else "") or self.params.model.student

    @property
    def settings(self) -> Train:
        """The profile's section ``train``; a student's has its own learning rates."""
        train = self.params.train
        if self.role == "teacher":
            return train
        own, factor = train.optimizer, train.student_lr_factor
        return train.replace(optimizer=own.replace(lr=factor * own.lr, lr_attention=factor * own.lr_attention))

    @property
    def average(self) -> float:
        """Decay of the running average of the weights; 0 for no average."""
        row = self.params.rows.get(self.row)
        return 0.0 if row is None else row.average

    def count_steps(self, scans: int) -> int:
        """Number of optimiser steps, for a training set of ``scans`` scans.

        >>> from topokd.params import Train
        >>> Run("teacher", 0, Params(train=Train(teacher_steps=0, epochs=3, batch_size=2))).count_steps(5)
        9
        """
        train = self.params.train
        steps = train.teacher_steps if self.role == "teacher" else train.student_steps
        steps = steps or train.epochs * -(-scans // train.batch_size)
        row = self.params.rows.get(self.row)
        return steps if row is None else max(1, round(steps * row.steps))

    @property
    def teacher(self) -> Run:
        """The run of the teacher that the students of this seed learn from."""
        return Run(TEACHER, self.params.teacher_seed(self.seed), self.params)

    @property
    def checkpoint(self) -> Path:
        """Final weights."""
        return self.params.workspace / "checkpoints" / f"{self.name}.safetensors"

    @property
    def stamp(self) -> Path:
        """Of a teacher: the digest of its weights. The pipeline's students depend on the folder of these files."""
        return self.params.workspace / "teachers" / f"{self.name}.json"

    @property
    def best(self) -> Path:
        """Weights with the best mIoU seen during training."""
        return self.params.workspace / "best" / f"{self.name}.safetensors"

    @property
    def record(self) -> Path:
        """The run record, in git."""
        return run_record(self.params.results, self.row, self.seed)

    @property
    def live(self) -> Path:
        """Folder of the live curves."""
        return self.params.workspace / "live" / self.name

    @property
    def tracked(self) -> Path:
        """Folder of the files of ``train.tracker``."""
        return self.params.workspace / self.params.train.tracker / self.name

    @property
    def kept(self) -> Path:
        """Folder of the teacher's outputs that the rows of a seed share, one file per step."""
        return self.params.workspace / "teacher_outputs"

    @property
    def resume(self) -> Path:
        """Folder of the states that killed runs of the profile resume from."""
        return self.params.workspace / "resume"


def run_of(network: str, seed: int, params: Params) -> Run:
    """The run of a network for one seed of the students: a row's own, or that of the teacher it learns from.

    Args:
        network: a row of the ablation, or ``teacher``.
        seed: seed of the student.
        params: the profile.

    Returns:
        The run; it need not have been started.

    >>> run_of("teacher", 2, Params()).name, run_of("kd", 2, Params()).name
    ('teacher-seed0', 'kd-seed2')
    """
    run = Run(network, seed, params)
    return run.teacher if network == TEACHER else run

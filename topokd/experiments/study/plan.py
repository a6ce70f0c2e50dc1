"""The protocol of a study: what is tuned, on which streets, what is compared, with which margin."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from topokd import params as P
from topokd import schema
from topokd.errors import ParameterError
from topokd.project import project_path
from topokd.schema import Count, Natural, Positive, Probability, Section, Switch
from topokd.yaml_text import parse_yaml


class Tuning(Section):
    """How weights are tuned: with a seed and on streets that nothing else uses."""

    seed: Natural = Field(1000, description="seed of all trials; must not be a seed of the profile")
    sequences: tuple[Natural, ...] = Field((60, 61), description="streets; must not be streets of the profile")
    scans_per_sequence: Count = Field(3, description="scans per street")
    student_steps: Count = Field(400, description="training steps of a trial")


class TunedRow(Section):
    """The factor that the trials of a row vary."""

    factor_of: tuple[str, ...] = Field((), description="terms whose weights are multiplied; (): the learning rate")
    start: str | None = Field(None, description="row whose chosen weights are taken over before tuning")
    factors: tuple[Positive, ...] = Field((), description="the row's own log grid; (): the common one")


class StudyPlan(Section):
    """The protocol of a study."""

    profile: str = Field("study", description="profile with the seeds, streets and schedule")
    tuning: Tuning = Tuning()
    rows: dict[str, TunedRow] = Field({}, description="rows of the ablation")
    factors: tuple[Positive, ...] = Field((0.1, 1.0), min_length=1, description="log grid for weights")
    learning_rate_factors: tuple[Positive, ...] = Field((0.5, 1.0), description="log grid for rows without weights")
    comparisons: tuple[tuple[str, str], ...] = Field((), description="pairs of treatment and control")
    added: tuple[tuple[str, str], ...] = Field((), description="further pairs, added after runs had been made")
    margin: Positive = Field(0.5, description="margin of equivalence, points of mIoU")
    alpha: Probability = Field(0.05, description="level of all tests together")
    expected_sd: Positive = Field(1.0, description="expected standard deviation of paired differences, for the power")
    effects: tuple[Positive, ...] = Field((1.0,), description="differences for which the power is computed")
    draws: Count = Field(2000, description="resamples of the bootstrap")
    runs: Switch = Field(True, description="false: only the trials, to choose weights")
    held_out: tuple[Natural, ...] = Field(
        (), description="cross-validation: sequences held out, one fold each; no trials, weights as in the profile"
    )

    def grid(self, row: str) -> tuple[float, ...]:
        """The factors that the trials of a row apply to its weights, or to the learning rate."""
        own = self.rows[row]
        return own.factors or (self.factors if own.factor_of else self.learning_rate_factors)

    @model_validator(mode="after")
    def _fair(self) -> StudyPlan:
        for where, grid in {
            "learning_rate_factors": self.learning_rate_factors,
            **{f"rows.{name}.factors": row.factors for name, row in self.rows.items() if row.factors},
        }.items():
            if len(grid) != len(self.factors):
                raise ValueError(
                    f"{len(self.factors)} factors and {len(grid)} {where}: every row gets the same number of trials"
                )
        for name, row in self.rows.items():
            if self.held_out and row != TunedRow():
                raise ValueError(f"rows.{name} is tuned, but a cross-validation (held_out) uses the profile's weights")
            if row.start is not None and (row.start not in self.rows or self.rows[row.start].start is not None):
                raise ValueError(f"rows.{name}.start is {row.start!r}: name a row without a start")
        for field, compared in (("comparisons", self.comparisons), ("added", self.added)):
            for pair in compared:
                for name in pair:
                    if name not in self.rows:
                        raise ValueError(f"{field} names {name!r}, which is not in `rows`")
                if pair[0] == pair[1]:
                    raise ValueError(f"{field} compares {pair[0]!r} with itself")
        return self


@dataclass(frozen=True)
class Unit:
    """One training run.

    Attributes:
        kind: "teacher", "trial" or "run".
        row: row of the ablation; "teacher" for a teacher.
        number: the seed; of a trial, its index in the grid.
        fold: the held-out sequence in a cross-validation.
    """

    kind: str
    row: str
    number: int
    fold: int | None = None

    @property
    def name(self) -> str:
        """``trial-kd-2``: the name of its record.

        >>> Unit("trial", "kd", 2).name, Unit("run", "kd", 0, fold=8).name
        ('trial-kd-2', 'run-kd-0-fold08')
        """
        return f"{self.kind}-{self.row}-{self.number}" + ("" if self.fold is None else f"-fold{self.fold:02d}")


def read_plan(path: str | Path = "study/plan.yaml") -> tuple[StudyPlan, P.Params]:
    """The protocol and its profile, checked against each other.

    Raises:
        ParameterError: names the file and the field: an unknown row or term, or a street or seed that is used twice.
    """
    file = project_path(path)
    if not file.is_file():
        what = "is a folder" if file.is_dir() else "does not exist"
        raise ParameterError(f"{file} {what}: name the file of a protocol, as study/plan.yaml (docs/study.md)")
    content = parse_yaml(file.read_bytes(), str(file)) or {}
    if isinstance(content, dict) and "shares" in content:
        raise ParameterError(f"{file} is a protocol of dose and response: run `python -m topokd.experiments.dose`")
    plan = schema.validate(StudyPlan, content, file=str(file))
    if not plan.rows:
        raise ParameterError(f"{file}: `rows` is empty: name the rows of the ablation to train")
    params = P.load_profile(plan.profile)
    if not plan.held_out and plan.tuning.seed in params.seeds:
        raise ParameterError(f"{file}: tuning.seed {plan.tuning.seed} is a seed of the profile {plan.profile}")
    world = params.data.synthetic
    used = sorted({*world.train_sequences, *world.val_sequences} & set(plan.tuning.sequences))
    if used and not plan.held_out:
        raise ParameterError(f"{file}: tuning.sequences shares streets {used} with the profile {plan.profile}")
    for name, row in plan.rows.items():
        if name not in params.rows:
            raise ParameterError(f"{file}: row {name!r} does not exist; {schema.nearest(name, params.rows)}")
        for term in row.factor_of:
            if term not in params.rows[name].terms:
                raise ParameterError(f"{file}: rows.{name}.factor_of names {term!r}, which the row does not have")
    return plan, params


def units(plan: StudyPlan, params: P.Params) -> list[Unit]:
    """All training runs in an order in which they can run: teachers, trials (rows without a start first), runs.

    Runs are ordered by seed, so that a study that is stopped early is a smaller one; in a cross-validation each seed
    goes through all folds.
    """
    if plan.held_out:
        return [
            *(Unit("teacher", "teacher", seed, fold) for seed in params.teacher_seeds for fold in plan.held_out),
            *(Unit("run", row, s, fold) for s in params.seeds for fold in plan.held_out for row in plan.rows),
        ]
    first = sorted(plan.rows, key=lambda row: plan.rows[row].start is not None)  # stable
    teachers = [Unit("teacher", "teacher", seed) for seed in params.teacher_seeds]
    trials = [Unit("trial", row, k) for row in first for k in range(len(plan.factors))]
    seeds = params.seeds if plan.runs else ()
    return [*teachers, *trials, *(Unit("run", row, seed) for seed in seeds for row in plan.rows)]


def needs(unit: Unit, plan: StudyPlan, params: P.Params) -> list[Unit]:
    """The units that must be done before ``unit``: teachers, trials of the row it starts from, and a run's own trials.

    >>> plan = StudyPlan(rows={"kd": TunedRow(factor_of=("kd",)), "full": TunedRow(factor_of=("topo",), start="kd")})
    >>> [unit.name for unit in needs(Unit("trial", "full", 0), plan, P.Params())]
    ['teacher-teacher-0', 'trial-kd-0', 'trial-kd-1']
    """
    if unit.kind == "teacher":
        return []
    if plan.held_out:
        return [Unit("teacher", "teacher", seed, unit.fold) for seed in params.teacher_seeds]
    tuned = {plan.rows[unit.row].start, unit.row if unit.kind == "run" else None}
    every = units(plan, params)
    return [other for other in every if other.kind == "teacher" or (other.kind == "trial" and other.row in tuned)]


def weighted(params: P.Params, plan: StudyPlan, row: str, factor: float, start: dict[str, Any] | None) -> P.Params:
    """The profile with the weights of one row multiplied by one factor of the grid.

    Args:
        params: the profile.
        plan: the protocol.
        row: row of the ablation.
        factor: multiplies the weights of ``plan.rows[row].factor_of``, or the learning rate if there are none.
        start: the chosen trial of ``plan.rows[row].start``, whose terms replace the row's before that.
    """
    terms = {name: dict(given) for name, given in params.rows[row].terms.items()}
    for name, given in (start or {}).get("terms", {}).items():
        if name in terms:
            terms[name] = dict(given)
    for name in plan.rows[row].factor_of:
        terms[name]["weight"] = float(f"{factor * terms[name]['weight']:.6g}")
    train = params.train
    if not plan.rows[row].factor_of:
        train = train.replace(student_lr_factor=factor * train.student_lr_factor)
    return params.replace(rows=params.rows | {row: params.rows[row].replace(terms=terms)}, train=train)

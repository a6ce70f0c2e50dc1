"""The arms of the experiment: doses of L_topo, and variants of it at one dose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from topokd import params as P
from topokd import schema
from topokd.distillation import term_parameters
from topokd.errors import ParameterError
from topokd.project import project_path
from topokd.schema import Count, NonNegative, Positive, Section
from topokd.yaml_text import parse_yaml

TERM = "topo"


class DosePlan(Section):
    """The protocol of the experiment."""

    profile: str = Field("dose", description="profile with the seeds, streets and schedule")
    row: str = Field("kd_topo", description="row of the ablation with L_topo; its other terms keep their weights")
    control: str = Field("kd", description="the row without L_topo: dose 0")
    teacher_of: str = Field("", description="profile to take trained teachers from, if it has them; '': train them")
    shares: tuple[NonNegative, ...] = Field(
        (0.0, 0.01, 0.03, 0.1, 0.3, 1.0),
        description="gradient norm of L_topo relative to that of the segmentation loss; the first is 0",
    )
    variants_share: Positive = Field(1.0, description="share of all variants")
    variants: dict[str, list[Any]] = Field({}, description="values of a parameter of L_topo, one arm each")
    scans: Count = Field(20, description="validation scans on which all but mIoU is measured, spread evenly")
    yardstick: dict[str, Any] = Field({}, description="L_topo that measures the distance to the teacher in every arm")
    objects: tuple[str, ...] = Field((), description="classes whose objects are counted in fragments")
    thin: tuple[str, ...] = Field((), description="those of them that are thin")
    margin: Positive = Field(0.5, description="differences below it, in points of mIoU, count as no difference")

    @model_validator(mode="after")
    def _has_a_control(self) -> DosePlan:
        if len(self.shares) < 2 or self.shares[0] != 0 or sorted(set(self.shares)) != list(self.shares):
            raise ValueError(f"shares is {self.shares}: shares must start with 0, the control, and increase")
        if missing := set(self.thin) - set(self.objects):
            raise ValueError(f"thin names {sorted(missing)}, which are not in `objects`")
        return self


@dataclass(frozen=True)
class Arm:
    """One way to train a student.

    Args:
        name: name of the arm and of its runs.
        axis: what the arm varies: ``share``, or a parameter of L_topo.
        value: its value.
        share: gradient share of L_topo; 0: the control row.
        options: parameters of L_topo that differ from those of the profile's row.
    """

    name: str
    axis: str
    value: Any
    share: float
    options: dict[str, Any]


def arms(plan: DosePlan) -> list[Arm]:
    """Every arm: the doses, then the variants.

    Examples:
        >>> [arm.name for arm in arms(DosePlan(shares=(0, 0.1), variants={"dims": [[0]], "stage": [4]}))]
        ['share-0', 'share-10', 'dims-0', 'stage-4']
    """
    doses = [Arm(f"share-{100 * share:g}", "share", share, share, {}) for share in plan.shares]
    variants = [
        Arm(f"{option}-{_text(value)}", option, value, plan.variants_share, {option: value})
        for option, values in plan.variants.items()
        for value in values
    ]
    return [*doses, *variants]


def _text(value: Any) -> str:
    return "".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def read_dose_plan(path: str | Path = "study/dose.yaml") -> tuple[DosePlan, P.Params]:
    """The protocol and its profile, checked against each other.

    Raises:
        ParameterError: names the file and the field: an unknown row, or a parameter that L_topo does not have.
    """
    file = project_path(path)
    if not file.is_file():
        raise ParameterError(f"{file} does not exist: it holds the arms of the experiment (docs/study.md)")
    plan = schema.validate(DosePlan, parse_yaml(file.read_bytes(), str(file)) or {}, file=str(file))
    params = P.load_profile(plan.profile)
    for field, row in (("row", plan.row), ("control", plan.control)):
        if row not in params.rows:
            raise ParameterError(f"{file}: {field} {row!r} does not exist; {schema.nearest(row, params.rows)}")
    if TERM not in params.rows[plan.row].terms or TERM in params.rows[plan.control].terms:
        raise ParameterError(f"{file}: row must have the term {TERM!r} and control must not")
    own = params.rows[plan.row].terms[TERM]
    for arm in arms(plan):
        term_parameters(TERM, own | arm.options, where=f"{file}: variants")
    term_parameters(TERM, own | plan.yardstick, where=f"{file}: yardstick")
    return plan, params


def arm_params(params: P.Params, plan: DosePlan, arm: Arm) -> P.Params:
    """The profile with the arm as a row of the ablation, and all arms of its kind, which share the teacher's outputs.

    Args:
        params: the profile.
        plan: the protocol.
        arm: one of `arms`.
    """
    alike = [other for other in arms(plan) if (other.axis == "share") == (arm.axis == "share")]
    rows = {other.name: _row(params, plan, other) for other in alike}
    train = params.train
    if arm.share:
        train = train.replace(balance="gradnorm", shares={TERM: arm.share})
    return params.replace(rows=params.rows | rows, train_rows=tuple(rows), train=train)


def _row(params: P.Params, plan: DosePlan, arm: Arm) -> P.Row:
    if not arm.share:
        return params.rows[plan.control]
    row = params.rows[plan.row]
    return row.replace(terms=row.terms | {TERM: row.terms[TERM] | arm.options})

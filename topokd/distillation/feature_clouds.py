"""What the terms on the shape of feature clouds share: one stage's rows, sampled and normalised, and their options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from topokd.distillation.dtype import at_least_float32
from topokd.distillation.matching import match_rows
from topokd.distillation.term import NetworkOutput, Step, Term, TermOptions
from topokd.schema import Natural, NonNegative, Positive
from topokd.topology import Gradient, Normalization, SampledRowsLoss, TeacherDiagrams, TopologicalLoss
from topokd.topology.engines import choose_engine


class CloudOptions(TermOptions):
    """Which rows a term on feature clouds compares."""

    weight: Positive = Field(0.3, description="lambda in Eq. 8")
    stage: Natural = Field(4, description="encoder stage whose features are compared; 4: last of five (NOTES row 6)")
    num_points: Annotated[int, Field(strict=True, ge=2)] = Field(
        256, description="M, points kept by farthest point sampling; the paper has 1024"
    )
    normalize: Normalization = Field("l2", description="l2, none, standardize or mean_norm (NOTES row 2)")


class DiagramOptions(CloudOptions):
    """How a term on feature clouds computes persistence diagrams."""

    dims: tuple[Annotated[int, Field(strict=True, ge=0, le=2)], ...] = Field(
        (0, 1), min_length=1, description="homology degrees, of 0, 1, 2"
    )
    engine: str = Field("auto", description="what computes exact diagrams (docs/topology.md)")
    tie_tolerance: NonNegative = Field(
        1e-6,
        description="tau_tie, in extents of the cloud: edges within it of the longest share its gradient (row 17)",
    )
    time_limit: Positive | None = Field(
        None, description="seconds per diagram, after which it is truncated with a warning; null: none"
    )
    gradient: Gradient = Field("critical", description="points that move: critical, or diffeomorphic (all, smoothly)")
    bandwidth: Positive | None = Field(
        None, description="of the diffeomorphic gradient; null: half the median distance of the rows"
    )

    @model_validator(mode="after")
    def _engine_can_compute(self) -> DiagramOptions:
        choose_engine(self.engine, max(self.dims), self.time_limit)
        return self


COMMON = {"num_points", "dims", "normalize", "engine", "tie_tolerance", "time_limit", "gradient", "bandwidth"}


class DiagramTerm(Term):
    """L = (1/B) sum over clouds and degrees of a distance of the teacher's and the student's diagram (Alg. 1).

    A term defines `loss_options`. The loss is `topokd.topology.TopologicalLoss`, on the features of one encoder stage.
    The teacher's diagrams are computed on other threads while the student's forward pass runs (`prepare`).
    """

    Options = DiagramOptions

    def __init__(self, **given: object) -> None:
        super().__init__(**given)
        self.loss = TopologicalLoss(**self.options.model_dump(include=COMMON), **self.loss_options())

    def loss_options(self) -> dict[str, Any]:
        """Arguments of `TopologicalLoss` beside the common ones: ``distance``, where it is not PWCD."""
        raise NotImplementedError(f"{type(self).__name__} must define loss_options()")

    def prepare(self, teacher: NetworkOutput) -> TeacherDiagrams:
        """Start the teacher's diagrams. Raises `DataError` when its features are not finite."""
        tap = teacher.taps[self.options.stage]
        return self.loss.prepare(at_least_float32(tap.feat), tap.offsets)

    def forward(self, step: Step) -> Float[Tensor, ""]:
        """The student's rows take the teacher's order: its diagrams may have started before the student ran."""
        student, teacher, offsets = rows_of_stage(step, self.options.stage)
        return self.loss(student, step.prepared or teacher, offsets)


class CloudTerm(Term):
    """L = (1/B) sum over clouds of a distance of the teacher's and the student's points on the same rows.

    A term defines `distance`. Rows are normalised and sampled as in Alg. 1.
    """

    Options = CloudOptions

    def __init__(self, **given: object) -> None:
        super().__init__(**given)
        self.loss = SampledRowsLoss(
            self.distance(), num_points=self.options.num_points, normalize=self.options.normalize
        )

    def distance(self) -> Callable[[Tensor, Tensor], Tensor]:
        """A function of the teacher's rows (m, c_t) and the student's (m, c_s)."""
        raise NotImplementedError(f"{type(self).__name__} must define distance()")

    def forward(self, step: Step) -> Float[Tensor, ""]:
        """The loss of one batch, before its weight."""
        return self.loss(*rows_of_stage(step, self.options.stage))


def rows_of_stage(step: Step, stage: int) -> tuple[Float[Tensor, "n c_s"], Float[Tensor, "n c_t"], Tensor]:
    """Both networks' features of one stage in the teacher's order, its own without a graph, and the offsets."""
    student, teacher = step.student.taps[stage], step.teacher.taps[stage]
    matched = student.feat[match_rows(teacher, student).argsort()]
    return at_least_float32(matched), at_least_float32(teacher.feat.detach()), teacher.offsets

"""Base classes of the terms that compare the shape of feature clouds, and their options."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from jaxtyping import Float, Int64
from pydantic import Field, model_validator
from torch import Tensor

from topokd.clouds import at_least_float32
from topokd.distillation.matching import StageRows, match_rows
from topokd.distillation.segmentation import SegmentationLoss
from topokd.distillation.term import NetworkOutput, Step, Term, TermOptions
from topokd.schema import Natural, NonNegative, Number, Positive, TermWeight
from topokd.topology import (
    Gradient,
    Normalization,
    SampledRows,
    SampledRowsLoss,
    TeacherCloud,
    TeacherDiagrams,
    TopologicalLoss,
)
from topokd.topology.engines import choose_engine


class CloudOptions(TermOptions):
    """Which rows a term on feature clouds compares."""

    weight: TermWeight = Field(0.3, description="lambda in Eq. 8")
    stage: Natural = Field(4, description="encoder stage whose features are compared; 4: last of five (NOTES row 6)")
    num_points: Annotated[int, Field(strict=True, ge=2)] = Field(
        256, description="M, points kept by farthest point sampling; the paper has 1024"
    )
    normalize: Normalization = Field("l2", description="l2, none, standardize or mean_norm (NOTES row 2)")


class DivergenceOptions(CloudOptions):
    """How a term compares the distances within two clouds."""

    quantile: Annotated[Number, Field(gt=0, le=1)] | None = Field(
        0.9, description="of each cloud's distances, which they are divided by; null: they are not"
    )


class DiagramOptions(CloudOptions):
    """How a term on feature clouds computes persistence diagrams."""

    dims: tuple[Annotated[int, Field(strict=True, ge=0, le=2)], ...] = Field(
        (0, 1), min_length=1, description="homology degrees, of 0, 1, 2"
    )
    engine: str = Field("auto", description="what computes exact diagrams (docs/topology.md)")
    tie_tolerance: NonNegative = Field(
        1e-6,
        description="tau_tie: edges within it of the longest share its gradient (NOTES row 17)",
    )
    time_limit: Positive | None = Field(
        None, description="seconds per diagram, after which it is truncated with a warning; null: none"
    )
    gradient: Gradient = Field("critical", description="points that move: critical, diffeomorphic (all), or big_step")
    bandwidth: Positive | None = Field(
        None, description="of the diffeomorphic gradient; null: half the median distance of the rows"
    )

    @model_validator(mode="after")
    def _engine_can_compute(self) -> DiagramOptions:
        choose_engine(self.engine, max(self.dims), self.time_limit)
        return self


OF_THE_ROWS = {"stage", "num_points", "normalize"}
OF_THE_DIAGRAMS = OF_THE_ROWS | {"dims", "engine", "time_limit"}
OF_THE_LOSS = OF_THE_DIAGRAMS - {"stage"} | {"tie_tolerance", "gradient", "bandwidth"}


class DiagramTerm(Term):
    """L = (1/B) sum over clouds and degrees of a distance of the teacher's and the student's diagram (Alg. 1).

    A term defines `loss_options`. The loss is `topokd.topology.TopologicalLoss`, on the features of one encoder stage.
    The teacher's diagrams are computed on other threads while the student's forward pass runs (`prepare`).
    """

    Options = DiagramOptions

    def __init__(self, **given: object) -> None:
        super().__init__(**given)
        self.loss = TopologicalLoss(**self.options.model_dump(include=OF_THE_LOSS), **self.loss_options())

    @abstractmethod
    def loss_options(self) -> dict[str, Any]:
        """Arguments of `TopologicalLoss` specific to the term, such as ``distance``."""

    def prepare(self, teacher: NetworkOutput) -> TeacherDiagrams:
        """Start the teacher's diagrams.

        Raises:
            DataError: its features are not finite.
        """
        tap = teacher.taps[self.options.stage]
        return self.loss.prepare(at_least_float32(tap.feat), tap.offsets)

    @property
    def digest_key(self) -> str:
        """Depends on the options that determine the diagrams, so terms with equal ones share a digest."""
        given = self.options.model_dump(mode="json", include=OF_THE_DIAGRAMS)
        return f"diagrams {json.dumps(given, sort_keys=True)}"

    def digest(
        self, teacher: NetworkOutput, label: Int64[Tensor, " n"], segmentation: SegmentationLoss
    ) -> dict[str, Tensor]:
        """The rows that sampling kept in each cloud, their diagrams, and the voxels of all rows.

        Args:
            teacher: output of the teacher.
            label: (n,) class of each voxel.
            segmentation: the loss of the labels.
        """
        tap = teacher.taps[self.options.stage]
        diagrams = self.loss.prepare(at_least_float32(tap.feat.detach()), tap.offsets)
        parts = {"grid": tap.grid_coord, "offsets": tap.offsets}
        for k, cloud in enumerate(diagrams.results()):
            parts[f"kept{k}"] = cloud.indices
            parts |= {f"diagram{k}-{dim}": cloud.diagrams[dim] for dim in self.options.dims}
        return parts

    def _restored(self, digest: Mapping[str, Tensor]) -> TeacherDiagrams:
        ends = digest["offsets"].tolist()
        clouds = [
            TeacherCloud(digest[f"kept{k}"], {dim: digest[f"diagram{k}-{dim}"] for dim in self.options.dims})
            for k in range(_clouds_of(digest))
        ]
        return TeacherDiagrams(ends, lambda: clouds)

    def forward(self, step: Step) -> Float[Tensor, ""]:
        """The student's rows take the teacher's order: its diagrams may have started before the student ran."""
        student, rows, features = rows_of_stage(step, self.options.stage)
        reference = self._restored(step.digest) if step.digest is not None else step.prepared or features
        return self.loss(student, reference, rows.offsets)


class CloudTerm(Term):
    """L = (1/B) sum over clouds of a distance of the teacher's and the student's points, row by row.

    A term defines `distance`. Rows are normalised and sampled as in Alg. 1.
    """

    Options = CloudOptions

    def __init__(self, **given: object) -> None:
        super().__init__(**given)
        self.loss = SampledRowsLoss(
            self.distance(), num_points=self.options.num_points, normalize=self.options.normalize
        )

    @abstractmethod
    def distance(self) -> Callable[[Tensor, Tensor], Tensor]:
        """A function of the teacher's rows (m, c_t) and the student's (m, c_s)."""

    @property
    def digest_key(self) -> str:
        """Depends on the options that determine the sampled rows, so terms with equal ones share a digest."""
        return f"rows {json.dumps(self.options.model_dump(mode='json', include=OF_THE_ROWS), sort_keys=True)}"

    def digest(
        self, teacher: NetworkOutput, label: Int64[Tensor, " n"], segmentation: SegmentationLoss
    ) -> dict[str, Tensor]:
        """The rows that sampling kept in each cloud, normalised, and the voxels of all rows.

        Args:
            teacher: output of the teacher.
            label: (n,) class of each voxel.
            segmentation: the loss of the labels.
        """
        tap = teacher.taps[self.options.stage]
        sampled = self.loss.sample(at_least_float32(tap.feat.detach()), tap.offsets)
        parts = {"grid": tap.grid_coord, "offsets": tap.offsets}
        for k, (kept, rows) in enumerate(sampled.clouds):
            parts |= {f"kept{k}": kept, f"rows{k}": rows}
        return parts

    def forward(self, step: Step) -> Float[Tensor, ""]:
        """The loss of one batch, before its weight."""
        student, rows, features = rows_of_stage(step, self.options.stage)
        if step.digest is None:
            return self.loss(student, features, rows.offsets)
        digest = step.digest
        clouds = [(digest[f"kept{k}"], digest[f"rows{k}"]) for k in range(_clouds_of(digest))]
        return self.loss(student, SampledRows(digest["offsets"].tolist(), clouds), rows.offsets)


def rows_of_stage(step: Step, stage: int) -> tuple[Float[Tensor, "n c_s"], StageRows, Float[Tensor, "n c_t"] | None]:
    """The features of both networks in one stage, with the student's rows in the teacher's order.

    Args:
        step: inputs of the term.
        stage: index of the tap.

    Returns:
        (n, c_s) features of the student; the rows of the teacher; its (n, c_t) features, detached, or None if the step
        has a digest instead.
    """
    own = step.student.taps[stage]
    if step.digest is not None:
        rows, features = StageRows(step.digest["grid"], step.digest["offsets"]), None
    else:
        tap = step.teacher_output.taps[stage]
        rows, features = StageRows(tap.grid_coord, tap.offsets), at_least_float32(tap.feat.detach())
    return at_least_float32(own.feat[match_rows(rows, own).argsort()]), rows, features


def _clouds_of(digest: Mapping[str, Tensor]) -> int:
    return sum(name.startswith("kept") for name in digest)

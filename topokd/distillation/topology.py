"""The term ``topo``, L_topo: the student's features have the persistence diagrams of the teacher's (Sec. 3.2)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated

from jaxtyping import Float, Int64
from pydantic import Field, model_validator
from torch import Tensor

from topokd.distillation.dtype import at_least_float32
from topokd.distillation.matching import Rows, match_rows
from topokd.distillation.segmentation import SegmentationLoss
from topokd.distillation.term import TERMS, NetworkOutput, Step, Term, TermOptions
from topokd.schema import Natural, NonNegative, Positive
from topokd.topology import TeacherCloud, TeacherDiagrams, TopologicalLoss
from topokd.topology.engines import choose_engine
from topokd.topology.loss import Normalization


class TopologyOptions(TermOptions):
    """Topological term: persistence diagrams of one stage's features (Sec. 3.2, Alg. 1-5)."""

    weight: Positive = Field(0.3, description="lambda_topo in Eq. 8")
    stage: Natural = Field(4, description="encoder stage whose features are compared; 4: last of five (NOTES row 6)")
    num_points: Annotated[int, Field(strict=True, ge=2)] = Field(
        256, description="M, points kept by farthest point sampling; the paper has 1024"
    )
    dims: tuple[Annotated[int, Field(strict=True, ge=0, le=2)], ...] = Field(
        (0, 1), min_length=1, description="homology degrees, of 0, 1, 2"
    )
    normalize: Normalization = Field("l2", description="l2, none, standardize or mean_norm (NOTES row 2)")
    engine: str = Field("auto", description="what computes exact diagrams (docs/topology.md)")
    match_scale: Positive = Field(1.0, description="1: Eq. 2-3 and Alg. 4; 0.5: Alg. 2 (NOTES row 1)")
    eps: Positive = Field(1e-6, description="stabiliser of the sum of weights")
    tie_tolerance: NonNegative = Field(
        1e-6, description="tau_tie: edges within it of the longest share its gradient (NOTES row 17)"
    )
    time_limit: Positive | None = Field(
        None, description="seconds per diagram, after which it is truncated with a warning; null: none"
    )

    @model_validator(mode="after")
    def _engine_can_compute(self) -> TopologyOptions:
        choose_engine(self.engine, max(self.dims), self.time_limit)
        return self


class TopologyTerm(Term):
    """L_topo = (1/B) sum over clouds and degrees of PWCD(D_teacher, D_student)  (Eq. 2-3, Alg. 1).

    The loss itself is `topokd.topology.TopologicalLoss`, on the features of one encoder stage. The teacher's
    diagrams are computed on other threads while the student's forward pass runs (`prepare`).
    """

    Options = TopologyOptions

    def __init__(self, **given: object) -> None:
        super().__init__(**given)
        self.loss = TopologicalLoss(**self.options.model_dump(exclude={"weight", "stage"}))

    def prepare(self, teacher: NetworkOutput) -> TeacherDiagrams:
        """Start the teacher's diagrams. Raises `DataError` when its features are not finite."""
        tap = teacher.taps[self.options.stage]
        return self.loss.prepare(at_least_float32(tap.feat), tap.offsets)

    @property
    def digest_key(self) -> str:
        """Diagrams depend on all parameters but the weights and stabilisers of their comparison."""
        given = self.options.model_dump(mode="json", exclude={"weight", "match_scale", "eps"})
        return f"diagrams {json.dumps(given, sort_keys=True)}"

    def digest(
        self, teacher: NetworkOutput, label: Int64[Tensor, " n"], segmentation: SegmentationLoss
    ) -> dict[str, Tensor]:
        """The rows that sampling kept in each cloud, their diagrams, and the voxels of all rows."""
        tap = teacher.taps[self.options.stage]
        diagrams = self.loss.prepare(at_least_float32(tap.feat.detach()), tap.offsets)
        parts = {"grid": tap.grid_coord, "offsets": tap.offsets}
        for k, cloud in enumerate(diagrams.results()):
            parts[f"kept{k}"] = cloud.indices
            parts |= {f"diagram{k}-{dim}": cloud.diagrams[dim] for dim in self.options.dims}
        return parts

    def _restored(self, digest: Mapping[str, Tensor]) -> TeacherDiagrams:
        ends = digest["offsets"].tolist()
        count = sum(name.startswith("kept") for name in digest)
        clouds = [
            TeacherCloud(digest[f"kept{k}"], {dim: digest[f"diagram{k}-{dim}"] for dim in self.options.dims})
            for k in range(count)
        ]
        return TeacherDiagrams(ends, lambda: clouds)

    def forward(self, step: Step) -> Float[Tensor, ""]:
        """The student's rows take the teacher's order: its diagrams may have started before the student ran."""
        tap_s = step.student.taps[self.options.stage]
        if step.digest is not None:
            rows = Rows(step.digest["grid"], step.digest["offsets"])
            reference: Tensor | TeacherDiagrams = self._restored(step.digest)
        else:
            tap_t = step.teacher_output.taps[self.options.stage]
            rows = Rows(tap_t.grid_coord, tap_t.offsets)
            reference = step.prepared or at_least_float32(tap_t.feat.detach())
        matched = tap_s.feat[match_rows(rows, tap_s).argsort()]
        return self.loss(at_least_float32(matched), reference, rows.offsets)


TERMS["topo"] = TopologyTerm

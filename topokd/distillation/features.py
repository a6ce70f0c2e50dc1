"""Base class of the terms that compare features of one encoder stage."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor, nn

from topokd.checks import require_finite
from topokd.clouds import Features, Offsets, at_least_float32, matched_rows
from topokd.distillation.matching import Rows, VoxelRows, match_rows
from topokd.distillation.segmentation import SegmentationLoss
from topokd.distillation.term import NetworkOutput, Step, Term, TermOptions
from topokd.schema import Natural


def matched_features(
    student: Features, teacher: Features, offsets: Offsets = None
) -> tuple[Float[Tensor, "n c_s"], Float[Tensor, "n c_t"], list[int]]:
    """Rows of both networks in float32 at least, the teacher's without a graph, and where clouds end.

    Args:
        student: Features in any layout of `topokd.clouds.as_rows`.
        teacher: Features of the same points; widths may differ.
        offsets: Where clouds end, if the layout does not say so.

    Raises:
        DataError: When the layouts do not match, or features are not finite.
    """
    student, teacher, ends = matched_rows(student, teacher, offsets)
    require_finite(student, "the student's features", "lower the learning rate")
    require_finite(teacher, "the teacher's features", "check its checkpoint")
    return at_least_float32(student), at_least_float32(teacher.detach()), ends


class StageOptions(TermOptions):
    """Parameters of a term on one encoder stage."""

    stage: Natural = Field(2, description="encoder stage whose features are compared, 0 the finest")


class StageTerm(Term):
    """A loss of two networks' features at one encoder stage; a subclass defines it in `build`."""

    Options = StageOptions

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.loss = self.build()

    @abstractmethod
    def build(self) -> nn.Module:
        """The loss, called as ``loss(student, teacher, offsets)`` with features of both networks."""

    @property
    def digest_key(self) -> str:
        """The same for all terms that need the features of one stage."""
        return f"features {self.options.stage}"

    def digest(
        self, teacher: NetworkOutput, label: Int64[Tensor, " n"], segmentation: SegmentationLoss
    ) -> dict[str, Tensor]:
        """The teacher's features at the stage, and the voxels of its rows.

        Args:
            teacher: Output of the teacher.
            label: (n,) class of each voxel.
            segmentation: The loss of the labels.
        """
        tap = teacher.taps[self.options.stage]
        return {"feat": tap.feat.detach(), "grid": tap.grid_coord, "offsets": tap.offsets}

    def rows(self, step: Step) -> tuple[VoxelRows, Float[Tensor, "n c_t"]]:
        """The student's tap, and the teacher's features in the order of its rows."""
        own = step.student.taps[self.options.stage]
        given = step.digest or self.digest(step.teacher_output, step.label, step.segmentation)
        return own, given["feat"][match_rows(Rows(given["grid"], given["offsets"]), own)]

    def forward(self, step: Step) -> Float[Tensor, ""]:
        """The loss of the stage."""
        own, other = self.rows(step)
        return self.loss(own.feat, other, own.offsets)

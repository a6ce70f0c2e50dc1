"""Base class of the terms that compare features of one encoder stage."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import normalize

from topokd.checks import require_finite_outputs
from topokd.clouds import Features, Offsets, at_least_float32, matched_rows
from topokd.distillation.matching import StageRows, VoxelRows, match_rows
from topokd.distillation.segmentation import SegmentationLoss
from topokd.distillation.term import NetworkOutput, Step, Term, TermOptions
from topokd.schema import Natural


def matched_features(
    student: Features, teacher: Features, offsets: Offsets = None
) -> tuple[Float[Tensor, "n c_s"], Float[Tensor, "n c_t"], list[int]]:
    """Rows of both networks in float32 at least, the teacher's without a graph, and where clouds end.

    Args:
        student: features in any layout of `topokd.clouds.as_rows`.
        teacher: features of the same points; widths may differ.
        offsets: where clouds end, if the layout does not say so.

    Raises:
        DataError: when the layouts do not match, or features are not finite.
    """
    student, teacher, ends = matched_rows(student, teacher, offsets)
    require_finite_outputs(student, teacher, "features")
    return at_least_float32(student), at_least_float32(teacher.detach()), ends


def of_usual_size(x: Float[Tensor, "*s"], low: float = 1e-4, high: float = 1e8) -> Float[Tensor, "*s"]:
    """``x``, divided by its largest entry if powers of that would leave the range of float32: for losses without unit.

    Args:
        x: features or maps of one cloud.
        low: largest entry that is too small, without being 0.
        high: the same, too large.

    Examples:
        >>> import torch
        >>> of_usual_size(torch.tensor([2.0, 1.0])), of_usual_size(torch.tensor([2e30, 1e30]))
        (tensor([2., 1.]), tensor([1.0000, 0.5000]))
    """
    if not x.numel():
        return x
    largest = x.detach().abs().amax()
    unusual = (largest > 0) & ((largest < low) | (largest > high))
    return x / torch.where(unusual, largest, 1)  # dividing by 1 changes no bit; a branch would wait for a GPU


def unit_rows(x: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
    """Rows divided by their lengths, whatever these are; zeros stay.

    ``torch.nn.functional.normalize`` divides by at least 1e-12, and by infinity where squares overflow.

    Examples:
        >>> import torch
        >>> unit_rows(torch.tensor([[3.0, 4.0], [3e-20, 4e-20], [3e30, 4e30]]))
        tensor([[0.6000, 0.8000],
                [0.6000, 0.8000],
                [0.6000, 0.8000]])
    """
    if not x.numel():
        return x
    size = x.detach().abs().amax(dim=1, keepdim=True)
    unusual = (size > 0) & ((size <= 1e-9) | (size >= 1e15))
    return normalize(x / torch.where(unusual, size, 1), dim=1)


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
            teacher: output of the teacher.
            label: (n,) class of each voxel.
            segmentation: the loss of the labels.
        """
        tap = teacher.taps[self.options.stage]
        return {"feat": tap.feat.detach(), "grid": tap.grid_coord, "offsets": tap.offsets}

    def rows(self, step: Step) -> tuple[VoxelRows, Float[Tensor, "n c_t"]]:
        """The student's tap, and the teacher's features in the order of its rows."""
        own = step.student.taps[self.options.stage]
        given = step.digest or self.digest(step.teacher_output, step.label, step.segmentation)
        return own, given["feat"][match_rows(StageRows(given["grid"], given["offsets"]), own)]

    def forward(self, step: Step) -> Float[Tensor, ""]:
        """The loss of the stage."""
        own, other = self.rows(step)
        return self.loss(own.feat, other, own.offsets)

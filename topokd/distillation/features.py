"""What the terms on features share: rows of one encoder stage, matched between the networks."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from topokd.checks import require_finite
from topokd.clouds import Features, Offsets, matched_rows
from topokd.distillation.dtype import at_least_float32
from topokd.distillation.matching import match_rows
from topokd.distillation.term import Step, Term, TermOptions
from topokd.schema import Natural


def matched_features(
    student: Features, teacher: Features, offsets: Offsets = None
) -> tuple[Float[Tensor, "n c_s"], Float[Tensor, "n c_t"], list[int]]:
    """Rows of both networks in float32 at least, the teacher's without a graph, and where clouds end.

    Args:
        student: Features in any layout of `topokd.clouds.as_rows`.
        teacher: Features of the same points; widths may differ.
        offsets: Where clouds end, if the layout does not say it.

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
    """A loss of two networks' features at one encoder stage; a subclass says which in `build`."""

    Options = StageOptions

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.loss = self.build()

    def build(self) -> nn.Module:
        """The loss, called with features of student and teacher and with offsets."""
        raise NotImplementedError(f"{type(self).__name__} must define build()")

    def forward(self, step: Step) -> Float[Tensor, ""]:
        """The loss of the stage, the teacher's rows in the student's order."""
        own, other = step.student.taps[self.options.stage], step.teacher.taps[self.options.stage]
        return self.loss(own.feat, other.feat.detach()[match_rows(other, own)], own.offsets)

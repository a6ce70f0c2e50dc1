"""The term ``fitnet``: the student's features, mapped linearly, are the teacher's (Romero et al., ICLR 2015)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from topokd.clouds import Features, Offsets
from topokd.distillation.features import StageOptions, StageTerm, matched_features
from topokd.distillation.projector import Projector
from topokd.distillation.term import TERMS, Step


class HintLoss(nn.Module):
    """L = 1 / (n c_t) sum_i || F^T_i - r(F^S_i) ||^2 over n rows, r a learned linear map (FitNets, Eq. 3).

    FitNets has half the sum over channels and trains the hint before the network; here it is a term like any other,
    and the mean over channels makes its weight independent of the width. See `Projector` for the optimizer.

    Examples:
        >>> import torch
        >>> HintLoss()(torch.ones(2, 3), torch.tensor([[1.0, 1.0, 1.0, 2.0]]).expand(2, 4)).item()
        1.0
    """

    def __init__(self) -> None:
        super().__init__()
        self.projector = Projector()

    def forward(self, student: Features, teacher: Features, offsets: Offsets = None) -> Float[Tensor, ""]:
        """The mean squared difference.

        Args:
            student: (n, c_s) features, or another layout of `topokd.clouds.as_rows`.
            teacher: (n, c_t) features of the same points.
            offsets: checked, and otherwise without effect: all points have equal weight.

        Raises:
            DataError: when layouts do not match, or features are not finite.
        """
        own, other, _ = matched_features(student, teacher, offsets)
        if not len(own):
            return own.sum()
        return (other - self.projector(own, other.shape[1])).square().mean()


class HintOptions(StageOptions):
    """Features of one stage through a learned linear map (FitNets: Romero et al., 2015)."""


class HintTerm(StageTerm):
    """`HintLoss` at one encoder stage."""

    Options = HintOptions

    def build(self) -> nn.Module:
        """The loss with its projector."""
        return HintLoss()

    def forward(self, step: Step) -> Float[Tensor, ""]:
        """The loss of the stage."""
        return step.weigh(super().forward(step), len(step.student.taps[self.options.stage].feat))


TERMS["fitnet"] = HintTerm

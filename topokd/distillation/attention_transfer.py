"""The term ``at``: where each network's activations are large (Zagoruyko and Komodakis, ICLR 2017)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import normalize

from topokd.clouds import Clouds, Features, Offsets
from topokd.distillation.features import matched_features
from topokd.distillation.matching import match_rows
from topokd.distillation.term import TERMS, Step, Term, TermOptions
from topokd.schema import Natural


class AttentionTransferLoss(nn.Module):
    """L = 1/B sum over clouds || Q_T / |Q_T|_2 - Q_S / |Q_S|_2 ||_2^2, Q_i = sum_k F_ik^2 for each row i (Eq. 2).

    The paper writes the distance, its code the square, which has a gradient at 0; the code's mean over positions is a
    sum here, so that the weight does not depend on the size of a cloud. Widths may differ.

    Examples:
        >>> round(AttentionTransferLoss()(torch.eye(2), torch.tensor([[1.0], [0.0]])).item(), 4)  # 2 - sqrt 2
        0.5858
    """

    def forward(self, student: Features, teacher: Features, offsets: Offsets = None) -> Float[Tensor, ""]:
        """The mean over clouds.

        Args:
            student: (n, c_s) features, or another layout of `topokd.clouds.as_rows`.
            teacher: (n, c_t) features of the same points.
            offsets: Where clouds end, if the layout does not say it.

        Raises:
            DataError: When layouts do not match, or features are not finite.
        """
        own, other, ends = matched_features(student, teacher, offsets)
        own, other = own.square().sum(dim=1), other.square().sum(dim=1)  # (n,)
        losses = [
            (normalize(theirs, dim=0) - normalize(mine, dim=0)).square().sum()
            for mine, theirs in zip(Clouds(own, ends).split(), Clouds(other, ends).split(), strict=True)
        ]
        return torch.stack(losses).mean() if losses else own.sum()


class AttentionTransferOptions(TermOptions):
    """Attention maps, sums of squared activations (AT: Zagoruyko and Komodakis, 2017)."""

    stages: tuple[Natural, ...] = Field(
        (0, 1, 2, 3, 4), min_length=1, description="encoder stages compared; their losses are added"
    )


class AttentionTransferTerm(Term):
    """`AttentionTransferLoss`, added over encoder stages."""

    Options = AttentionTransferOptions

    def __init__(self, **given: object) -> None:
        super().__init__(**given)
        self.loss = AttentionTransferLoss()

    def forward(self, step: Step) -> Float[Tensor, ""]:
        """The sum over stages, the teacher's rows in the student's order."""
        losses = []
        for stage in self.options.stages:
            own, other = step.student.taps[stage], step.teacher.taps[stage]
            losses.append(self.loss(own.feat, other.feat.detach()[match_rows(other, own)], own.offsets))
        return torch.stack(losses).sum()


TERMS["at"] = AttentionTransferTerm

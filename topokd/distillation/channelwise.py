"""The term ``cwd``: where each channel looks within a cloud (Shu et al., ICCV 2021)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from topokd.clouds import Clouds, Features, Offsets
from topokd.distillation.features import StageOptions, StageTerm, matched_features
from topokd.distillation.logits import require_temperature
from topokd.distillation.projector import Projector
from topokd.distillation.term import TERMS
from topokd.schema import Temperature


class ChannelLoss(nn.Module):
    """L = T^2 / C sum_k KL( phi(F^T_k) || phi(F^S_k) ), phi(F_k)_i = exp(F_ik / T) / sum_j exp(F_jk / T)  (Eq. 3-5).

    phi is a softmax over the points j of one cloud, for each channel k; the loss is the mean over clouds. A learned
    linear map brings the student to C, the teacher's channels (see `Projector` for the optimizer).

    Args:
        temperature: T; the paper has 4.

    Raises:
        ParameterError: for a temperature that is not above 0.

    Examples:
        >>> loss = ChannelLoss(temperature=1.0)(torch.zeros(2, 1), torch.tensor([[0.0], [2.0]]))
        >>> round(loss.item(), 4)  # log 2 less the entropy of (0.1192, 0.8808)
        0.3278
    """

    def __init__(self, temperature: float = 4.0) -> None:
        super().__init__()
        self.temperature = require_temperature(temperature)
        self.projector = Projector()

    def forward(self, student: Features, teacher: Features, offsets: Offsets = None) -> Float[Tensor, ""]:
        """The mean over clouds.

        Args:
            student: (n, c_s) features, or another layout of `topokd.clouds.as_rows`.
            teacher: (n, c_t) features of the same points.
            offsets: where clouds end, if the layout does not say so.

        Raises:
            DataError: when layouts do not match, or features are not finite.
        """
        own, other, ends = matched_features(student, teacher, offsets)
        own = self.projector(own, other.shape[1])
        losses = []
        for mine, theirs in zip(Clouds(own, ends).split(), Clouds(other, ends).split(), strict=True):
            log_s, log_t = ((rows / self.temperature).log_softmax(dim=0) for rows in (mine, theirs))
            losses.append((log_t.exp() * (log_t - log_s)).sum(dim=0).mean())
        return self.temperature**2 * torch.stack(losses).mean() if losses else own.sum()


class ChannelOptions(StageOptions):
    """Distributions of each channel over a cloud (CWD: Shu et al., 2021)."""

    temperature: Temperature = Field(4.0, description="T; the loss is scaled by T^2")


class ChannelTerm(StageTerm):
    """`ChannelLoss` at one encoder stage."""

    Options = ChannelOptions

    def build(self) -> nn.Module:
        """The loss with its projector."""
        return ChannelLoss(self.options.temperature)


TERMS["cwd"] = ChannelTerm

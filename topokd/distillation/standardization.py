"""The term ``kd_std``: class probabilities of standardised logits (Sun et al., CVPR 2024)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from topokd.clouds import Features, Offsets, at_least_float32
from topokd.distillation.logits import LogitsTerm, matched_logits, require_temperature
from topokd.distillation.term import TERMS, Step, TermOptions
from topokd.options import number
from topokd.schema import Temperature


class StandardizedLogitLoss(nn.Module):
    """L = T^2 / n sum_i KL( softmax(Z(z^T_i) / T) || softmax(Z(z^S_i) / T) ), Z(z) = (z - mean z) / (std z + eps).

    Mean and standard deviation are those of one row, so the student need not copy the range of the teacher's logits,
    only their order and proportions (Sun et al., "Logit Standardization in Knowledge Distillation", Alg. 1).

    Args:
        temperature: T, the base temperature; the paper has 2.
        eps: stabiliser of the division.

    Raises:
        ParameterError: for a temperature that is not above 0.

    Examples:
        >>> import torch
        >>> logits = torch.tensor([[1.0, 2.0, 4.0]])
        >>> StandardizedLogitLoss()(logits, 10 * logits - 3).item() < 1e-6  # scale and shift do not matter
        True
    """

    def __init__(self, temperature: float = 2.0, eps: float = 1e-7) -> None:
        super().__init__()
        self.temperature, self.eps = require_temperature(temperature), number(eps, "eps")

    def forward(self, student: Features, teacher: Features, offsets: Offsets = None) -> Float[Tensor, ""]:
        """The mean over all rows.

        Args:
            student: (n, c) logits, or another layout of `topokd.clouds.as_rows`.
            teacher: logits of the same points.
            offsets: checked, and otherwise without effect.

        Raises:
            DataError: when the shapes differ, or logits are not finite or have fewer than two channels.
        """
        student, teacher, _ = matched_logits(student, teacher, offsets)
        if not len(student):
            return student.sum()
        log_s, log_t = ((self.standardize(z) / self.temperature).log_softmax(dim=1) for z in (student, teacher))
        return self.temperature**2 * (log_t.exp() * (log_t - log_s)).sum(dim=1).mean()

    def standardize(self, logits: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
        """Z of each row; rows without spread become 0, with a gradient of 0."""
        centred = at_least_float32(logits)
        size = centred.detach().abs().amax(dim=1, keepdim=True)
        centred = centred / torch.where(size > 1e15, size, 1)  # squares would overflow
        centred = centred - centred.mean(dim=1, keepdim=True)
        variance = centred.square().mean(dim=1, keepdim=True)
        spread = variance.where(variance > 0, 1.0).sqrt() * (variance > 0)
        return centred / (spread + self.eps)


class StandardizedLogitOptions(TermOptions):
    """Distillation of standardised logits (Sun et al., 2024)."""

    temperature: Temperature = Field(2.0, description="T; the loss is scaled by T^2")


class StandardizedLogitTerm(LogitsTerm):
    """`StandardizedLogitLoss` on all voxels of the batch."""

    Options = StandardizedLogitOptions

    def __init__(self, **given: object) -> None:
        super().__init__(**given)
        self.loss = StandardizedLogitLoss(self.options.temperature)

    def forward(self, step: Step) -> Float[Tensor, ""]:
        """The loss of the two networks' logits."""
        loss = self.loss(step.student.logits, self.teacher_logits(step))
        return step.weigh(loss, len(step.student.logits))


TERMS["kd_std"] = StandardizedLogitTerm

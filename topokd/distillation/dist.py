"""The term ``dist``: correlations of class probabilities (Huang et al., NeurIPS 2022)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from topokd.clouds import Clouds, Features, Offsets, at_least_float32
from topokd.distillation.logits import LogitsTerm, matched_logits, require_temperature
from topokd.distillation.term import TERMS, Step, TermOptions
from topokd.options import weight
from topokd.schema import Temperature, Weight


class CorrelationLoss(nn.Module):
    """L = T^2 [ beta 1/n sum_i (1 - r(p^S_i, p^T_i)) + gamma 1/C sum_k (1 - r(p^S_.k, p^T_.k)) ]  (Eq. 7-10).

    p = softmax(z / T), r Pearson's correlation: between the classes of one row (first sum), and between the rows of one
    class (second sum). The paper's rows are the images of a batch; here the second sum is taken within each cloud, and
    its mean over clouds.

    Args:
        temperature: T; the paper has 1 on ImageNet and 4 on CIFAR-100.
        beta: weight of the correlation between classes.
        gamma: weight of the correlation between rows.

    Raises:
        ParameterError: for a temperature that is not above 0.

    Examples:
        >>> logits = torch.tensor([[0.0, 1.0], [2.0, 0.0], [1.0, 1.5]])
        >>> round(CorrelationLoss()(logits, logits).item(), 4)
        0.0
    """

    def __init__(self, temperature: float = 1.0, beta: float = 1.0, gamma: float = 1.0) -> None:
        super().__init__()
        self.temperature = require_temperature(temperature)
        self.beta, self.gamma = weight(beta, "beta"), weight(gamma, "gamma")

    def forward(self, student: Features, teacher: Features, offsets: Offsets = None) -> Float[Tensor, ""]:
        """The loss of one batch.

        Args:
            student: (n, c) logits, or another layout of `topokd.clouds.as_rows`.
            teacher: logits of the same points.
            offsets: where clouds end, if the layout does not say so.

        Raises:
            DataError: when the shapes differ, or logits are not finite or have fewer than two channels.
        """
        student, teacher, ends = matched_logits(student, teacher, offsets)
        if not len(student):
            return student.sum()
        p_s, p_t = ((at_least_float32(z) / self.temperature).softmax(dim=1) for z in (student, teacher))
        between_classes = (1 - correlation(p_s, p_t, dim=1)).mean()
        clouds = zip(Clouds(p_s, ends).split(), Clouds(p_t, ends).split(), strict=True)
        between_rows = torch.stack([(1 - correlation(s, t, dim=0)).mean() for s, t in clouds]).mean()
        return self.temperature**2 * (self.beta * between_classes + self.gamma * between_rows)


def correlation(a: Float[Tensor, "n c"], b: Float[Tensor, "n c"], dim: int, eps: float = 1e-8) -> Float[Tensor, " _"]:
    """Pearson's correlation along ``dim``; 0 where one side does not vary.

    Args:
        a: (n, c).
        b: (n, c).
        dim: axis that is summed over.
        eps: lower bound of the norms.

    Examples:
        >>> correlation(torch.tensor([[1.0, 2.0, 4.0]]), torch.tensor([[2.0, 4.0, 8.0]]), dim=1).round(decimals=4)
        tensor([1.])
    """
    return nn.functional.cosine_similarity(
        a - a.mean(dim=dim, keepdim=True), b - b.mean(dim=dim, keepdim=True), dim=dim, eps=eps
    )


class CorrelationOptions(TermOptions):
    """Correlations of class probabilities (DIST: Huang et al., 2022)."""

    temperature: Temperature = Field(1.0, description="T; the loss is scaled by T^2")
    beta: Weight = Field(1.0, description="weight of the correlation between the classes of a voxel")
    gamma: Weight = Field(1.0, description="weight of the correlation between the voxels of a cloud, by class")


class CorrelationTerm(LogitsTerm):
    """`CorrelationLoss` on all voxels of the batch."""

    Options = CorrelationOptions

    def __init__(self, **given: object) -> None:
        super().__init__(**given)
        self.loss = CorrelationLoss(**self.options.model_dump(exclude={"weight"}))

    def forward(self, step: Step) -> Float[Tensor, ""]:
        """The loss of the two networks' logits; where they do not say where clouds end, the finest tap does."""
        offsets, taps = step.student.offsets, step.student.taps
        if offsets is None and taps and len(taps[0].feat) == len(step.student.logits):
            offsets = taps[0].offsets
        return self.loss(step.student.logits, self.teacher_logits(step), offsets)


TERMS["dist"] = CorrelationTerm

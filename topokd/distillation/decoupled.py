"""The term ``dkd``: the true class and the others, each with its own weight (Zhao et al., CVPR 2022)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from topokd.clouds import Features, Offsets, as_labels, at_least_float32
from topokd.data import IGNORE
from topokd.distillation.logits import LogitsTerm, matched_logits, require_temperature
from topokd.distillation.term import TERMS, Step, TermOptions
from topokd.options import weight
from topokd.schema import Temperature, Weight


class DecoupledLoss(nn.Module):
    """L = T^2 / n sum_i [ alpha KL(b^T_i || b^S_i) + beta KL(q^T_i || q^S_i) ], the mean over rows with a label y_i.

    With p = softmax(z / T): b = (p_y, 1 - p_y), the true class against all others; q = softmax over the classes but y.
    Hinton's loss is alpha = 1 with beta = 1 - p^T_y, which silences the second part where the teacher is sure (Eq. 7).

    Args:
        temperature: T; the paper has 4 on CIFAR-100 and 1 on ImageNet.
        alpha: weight of the true class; the paper has 1.
        beta: weight of the other classes; the paper has 0.5 to 8, by teacher.

    Raises:
        ParameterError: for a temperature that is not above 0.

    Examples:
        >>> student, teacher = torch.zeros(1, 3), torch.tensor([[0.0, 2.0, 0.0]])
        >>> loss = DecoupledLoss(temperature=1.0, beta=5.0)(student, teacher, torch.tensor([1]))
        >>> round(loss.item(), 4)  # the other two classes are equal in both
        0.433
    """

    def __init__(self, temperature: float = 4.0, alpha: float = 1.0, beta: float = 8.0) -> None:
        super().__init__()
        self.temperature = require_temperature(temperature)
        self.alpha, self.beta = weight(alpha, "alpha"), weight(beta, "beta")

    def forward(
        self, student: Features, teacher: Features, label: Features, offsets: Offsets = None
    ) -> Float[Tensor, ""]:
        """The mean over rows with a label; 0 if there are none.

        Args:
            student: (n, c) logits, or another layout of `topokd.clouds.as_rows`.
            teacher: logits of the same points.
            label: (n,) classes, -1 for none; or in the layout of the logits.
            offsets: checked, and otherwise without effect.

        Raises:
            DataError: when shapes differ, or logits are not finite.
        """
        student, teacher, ends = matched_logits(student, teacher, offsets)
        label = as_labels(label, ends, student.shape[1])
        known = label != IGNORE
        label = label[known, None]  # (m, 1)
        if not len(label):
            return at_least_float32(student).sum() * 0
        others = torch.ones_like(student[known], dtype=torch.bool).scatter_(1, label, False)
        parts = []
        for logits in (student, teacher):
            z = at_least_float32(logits[known]) / self.temperature
            rest = z[others].reshape(len(z), -1)  # (m, c - 1)
            margin = z.gather(1, label) - rest.logsumexp(dim=1, keepdim=True)  # log p_y / (1 - p_y)
            parts.append((torch.cat([logsigmoid(margin), logsigmoid(-margin)], dim=1), rest.log_softmax(dim=1)))
        (b_s, q_s), (b_t, q_t) = parts
        target, non_target = ((t.exp() * (t - s)).sum(dim=1).mean() for s, t in ((b_s, b_t), (q_s, q_t)))
        return self.temperature**2 * (self.alpha * target + self.beta * non_target)


class DecoupledOptions(TermOptions):
    """True class and other classes decoupled (DKD: Zhao et al., 2022)."""

    temperature: Temperature = Field(4.0, description="T; the loss is scaled by T^2")
    alpha: Weight = Field(1.0, description="weight of the true class against all others")
    beta: Weight = Field(8.0, description="weight of the distribution over the other classes")


class DecoupledTerm(LogitsTerm):
    """`DecoupledLoss` on the voxels that have a label."""

    Options = DecoupledOptions

    def __init__(self, **given: object) -> None:
        super().__init__(**given)
        self.loss = DecoupledLoss(**self.options.model_dump(exclude={"weight"}))

    def forward(self, step: Step) -> Float[Tensor, ""]:
        """The loss of the two networks' logits."""
        loss = self.loss(step.student.logits, self.teacher_logits(step), step.label)
        return step.weigh(loss, (step.label != IGNORE).sum())


TERMS["dkd"] = DecoupledTerm

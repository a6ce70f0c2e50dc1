"""The term ``label_smoothing``, a control without a teacher (Szegedy et al., CVPR 2016)."""

from __future__ import annotations

import math

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from topokd.checks import STUDENT_ADVICE, require_finite
from topokd.clouds import Features, as_labels, at_least_float32
from topokd.data import IGNORE
from topokd.distillation.segmentation import class_rows
from topokd.distillation.term import TERMS, Step, Term, TermOptions
from topokd.schema import TermWeight


class LabelSmoothingLoss(nn.Module):
    """L = 1/n sum_i KL( u || softmax z_i ), u = 1/C for each of C classes, the mean over the rows with a label.

    Cross-entropy with labels smoothed by epsilon, (1 - epsilon) y + epsilon u, is, up to a constant,
    (1 - epsilon) [ CE + lambda L ] with lambda = epsilon / (1 - epsilon): 0.111 for the usual 0.1.

    Examples:
        >>> import torch
        >>> LabelSmoothingLoss()(torch.zeros(2, 4), torch.tensor([0, -1])).item()
        0.0
    """

    def forward(self, logits: Features, label: Features) -> Float[Tensor, ""]:
        """The mean over rows with a label; 0 if there are none.

        Args:
            logits: (n, c), or another layout of `topokd.clouds.as_rows`.
            label: (n,) classes, -1 for none; or in the layout of the logits.

        Raises:
            DataError: when there is not one label per row, or logits are not finite or have fewer than two channels.
        """
        rows, ends = class_rows(logits, "student's logits")
        require_finite(rows, "the student's logits", STUDENT_ADVICE)
        known = as_labels(label, ends, rows.shape[1]) != IGNORE
        log_p = at_least_float32(rows[known]).log_softmax(dim=1)
        return (-log_p.mean(dim=1) - math.log(rows.shape[1])).sum() / max(len(log_p), 1)


class LabelSmoothingOptions(TermOptions):
    """Labels smoothed towards the uniform distribution, without a teacher (Szegedy et al., 2016)."""

    weight: TermWeight = Field(0.111, description="epsilon / (1 - epsilon), epsilon the share taken from the label")


class LabelSmoothingTerm(Term):
    """`LabelSmoothingLoss` on the voxels that have a label."""

    Options = LabelSmoothingOptions
    needs_teacher = False

    def __init__(self, **given: object) -> None:
        super().__init__(**given)
        self.loss = LabelSmoothingLoss()

    def forward(self, step: Step) -> Float[Tensor, ""]:
        """The loss of the student's logits."""
        loss = self.loss(step.student.logits, step.label)
        return step.weigh(loss, (step.label != IGNORE).sum())


TERMS["label_smoothing"] = LabelSmoothingTerm

"""L_seg: cross-entropy against the ground truth, with the Lovasz-Softmax term of PTv3 recipes as an option."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from topokd.checks import STUDENT_ADVICE, require_finite
from topokd.clouds import Clouds, Features, as_labels, as_rows, at_least_float32
from topokd.data import IGNORE
from topokd.errors import DataError
from topokd.options import weight


class SegmentationLoss(nn.Module):
    """L_seg = -(1/n) sum_i log softmax(z_i)[y_i] + lovasz * L_lovasz over the n voxels that have a label.

    A batch without any label gives 0, not NaN.

    Args:
        lovasz: weight of `lovasz_softmax`; 0 in the paper (NOTES row 14).

    Examples:
        >>> loss = SegmentationLoss()(torch.zeros(3, 4), torch.tensor([0, 2, -1]))
        >>> round(loss.item(), 4)  # log 4: the row without a label does not count
        1.3863
    """

    def __init__(self, lovasz: float = 0.0) -> None:
        super().__init__()
        self.lovasz = weight(lovasz, "lovasz")

    def forward(self, logits: Features, label: Features) -> Float[Tensor, ""]:
        """The loss of one batch.

        Args:
            logits: (n, c), one row per voxel; or (b, n, c), (b, c, h, w), a list: see `topokd.clouds.as_rows`.
            label: (n,) classes 0..c-1, or -1 for none; or (b, n), (b, h, w), a list.

        Raises:
            DataError: when logits are not finite or have fewer than two channels, or there is not one label per row.
        """
        logits, ends = class_rows(logits)
        label = as_labels(label, ends, logits.shape[1])
        require_finite(logits, "logits", STUDENT_ADVICE)
        logits = at_least_float32(logits)
        labelled = (label != IGNORE).sum().clamp(min=1)
        loss = functional.cross_entropy(logits, label, ignore_index=IGNORE, reduction="sum") / labelled
        return loss + self.lovasz * lovasz_softmax(logits, label) if self.lovasz else loss


def lovasz_softmax(logits: Float[Tensor, "n c"], label: Int64[Tensor, " n"]) -> Float[Tensor, ""]:
    """Convex surrogate of 1 - IoU, averaged over the classes present (Berman et al., 2018).

    For class k with errors m_i = |[y_i = k] - p_ik| in descending order: sum_i m_i (J_i - J_{i-1}), where J_i is the
    Jaccard loss of the mistakes 1..i.

    Args:
        logits: (n, c), one row per voxel.
        label: (n,) classes 0..c-1, or -1 for none.

    Returns:
        A scalar; 0 if no voxel has a label.

    Raises:
        DataError: ``logits`` are not finite or have fewer than two channels, or there is not one label per row.

    Examples:
        >>> lovasz_softmax(torch.tensor([[50.0, 0.0], [0.0, 50.0]]), torch.tensor([0, 1])).item() < 1e-6
        True
    """
    logits, ends = class_rows(logits)
    label = as_labels(label, ends, logits.shape[1])
    require_finite(logits, "logits", STUDENT_ADVICE)
    probability = at_least_float32(logits)[label != IGNORE].softmax(1)
    label = label[label != IGNORE]
    losses = []
    for k in label.unique().tolist():
        truth = (label == k).to(probability.dtype)
        error, order = (truth - probability[:, k]).abs().sort(descending=True, stable=True)
        truth = truth[order]
        intersection = truth.sum() - truth.cumsum(0)
        union = truth.sum() + (1 - truth).cumsum(0)
        jaccard = 1 - intersection / union
        step = torch.diff(jaccard, prepend=jaccard.new_zeros(1))
        losses.append(torch.dot(error, step))  # autocast would round the operands of `@`
    return torch.stack(losses).mean() if losses else logits.sum() * 0


def class_rows(logits: Features, name: str = "logits") -> Clouds:
    """Logits as rows, `topokd.clouds.as_rows`, of two classes or more.

    Args:
        logits: (n, c), or another layout.
        name: their name in error messages.

    Raises:
        DataError: the layout cannot be read, or there are fewer than two channels.
    """
    rows = as_rows(logits, name=name)
    require_classes(rows.rows.shape[1], logits)
    return rows


def require_classes(width: int, logits: Features) -> None:
    """Check that there are two classes or more: the softmax of one is 1, whatever its logit.

    Args:
        width: channels of the logits.
        logits: as they were given, for the advice.

    Raises:
        DataError: there are fewer than two channels.

    Examples:
        >>> require_classes(1, torch.zeros(5, 1))
        Traceback (most recent call last):
        topokd.errors.DataError: logits have 1 channel: for a binary output pass two, ...
    """
    if width == 1:
        axis = 2 if isinstance(logits, Tensor) and logits.dim() == 3 else 1
        raise DataError(
            f"logits have 1 channel: for a binary output pass two, torch.cat([torch.zeros_like(z), z], dim={axis})"
        )
    if width == 0:
        raise DataError("logits have no channels: pass one per class, two or more")

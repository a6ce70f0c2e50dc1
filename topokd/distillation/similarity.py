"""The term ``sp``: similarity of the activations of the points of a cloud (Tung and Mori, ICCV 2019)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import normalize

from topokd.clouds import Features, Offsets, thin
from topokd.distillation.features import StageOptions, StageTerm, matched_features, of_usual_size
from topokd.distillation.term import TERMS
from topokd.options import whole
from topokd.precision import product
from topokd.schema import Count


class SimilarityLoss(nn.Module):
    """L = 1/b^2 || G_T - G_S ||_F^2, G the Gram matrix F F^T of b rows with each row divided by its length (Eq. 1-4).

    The paper's b rows are the images of a batch; here they are points of one cloud, evenly spaced rows if there are
    more than ``num_points``, and the loss is the mean over clouds. Widths may differ.

    Args:
        num_points: largest b.

    Examples:
        >>> SimilarityLoss()(torch.eye(2), torch.tensor([[1.0], [0.0]])).item()
        0.25
    """

    def __init__(self, num_points: int = 256) -> None:
        super().__init__()
        self.num_points = whole(num_points, "num_points")

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
        losses = []
        for index in thin(ends, self.num_points):
            mine, theirs = (of_usual_size(x[index.to(own.device)]) for x in (own, other))
            gram_t, gram_s = (normalize(product(x, x.T), dim=1) for x in (theirs, mine))
            losses.append((gram_t - gram_s).square().mean())
        return torch.stack(losses).mean() if losses else own.sum()


class SimilarityOptions(StageOptions):
    """Similarities between the points of a cloud (SP: Tung and Mori, 2019)."""

    num_points: Count = Field(256, description="points compared per cloud, evenly spaced along the voxels' curve")


class SimilarityTerm(StageTerm):
    """`SimilarityLoss` at one encoder stage."""

    Options = SimilarityOptions

    def build(self) -> nn.Module:
        """The loss."""
        return SimilarityLoss(self.options.num_points)


TERMS["sp"] = SimilarityTerm

"""The term ``rkd``: distances and angles between the points' features (Park et al., CVPR 2019)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import normalize, smooth_l1_loss

from topokd.clouds import Features, Offsets, thin
from topokd.distillation.features import StageOptions, StageTerm, matched_features, of_usual_size
from topokd.distillation.term import TERMS
from topokd.options import weight, whole
from topokd.precision import product
from topokd.schema import Count, Weight


class RelationLoss(nn.Module):
    """L = lambda_D mean_ij h(d^T_ij - d^S_ij) + lambda_A mean_ijk h(a^T_ijk - a^S_ijk), h Huber's loss (Eq. 4-8).

    d_ij = ||F_i - F_j|| / mean of these lengths over all pairs; a_ijk = cos of the angle at F_j between F_i and F_k.
    The paper's rows are the images of a batch; here they are points of one cloud, evenly spaced rows if there are more
    than ``num_points``, and the loss is the mean over clouds. Widths may differ.

    Args:
        distance: lambda_D; the paper has 25, or a ratio of 1 to 2 to lambda_A.
        angle: lambda_A.
        num_points: rows per cloud; the angles take their third power.

    Examples:
        >>> cloud = torch.tensor([[0.0], [1.0], [3.0]])
        >>> RelationLoss()(2 * cloud + 1, cloud).item()  # scale and place do not matter
        0.0
    """

    def __init__(self, distance: float = 1.0, angle: float = 2.0, num_points: int = 64) -> None:
        super().__init__()
        self.distance, self.angle = weight(distance, "distance"), weight(angle, "angle")
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
        total, clouds = own.sum() * 0, 0
        for index in thin(ends, self.num_points):
            clouds += 1
            if len(index) < 2:  # one point has no relations
                continue
            mine, theirs = (of_usual_size(x[index.to(own.device)]) for x in (own, other))
            total = total + self.distance * smooth_l1_loss(_distances(mine), _distances(theirs))
            total = total + self.angle * smooth_l1_loss(_angles(mine), _angles(theirs))
        return total / max(clouds, 1)


def _distances(rows: Float[Tensor, "m c"]) -> Float[Tensor, " pairs"]:
    """Distances of all pairs, divided by their mean; 0 for rows that are all equal."""
    length = torch.pdist(rows)
    mean = length.mean()
    return length / torch.where(mean > 0, mean, torch.ones_like(mean))


def _angles(rows: Float[Tensor, "m c"]) -> Float[Tensor, "m m m"]:
    """cos of the angle at row j (first axis) between the rows i and k; 0 where two of them are equal."""
    direction = normalize(rows[None] - rows[:, None], dim=2)  # (j, i, c)
    return product(direction, direction.mT)


class RelationOptions(StageOptions):
    """Distances and angles between the points of a cloud (RKD: Park et al., 2019)."""

    distance: Weight = Field(1.0, description="lambda_D, of distances")
    angle: Weight = Field(2.0, description="lambda_A, of angles")
    num_points: Count = Field(64, description="points compared per cloud, evenly spaced along the voxels' curve")


class RelationTerm(StageTerm):
    """`RelationLoss` at one encoder stage."""

    Options = RelationOptions

    def build(self) -> nn.Module:
        """The loss."""
        return RelationLoss(**self.options.model_dump(include={"distance", "angle", "num_points"}))


TERMS["rkd"] = RelationTerm

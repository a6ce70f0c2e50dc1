"""The term ``affinity``: cosines between the points of a supervoxel (PVKD: Hou et al., CVPR 2022)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor, nn

from topokd.clouds import Features, Offsets, thin
from topokd.distillation.features import StageOptions, StageTerm, matched_features, unit_rows
from topokd.distillation.matching import VoxelRows, cloud_of_row
from topokd.distillation.term import TERMS, Step
from topokd.options import whole
from topokd.precision import product
from topokd.schema import Count


class AffinityLoss(nn.Module):
    """L = 1/K sum_r 1/N_r^2 sum_nm || C_T(r, n, m) - C_S(r, n, m) ||^2, C the cosine of rows n and m of supervoxel r.

    The inter-point affinity of PVKD (Eq. 2-3) over K supervoxels of N_r points. PVKD pads or samples supervoxels to
    one N and draws K of them, more often where rare classes and distant points are; here all count, and of a large one
    ``num_points`` evenly spaced rows. Widths may differ.

    Args:
        num_points: largest N_r.

    Examples:
        >>> round(AffinityLoss()(torch.eye(2), torch.ones(2, 3)).item(), 4)  # cosines 0 and 1 off the diagonal
        0.5
    """

    def __init__(self, num_points: int = 64) -> None:
        super().__init__()
        self.num_points = whole(num_points, "num_points")

    def forward(self, student: Features, teacher: Features, offsets: Offsets = None) -> Float[Tensor, ""]:
        """The mean over supervoxels.

        Args:
            student: (n, c_s) features, or another layout of `topokd.clouds.as_rows`.
            teacher: (n, c_t) features of the same points.
            offsets: where supervoxels end, or clouds, which then are one supervoxel each.

        Raises:
            DataError: when layouts do not match, or features are not finite.
        """
        own, other, ends = matched_features(student, teacher, offsets)
        groups = thin(ends, self.num_points)
        if not groups:
            return own.sum()
        sizes = torch.tensor([len(group) for group in groups], device=own.device)  # (k,)
        index = nn.utils.rnn.pad_sequence(groups, batch_first=True).to(own.device)  # (k, p)
        real = torch.arange(index.shape[1], device=own.device) < sizes[:, None]  # (k, p)
        cosines = []
        for rows in (own, other):
            unit = unit_rows(rows)[index] * real[..., None]  # (k, p, c)
            cosines.append(product(unit, unit.mT))  # (k, p, p)
        return ((cosines[1] - cosines[0]).square().sum(dim=(1, 2)) / sizes**2).mean()


def supervoxels(tap: VoxelRows, size: int) -> tuple[Int64[Tensor, " n"], Int64[Tensor, " k"]]:
    """Group the rows of a stage by supervoxels, cubes of voxels.

    Args:
        tap: rows of one stage, with ``grid_coord`` (n, 3) and ``offsets`` (b,).
        size: voxels along each side of a supervoxel.

    Returns:
        (n,) rows ordered by supervoxel; (k,) cumulative numbers of rows of the supervoxels.

    Examples:
        >>> from types import SimpleNamespace as Rows
        >>> grid = torch.tensor([[0, 0, 0], [4, 0, 0], [1, 1, 1]])
        >>> supervoxels(Rows(feat=grid, grid_coord=grid, offsets=torch.tensor([3])), 4)
        (tensor([0, 2, 1]), tensor([2, 3]))
    """
    cell = torch.div(tap.grid_coord.long(), size, rounding_mode="floor")
    cell = torch.cat([cloud_of_row(tap.offsets)[:, None], cell - cell.amin(dim=0)], dim=1)  # (n, 4)
    key = cell[:, 0]
    for axis, extent in zip(cell[:, 1:].T, (cell[:, 1:].amax(dim=0) + 1).tolist(), strict=True):
        key = key * extent + axis
    key, order = key.sort(stable=True)
    return order, key.unique_consecutive(return_counts=True)[1].cumsum(0)


class AffinityOptions(StageOptions):
    """Cosines between the points of each supervoxel (PVKD: Hou et al., 2022)."""

    size: Count = Field(8, description="voxels of the stage along each side of a supervoxel")
    num_points: Count = Field(64, description="points compared per supervoxel, evenly spaced")


class AffinityTerm(StageTerm):
    """`AffinityLoss` on the supervoxels of one encoder stage."""

    Options = AffinityOptions

    def build(self) -> nn.Module:
        """The loss."""
        return AffinityLoss(self.options.num_points)

    def forward(self, step: Step) -> Float[Tensor, ""]:
        """The loss of the stage, its rows ordered by supervoxel."""
        own, other = self.rows(step)
        order, ends = supervoxels(own, self.options.size)
        return self.loss(own.feat[order], other[order], ends)


TERMS["affinity"] = AffinityTerm

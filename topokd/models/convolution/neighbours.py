"""Finding neighbouring voxels: positions as sorted integers, and one binary search per column of the kernel.

Positions run fastest along z, so the K neighbours of one (dx, dy) column of a K x K x K kernel lie side by side in
sorted order: one binary search finds the first, and the others follow by stepping through the list.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from topokd.data.voxels import voxel_key


class Neighbours(ABC):
    """Which voxels touch within one cubic kernel, in the form that one backend computes with."""

    kernel_size: int

    @property
    @abstractmethod
    def num_pairs(self) -> int:
        """Number of (output, input) pairs of the whole kernel: each costs C_in x C_out multiply-adds."""

    @abstractmethod
    def convolve(
        self, feat: Float[Tensor, "n c_in"], weight: Float[Tensor, "c_out k k k c_in"]
    ) -> Float[Tensor, "n c_out"]:
        """The convolution without its bias.

        Args:
            feat: (n, c_in) features.
            weight: (c_out, k, k, k, c_in) kernel.

        Returns:
            (n, c_out) in the dtype of ``feat``; sums run in float32 at least.
        """


class Positions(NamedTuple):
    """Voxels as integers, ``((cloud * X + x) * Y + y) * Z + z`` for extents (X, Y, Z), sorted."""

    value: Int64[Tensor, " n"]
    row: Int64[Tensor, " n"]  # the voxel's row before sorting
    extent: tuple[int, int, int]


def sort_positions(grid_coord: Int64[Tensor, "n 3"], cloud: Int64[Tensor, " n"], reach: int) -> Positions:
    """Encode voxels as integers and sort them.

    Args:
        grid_coord: voxel indices from 0.
        cloud: the cloud of each voxel, ascending.
        reach: how far the kernel extends to either side; the extents include this margin, so that no column of the
            kernel reaches into another column's voxels or into another cloud.

    Raises:
        OverflowError: if the grid does not fit into 64-bit integers.
    """
    size = (grid_coord.amax(0) + 1 + 2 * reach).tolist()
    if math.prod(size) * (int(cloud[-1]) + 1) >= 2**63:
        raise OverflowError("the voxel grid is too large for 64-bit positions")
    value, row = torch.sort(voxel_key(grid_coord + reach, size, cloud))
    return Positions(value, row, (size[0], size[1], size[2]))


def search_columns(
    positions: Positions, columns: Sequence[tuple[int, int]], reach: int
) -> Iterator[tuple[int, Int64[Tensor, "columns n"], Bool[Tensor, "columns n"]]]:
    """Look up the neighbours of every voxel in the given columns of a kernel.

    Args:
        positions: the voxels.
        columns: (dx, dy) of each column.
        reach: offsets dz run from ``-reach`` to ``reach``.

    Yields:
        For each dz: the dz, the sorted index at which the neighbour of voxel i in each column would be, and whether it
        is there. Both tensors are overwritten by the next step.
    """
    value, (_, y, z) = positions.value, positions.extent
    padded = torch.cat([value, value.new_full((1,), -1)])  # a search may end behind the last voxel
    shift = torch.tensor([(dx * y + dy) * z - reach for dx, dy in columns], device=value.device)
    wanted = value + shift[:, None]  # (columns, n)
    at = torch.searchsorted(value, wanted)
    for dz in range(-reach, reach + 1):
        hit = padded.index_select(0, at.view(-1)).view_as(at) == wanted
        yield dz, at, hit
        at += hit
        wanted += 1


def count_pairs(grid_coord: Int64[Tensor, "n 3"], cloud: Int64[Tensor, " n"], kernel_size: int) -> int:
    """Number of (output, input) pairs of a cubic kernel, each voxel with itself included.

    Args:
        grid_coord: unique voxels of each cloud.
        cloud: the cloud of each voxel, ascending.
        kernel_size: voxels along a side of the kernel, odd.

    Examples:
        >>> line = torch.tensor([[0, 0, 0], [0, 0, 1], [5, 0, 0]])
        >>> count_pairs(line, torch.zeros(3, dtype=torch.int64), 3)
        5
    """
    reach = kernel_size // 2
    steps = range(-reach, reach + 1)
    columns = search_columns(sort_positions(grid_coord, cloud, reach), [(x, y) for x in steps for y in steps], reach)
    return sum(int(hit.sum()) for _, _, hit in columns)

"""Submanifold convolution as one small matrix product per kernel offset, for CPUs.

out[i] = sum over offsets d of feat[j] W[d]   for the voxel j at position(i) + d, where there is one

If j is the neighbour of i at d, then i is the neighbour of j at -d: half of the offsets are searched, and the other
half is the same list read the other way round. Only pairs of voxels that exist are multiplied.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from topokd.models.convolution.neighbours import Neighbours, search_columns, sort_positions

Offset = tuple[int, int, int]


@dataclass(frozen=True)
class NeighbourPairs(Neighbours):
    """Which voxels are neighbours, for the lexicographically positive half of a cubic kernel's offsets.

    ``pairs[d] = (i, j)``: voxel j[m] is at position(i[m]) + d. Offsets without any pair are left out. The offset 0
    (each voxel with itself) and the mirrored half are implied.
    """

    kernel_size: int
    num_voxels: int
    pairs: dict[Offset, tuple[Int64[Tensor, " m"], Int64[Tensor, " m"]]]

    @property
    def num_pairs(self) -> int:
        """Number of (output, input) pairs of the whole kernel: each costs C_in x C_out multiply-adds."""
        return self.num_voxels + 2 * sum(len(i) for i, _ in self.pairs.values())

    def smaller(self, kernel_size: int) -> NeighbourPairs:
        """The pairs of a smaller kernel, which are a part of these."""
        reach = kernel_size // 2
        inside = {d: pair for d, pair in self.pairs.items() if max(map(abs, d)) <= reach}
        return NeighbourPairs(kernel_size, self.num_voxels, inside)

    def convolve(
        self, feat: Float[Tensor, "n c_in"], weight: Float[Tensor, "c_out k k k c_in"]
    ) -> Float[Tensor, "n c_out"]:
        """See `Neighbours.convolve`: ``feat`` times ``weight``, one product per offset of the kernel."""
        return _Convolve.apply(feat, weight.flatten(1, 3), self)


def find_pairs(grid_coord: Int64[Tensor, "n 3"], cloud: Int64[Tensor, " n"], kernel_size: int) -> NeighbourPairs:
    """Find the neighbours of unique voxels; voxels of different clouds are never neighbours.

    Args:
        grid_coord: unique voxels of each cloud, from 0.
        cloud: the cloud of each voxel, ascending.
        kernel_size: voxels along a side of the kernel, odd.

    Examples:
        >>> line = torch.tensor([[0, 0, 0], [0, 0, 1], [5, 0, 0]])
        >>> find_pairs(line, torch.zeros(3, dtype=torch.int64), 3).pairs
        {(0, 0, 1): (tensor([0]), tensor([1]))}
    """
    reach = kernel_size // 2
    positions = sort_positions(grid_coord, cloud, reach)
    row = positions.row
    columns = [(0, dy) for dy in range(1, reach + 1)]
    columns += [(dx, dy) for dx in range(1, reach + 1) for dy in range(-reach, reach + 1)]
    pairs: dict[Offset, tuple[Tensor, Tensor]] = {}
    for dz, at, hit in search_columns(positions, columns, reach):
        column, i = hit.nonzero(as_tuple=True)
        j = at[column, i]
        counts = torch.bincount(column, minlength=len(columns)).tolist()
        parts = zip(row.take(i).split(counts), row.take(j).split(counts), strict=True)
        pairs.update({(dx, dy, dz): part for (dx, dy), part in zip(columns, parts, strict=True)})
    padded = torch.cat([positions.value, positions.value.new_full((1,), -1)])
    at = torch.arange(1, len(row) + 1, device=row.device)
    for dz in range(1, reach + 1):  # the voxel's own column, upwards from it
        hit = padded.take(at) == positions.value + dz
        i = hit.nonzero().squeeze(1)
        pairs[0, 0, dz] = (row.take(i), row.take(at.take(i)))
        at = at + hit
    return NeighbourPairs(kernel_size, len(row), {d: pairs[d] for d in sorted(pairs) if len(pairs[d][0])})


class _Convolve(torch.autograd.Function):
    """``out[i] += feat[j] W[d]`` over all offsets d, for ``kernel`` (c_out, k^3, c_in) with W[d] = kernel[:, d]^T.

    Kernel slices are passed to the matrix products as views, so the weights are not copied.
    """

    @staticmethod
    def forward(ctx: Any, feat: Tensor, kernel: Tensor, neighbours: NeighbourPairs) -> Tensor:
        ctx.save_for_backward(feat, kernel)
        ctx.neighbours = neighbours
        centre = kernel.shape[1] // 2
        return _accumulate(feat, lambda step: kernel[:, centre + step].t(), neighbours)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        feat, kernel = ctx.saved_tensors
        centre = kernel.shape[1] // 2
        grad = grads[0].contiguous()
        grad_feat = grad_kernel = None
        if ctx.needs_input_grad[0]:  # the same pairs the other way round
            grad_feat = _accumulate(grad, lambda step: kernel[:, centre - step], ctx.neighbours)
        if ctx.needs_input_grad[1]:
            grad_kernel = _kernel_gradient(feat, grad, kernel.shape[1], ctx.neighbours)
        return grad_feat, grad_kernel, None


def _accumulate(feat: Tensor, matrix: Callable[[int], Tensor], neighbours: NeighbourPairs) -> Tensor:
    """Sum the products over all offsets; ``matrix(step)`` multiplies inputs at ``step`` from the kernel's centre."""
    dtype = torch.promote_types(feat.dtype, torch.float32)
    out = (feat @ matrix(0)).to(dtype)
    for offset, (i, j) in neighbours.pairs.items():
        step = _step(offset, neighbours.kernel_size)
        out.index_add_(0, i, (feat.index_select(0, j) @ matrix(step)).to(dtype))
        out.index_add_(0, j, (feat.index_select(0, i) @ matrix(-step)).to(dtype))
    return out.to(feat.dtype)


def _kernel_gradient(feat: Tensor, grad: Tensor, steps: int, neighbours: NeighbourPairs) -> Tensor:
    slices = {0: grad.t() @ feat}
    for offset, (i, j) in neighbours.pairs.items():
        step = _step(offset, neighbours.kernel_size)
        slices[step] = grad.index_select(0, i).t() @ feat.index_select(0, j)
        slices[-step] = grad.index_select(0, j).t() @ feat.index_select(0, i)
    empty = torch.zeros_like(slices[0])
    return torch.stack([slices.get(k - steps // 2, empty) for k in range(steps)], dim=1)  # (c_out, k^3, c_in)


def _step(offset: Offset, kernel_size: int) -> int:
    """Index of an offset in the flattened kernel, counted from the kernel's centre."""
    return (offset[0] * kernel_size + offset[1]) * kernel_size + offset[2]

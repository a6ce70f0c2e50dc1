"""Submanifold convolution in pure torch, for CPUs; :mod:`topokd.models.convolution.table` is its twin for GPUs.

out[i] = bias + sum over offsets d of feat[j] W[d]   for the voxel j at position(i) + d, where there is one

A neighbour map is found once per stage and kernel size and shared by all blocks of the stage. Positions are sorted as
integers that run fastest along z, so the K neighbours of one (dx, dy) column lie side by side: one binary search per
column finds them all. If j is i's neighbour at d, then i is j's at -d: half of the offsets are searched, the other half
mirrored. The convolution is then one small matrix product per offset.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from topokd.models.convolution.spconv import SpconvMap
from topokd.models.convolution.table import NeighbourTable, positions_along_z


@dataclass(frozen=True)
class NeighbourMap:
    """Which voxels are neighbours, for the lexicographically positive half of a cubic kernel's offsets.

    ``pairs[d] = (i, j)``: voxel j[m] lies at position(i[m]) + d. Offsets without any pair are left out. The offset 0
    (each voxel with itself) and the mirrored half are implied.
    """

    kernel_size: int
    num_voxels: int
    pairs: dict[tuple[int, int, int], tuple[Int64[Tensor, " m"], Int64[Tensor, " m"]]]

    @property
    def num_pairs(self) -> int:
        """Number of (output, input) pairs of the whole kernel: each costs C_in x C_out multiply-adds."""
        return self.num_voxels + 2 * sum(len(i) for i, _ in self.pairs.values())

    def smaller(self, kernel_size: int) -> NeighbourMap:
        """The map of a smaller kernel, which is a part of this one."""
        reach = kernel_size // 2
        kept = {d: pair for d, pair in self.pairs.items() if max(map(abs, d)) <= reach}
        return NeighbourMap(kernel_size, self.num_voxels, kept)


def find_neighbours(grid_coord: Int64[Tensor, "n 3"], cloud: Int64[Tensor, " n"], kernel_size: int) -> NeighbourMap:
    """Neighbour map of unique voxels; voxels of different clouds are never neighbours.

    >>> line = torch.tensor([[0, 0, 0], [0, 0, 1], [5, 0, 0]])
    >>> find_neighbours(line, torch.zeros(3, dtype=torch.int64), 3).pairs
    {(0, 0, 1): (tensor([0]), tensor([1]))}
    """
    reach = kernel_size // 2
    position, row, size = positions_along_z(grid_coord, cloud, reach)
    padded = torch.cat([position, position.new_full((1,), -1)])  # where a search ends behind the last voxel

    columns = [(0, dy) for dy in range(1, reach + 1)]
    columns += [(dx, dy) for dx in range(1, reach + 1) for dy in range(-reach, reach + 1)]
    shift = torch.tensor([(dx * size[1] + dy) * size[2] - reach for dx, dy in columns], device=position.device)
    wanted = position + shift[:, None]  # (columns, n): where each column's neighbours begin
    at = torch.searchsorted(position, wanted)
    found = {}
    for dz in range(-reach, reach + 1):
        hit = padded.index_select(0, at.view(-1)).view_as(at) == wanted
        column, i = hit.nonzero(as_tuple=True)
        j = at[column, i]
        counts = torch.bincount(column, minlength=len(columns)).tolist()
        parts = zip(row.take(i).split(counts), row.take(j).split(counts), strict=True)
        found.update({(dx, dy, dz): part for (dx, dy), part in zip(columns, parts, strict=True)})
        at += hit
        wanted += 1
    here = torch.arange(len(position), device=position.device)
    at = here + 1
    for dz in range(1, reach + 1):  # the voxel's own column
        hit = padded.take(at) == position + dz
        i = hit.nonzero().squeeze(1)
        found[0, 0, dz] = (row.take(i), row.take(at.take(i)))
        at = at + hit
    return NeighbourMap(kernel_size, len(position), {d: found[d] for d in sorted(found) if len(found[d][0])})


def find_neighbours_reference(
    grid_coord: Int64[Tensor, "n 3"], cloud: Int64[Tensor, " n"], kernel_size: int
) -> set[tuple[tuple[int, int, int], int, int]]:
    """Slow twin of :func:`find_neighbours`: the whole kernel as a set of (offset, output voxel, input voxel)."""
    rows = {(b, *v): i for i, (b, v) in enumerate(zip(cloud.tolist(), grid_coord.tolist(), strict=True))}
    steps = range(-(kernel_size // 2), kernel_size // 2 + 1)
    return {
        ((dx, dy, dz), i, rows[b, x + dx, y + dy, z + dz])
        for (b, x, y, z), i in rows.items()
        for dx in steps
        for dy in steps
        for dz in steps
        if (b, x + dx, y + dy, z + dz) in rows
    }


class _Convolve(torch.autograd.Function):
    """``out[i] += feat[j] W[d]`` over all offsets d, for ``kernel`` (c_out, k^3, c_in) with W[d] = kernel[:, d]^T.

    Kernel slices go to the matrix products as they lie in memory, so no copy of the weights is made.
    """

    @staticmethod
    def forward(ctx: Any, feat: Tensor, kernel: Tensor, neighbours: NeighbourMap) -> Tensor:
        ctx.save_for_backward(feat, kernel)
        ctx.neighbours = neighbours
        centre = kernel.shape[1] // 2
        return _convolve(feat, lambda step: kernel[:, centre + step].t(), neighbours)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        feat, kernel = ctx.saved_tensors
        centre = kernel.shape[1] // 2
        grad = grads[0].contiguous()
        grad_feat = grad_kernel = None
        if ctx.needs_input_grad[0]:  # the same map the other way round
            grad_feat = _convolve(grad, lambda step: kernel[:, centre - step], ctx.neighbours)
        if ctx.needs_input_grad[1]:
            grad_kernel = _kernel_gradient(feat, grad, kernel.shape[1], ctx.neighbours)
        return grad_feat, grad_kernel, None


def _convolve(feat: Tensor, matrix: Callable[[int], Tensor], neighbours: NeighbourMap) -> Tensor:
    """``matrix(step)`` is what an input at ``step`` from the kernel's centre is multiplied with."""
    total = torch.float32 if feat.dtype in (torch.float16, torch.bfloat16) else feat.dtype
    out = (feat @ matrix(0)).to(total)
    for offset, (i, j) in neighbours.pairs.items():
        step = _index(offset, neighbours.kernel_size)
        out.index_add_(0, i, (feat.index_select(0, j) @ matrix(step)).to(total))
        out.index_add_(0, j, (feat.index_select(0, i) @ matrix(-step)).to(total))
    return out.to(feat.dtype)


def _kernel_gradient(feat: Tensor, grad: Tensor, steps: int, neighbours: NeighbourMap) -> Tensor:
    parts = {0: grad.t() @ feat}
    for offset, (i, j) in neighbours.pairs.items():
        step = _index(offset, neighbours.kernel_size)
        parts[step] = grad.index_select(0, i).t() @ feat.index_select(0, j)
        parts[-step] = grad.index_select(0, j).t() @ feat.index_select(0, i)
    empty = torch.zeros_like(parts[0])
    return torch.stack([parts.get(k - steps // 2, empty) for k in range(steps)], dim=1)


def _index(offset: tuple[int, int, int], kernel_size: int) -> int:
    """Place of an offset in the flattened kernel, counted from its centre."""
    return (offset[0] * kernel_size + offset[1]) * kernel_size + offset[2]


def submanifold_convolution(
    feat: Float[Tensor, "n c_in"],
    weight: Float[Tensor, "c_out k k k c_in"],
    bias: Float[Tensor, " c_out"] | None,
    neighbours: NeighbourMap | NeighbourTable | SpconvMap,
) -> Float[Tensor, "n c_out"]:
    """Convolve the features of occupied voxels; kernel axes in the order of grid_coord's columns.

    Cross-correlation: the input voxel is the output voxel + k - K // 2. Sums run in float32 at least. The kind of map
    decides who computes: :meth:`Stage.neighbours` makes a :class:`NeighbourTable` on a GPU, a :class:`SpconvMap` where
    spconv is to.
    """
    if torch.is_autocast_enabled(feat.device.type):
        half = torch.get_autocast_dtype(feat.device.type)
        feat, weight = feat.to(half), weight.to(half)
    if isinstance(neighbours, NeighbourMap):
        out = _Convolve.apply(feat, weight.flatten(1, 3), neighbours)
    else:
        out = neighbours.convolve(feat, weight)
    if bias is None:
        return out
    return out + bias.to(out.dtype) if torch.is_grad_enabled() else out.add_(bias)


class SubmanifoldConv(nn.Module):
    """A submanifold convolution layer: parameters ``weight`` (c_out, k, k, k, c_in) and ``bias`` (c_out,) or none."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, bias: bool = True) -> None:
        super().__init__()
        self.kernel_size, self.backend = kernel_size, "auto"
        self.weight = nn.Parameter(torch.empty(out_channels, *[kernel_size] * 3, in_channels))
        bound = 1 / math.sqrt(in_channels * kernel_size**3)  # torch's rule for dense convolutions
        nn.init.uniform_(self.weight, -bound, bound)
        self.bias = nn.Parameter(torch.empty(out_channels).uniform_(-bound, bound)) if bias else None

    def forward(
        self, feat: Float[Tensor, "n c_in"], neighbours: NeighbourMap | NeighbourTable | SpconvMap
    ) -> Float[Tensor, "n c_out"]:
        """Convolve; ``neighbours`` must be the map of this kernel size."""
        return submanifold_convolution(feat, self.weight, self.bias, neighbours)

"""Submanifold convolution as one gather and one matrix product, for GPUs.

On a CPU the sibling module ``layer`` multiplies only pairs of voxels that touch. On a GPU that is hundreds of small
kernels per layer, and launching them takes longer than multiplying the empty neighbours too: here all k^3 neighbours of
a voxel are gathered (zeros where there is none) and multiplied at once. No two rows add to the same place, so results
are the same from run to run.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int32, Int64
from torch import Tensor

_GATHERED = 2**26  # most gathered values at a time: 128 MiB in half precision
_WIDE = (torch.complex128, torch.int64)  # words of 16 and 8 bytes


def positions_along_z(
    grid_coord: Int64[Tensor, "n 3"], cloud: Int64[Tensor, " n"], reach: int
) -> tuple[Int64[Tensor, " n"], Int64[Tensor, " n"], list[int]]:
    """Voxels as integers that run fastest along z, sorted; the row each was; the extents (x, y, z) they count with.

    The extents hold a margin of ``reach`` on either side, so that no column of a kernel touches another one's voxels.
    """
    size: list[int] = (grid_coord.amax(0) + 1 + 2 * reach).tolist()
    if math.prod(size) * (int(cloud[-1]) + 1) >= 2**63:
        raise OverflowError("the voxel grid is too large for 64-bit positions")
    x, y, z = (grid_coord + reach).unbind(1)
    position, row = torch.sort(((cloud * size[0] + x) * size[1] + y) * size[2] + z)
    return position, row, size


@dataclass(frozen=True)
class NeighbourTable:
    """``table[i, d]`` is the row of the voxel at position(i) + d, or n where there is none.

    The k^3 offsets d are in the order of the flattened kernel.
    """

    kernel_size: int
    table: Int32[Tensor, "n k3"]

    @functools.cached_property
    def num_pairs(self) -> int:
        """Number of (output, input) pairs of the whole kernel: each costs C_in x C_out multiply-adds."""
        return int((self.table < len(self.table)).sum())

    def smaller(self, kernel_size: int) -> NeighbourTable:
        """The table of a smaller kernel, which is a part of this one."""
        rim = (self.kernel_size - kernel_size) // 2
        kept = slice(rim, self.kernel_size - rim)
        cube = self.table.view(-1, *[self.kernel_size] * 3)
        return NeighbourTable(kernel_size, cube[:, kept, kept, kept].flatten(1))

    def convolve(self, feat: Float[Tensor, "n c_in"], weight: Float[Tensor, "c_out k k k c_in"]) -> Tensor:
        """The convolution without its bias, in the dtype of ``feat``; sums run in float32 at least."""
        return _Convolve.apply(feat, weight.flatten(1, 3), self.table)


def find_table(grid_coord: Int64[Tensor, "n 3"], cloud: Int64[Tensor, " n"], kernel_size: int) -> NeighbourTable:
    """Neighbour table of unique voxels; voxels of different clouds are never neighbours.

    >>> line = torch.tensor([[0, 0, 0], [0, 0, 1], [5, 0, 0]])
    >>> find_table(line, torch.zeros(3, dtype=torch.int64), 3).table[:, 12:15].tolist()
    [[3, 0, 1], [0, 1, 3], [3, 2, 3]]
    """
    reach = kernel_size // 2
    position, row, size = positions_along_z(grid_coord, cloud, reach)
    n = len(row)
    padded = torch.cat([position, position.new_full((1,), -1)])  # where a search ends behind the last voxel
    rows = torch.cat([row, row.new_full((1,), n)]).int()
    steps = torch.arange(-reach, reach + 1, device=row.device)
    shift = ((steps[:, None] * size[1] + steps) * size[2]).view(-1, 1) - reach
    wanted = position + shift  # (k^2, n): where each column's neighbours begin
    at = torch.searchsorted(position, wanted)
    table = rows.new_empty(n, kernel_size**2, kernel_size)
    for z in range(kernel_size):
        hit = padded[at] == wanted
        table[row, :, z] = torch.where(hit, rows[at], n).t()
        at += hit
        wanted += 1
    return NeighbourTable(kernel_size, table.flatten(1))


class _Convolve(torch.autograd.Function):
    """Rows of ``table`` times ``kernel`` (c_out, k^3, c_in). The backward pass is the same sum the other way round."""

    @staticmethod
    def forward(ctx: Any, feat: Tensor, kernel: Tensor, table: Tensor) -> Tensor:
        ctx.save_for_backward(feat, kernel, table)
        return _multiply(feat, kernel, table)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        feat, kernel, table = ctx.saved_tensors
        grad = grads[0].contiguous()
        grad_feat = grad_kernel = None
        if ctx.needs_input_grad[0]:  # if j is i's neighbour at d, then i is j's at -d
            grad_feat = _multiply(grad, kernel.flip(1).transpose(0, 2), table)
        if ctx.needs_input_grad[1]:
            grad_kernel = _kernel_gradient(feat, grad, table)
        return grad_feat, grad_kernel, None


def _multiply(feat: Tensor, kernel: Tensor, table: Tensor) -> Tensor:
    matrix = kernel.flatten(1).t()
    padded = _padded(feat)
    return torch.cat([_gather(padded, part) @ matrix for part in _parts(table, feat.shape[1])])


def _kernel_gradient(feat: Tensor, grad: Tensor, table: Tensor) -> Tensor:
    padded, parts = _padded(feat), _parts(table, feat.shape[1])
    total = torch.float32 if feat.dtype in (torch.float16, torch.bfloat16) else feat.dtype
    rows = grad.split([len(part) for part in parts])
    products = [(g.t() @ _gather(padded, part)).to(total) for g, part in zip(rows, parts, strict=True)]
    return sum(products[1:], products[0]).to(feat.dtype).view(grad.shape[1], table.shape[1], feat.shape[1])


def _padded(feat: Tensor) -> Tensor:
    return torch.cat([feat, feat.new_zeros(1, feat.shape[1])])


def _parts(table: Tensor, width: int) -> tuple[Tensor, ...]:
    """Rows of the table, few enough at a time for what they gather to fit."""
    return table.split(max(_GATHERED // (table.shape[1] * width), 1))


def _gather(padded: Tensor, table: Tensor) -> Tensor:
    """The rows that ``table`` names, one after the other."""
    wide = next((t for t in _WIDE if padded.shape[1] * padded.itemsize % t.itemsize == 0), None)
    if wide is None or torch.is_grad_enabled():  # a gradient of a gradient is wanted: words hide the numbers from it
        return padded.index_select(0, table.reshape(-1)).view(len(table), -1)
    # torch's GPU kernel for rows spends a block of threads on each, however short it is; words are shared out evenly.
    words = padded.view(wide)
    column = torch.arange(words.shape[1], device=words.device)
    return words[table.reshape(-1, 1).long(), column].view(padded.dtype).view(len(table), -1)

"""Submanifold convolution as one gather and one matrix product, for GPUs.

On a CPU the module ``pairs`` multiplies only the voxels that touch. On a GPU that is hundreds of small kernels per
layer, and launching them takes longer than multiplying the empty neighbours too: here all k^3 neighbours of a voxel are
gathered (zeros if there is none) and multiplied at once. No two rows add to the same place, so results do not change
from run to run.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int32, Int64
from torch import Tensor

from topokd.models.convolution.neighbours import Neighbours, search_columns, sort_positions

MAX_GATHERED = 2**26  # values gathered at a time: 128 MiB in half precision
_WORDS = (torch.complex128, torch.int64)  # words of 16 and 8 bytes


@dataclass(frozen=True)
class NeighbourTable(Neighbours):
    """``table[i, d]`` is the row of the voxel at position(i) + d, or n if there is none.

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
        inside = slice(rim, self.kernel_size - rim)
        cube = self.table.view(-1, *[self.kernel_size] * 3)  # (n, k, k, k)
        return NeighbourTable(kernel_size, cube[:, inside, inside, inside].flatten(1))

    def convolve(
        self, feat: Float[Tensor, "n c_in"], weight: Float[Tensor, "c_out k k k c_in"]
    ) -> Float[Tensor, "n c_out"]:
        """See `Neighbours.convolve`: the rows of ``feat`` are gathered, then multiplied by ``weight`` at once."""
        return _Convolve.apply(feat, weight.flatten(1, 3), self.table)


def find_table(grid_coord: Int64[Tensor, "n 3"], cloud: Int64[Tensor, " n"], kernel_size: int) -> NeighbourTable:
    """Find the neighbours of unique voxels; voxels of different clouds are never neighbours.

    Args:
        grid_coord: unique voxels of each cloud, from 0.
        cloud: the cloud of each voxel, ascending.
        kernel_size: voxels along a side of the kernel, odd.

    Examples:
        >>> line = torch.tensor([[0, 0, 0], [0, 0, 1], [5, 0, 0]])
        >>> find_table(line, torch.zeros(3, dtype=torch.int64), 3).table[:, 12:15].tolist()
        [[3, 0, 1], [0, 1, 3], [3, 2, 3]]
    """
    reach = kernel_size // 2
    positions = sort_positions(grid_coord, cloud, reach)
    row, n = positions.row, len(positions.row)
    rows = torch.cat([row, row.new_full((1,), n)]).int()
    steps = range(-reach, reach + 1)
    table = rows.new_empty(n, kernel_size**2, kernel_size)
    for dz, at, hit in search_columns(positions, [(dx, dy) for dx in steps for dy in steps], reach):
        table[row, :, dz + reach] = torch.where(hit, rows[at], n).t()
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
        if ctx.needs_input_grad[0]:  # if j is the neighbour of i at d, then i is the neighbour of j at -d
            grad_feat = _multiply(grad, kernel.flip(1).transpose(0, 2), table)
        if ctx.needs_input_grad[1]:
            grad_kernel = _kernel_gradient(feat, grad, table)
        return grad_feat, grad_kernel, None


def _multiply(feat: Tensor, kernel: Tensor, table: Tensor) -> Tensor:
    matrix = kernel.flatten(1).t()
    padded = _pad(feat)
    return torch.cat([gather(padded, chunk) @ matrix for chunk in _chunks(table, feat.shape[1])])


def _kernel_gradient(feat: Tensor, grad: Tensor, table: Tensor) -> Tensor:
    padded, chunks = _pad(feat), _chunks(table, feat.shape[1])
    dtype = torch.promote_types(feat.dtype, torch.float32)
    rows = grad.split([len(chunk) for chunk in chunks])
    products = [(g.t() @ gather(padded, chunk)).to(dtype) for g, chunk in zip(rows, chunks, strict=True)]
    return sum(products[1:], products[0]).to(feat.dtype).view(grad.shape[1], table.shape[1], feat.shape[1])


def _pad(feat: Tensor) -> Tensor:
    """Append the row of zeros that the index n of the table points to."""
    return torch.cat([feat, feat.new_zeros(1, feat.shape[1])])


def _chunks(table: Tensor, width: int) -> tuple[Tensor, ...]:
    """Rows of the table, few enough at a time for the gathered values to fit into memory."""
    return table.split(max(MAX_GATHERED // (table.shape[1] * width), 1))


def gather(padded: Float[Tensor, "m c"], table: Int32[Tensor, "n k3"]) -> Float[Tensor, "n k3c"]:
    """Concatenate the rows of ``padded`` that each row of ``table`` lists.

    Args:
        padded: (m, c) features; the last row may be zero, for missing neighbours.
        table: (n, k^3) row numbers.

    Examples:
        >>> gather(torch.tensor([[1.0], [2.0], [0.0]]), torch.tensor([[0, 1], [1, 2]], dtype=torch.int32)).tolist()
        [[1.0, 2.0], [2.0, 0.0]]
    """
    word = next((w for w in _WORDS if padded.shape[1] * padded.itemsize % w.itemsize == 0), None)
    if word is None or torch.is_grad_enabled():  # double backward: reinterpreted bytes are not differentiable
        return padded.index_select(0, table.reshape(-1)).view(len(table), -1)
    # The torch GPU kernel for rows uses a block of threads even for short rows; words are spread evenly.
    words = padded.view(word)
    column = torch.arange(words.shape[1], device=words.device)
    return words[table.reshape(-1, 1).long(), column].view(padded.dtype).view(len(table), -1)

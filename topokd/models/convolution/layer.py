"""The submanifold convolution layer, and the choice between its three backends.

out[i] = bias + sum over offsets d of feat[j] W[d]   for the voxel j at position(i) + d, where there is one

Torch computes pair by pair on a CPU (``pairs``) and by one gather on a GPU (``table``); ``spconv`` is optional on CUDA.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from topokd.models import backends
from topokd.models.convolution.neighbours import Neighbours
from topokd.models.convolution.pairs import NeighbourPairs, find_pairs
from topokd.models.convolution.spconv import SpconvNeighbours, spconv_agrees
from topokd.models.convolution.table import NeighbourTable, find_table


def is_spconv_active(device: torch.device, backend: str = "auto") -> bool:
    """Whether spconv computes the convolutions on ``device``.

    Args:
        device: where the input is.
        backend: "auto", "torch" or "spconv". With "auto", spconv first has to agree with torch on this GPU.

    Raises:
        ParameterError: if spconv is asked for and cannot run there.
    """
    backends.check_choice("convolution", backend, device)
    if backend != "auto":
        return backend == "spconv"
    if device.type != "cuda" or backends.SPCONV is None:
        return False
    half = torch.is_autocast_enabled("cuda") and torch.get_autocast_dtype("cuda") == torch.float16
    return spconv_agrees(torch.float16 if half else torch.float32)  # bfloat16 is computed in float32


@dataclass
class NeighbourCache:
    """The neighbours of one set of voxels, found once per kernel size and shared by all layers of a stage."""

    grid_coord: Int64[Tensor, "n 3"]
    cloud: Int64[Tensor, " n"]
    _torch: dict[int, NeighbourPairs | NeighbourTable] = field(default_factory=dict, repr=False)
    _spconv: dict[int, SpconvNeighbours] = field(default_factory=dict, repr=False)

    def find(self, kernel_size: int, backend: str = "torch") -> Neighbours:
        """Neighbours in a cubic kernel; those of a smaller kernel are selected from those of a larger one.

        Args:
            kernel_size: voxels along a side of the kernel, odd.
            backend: "torch", "spconv" or "auto" (see `topokd.models.backends`).
        """
        if is_spconv_active(self.grid_coord.device, backend):
            if kernel_size not in self._spconv:
                self._spconv[kernel_size] = SpconvNeighbours(kernel_size, self.grid_coord, self.cloud)
            return self._spconv[kernel_size]
        if kernel_size not in self._torch:
            larger = [m for k, m in self._torch.items() if k > kernel_size]
            find = find_table if self.grid_coord.is_cuda else find_pairs
            self._torch[kernel_size] = (
                larger[0].smaller(kernel_size) if larger else find(self.grid_coord, self.cloud, kernel_size)
            )
        return self._torch[kernel_size]


def submanifold_convolution(
    feat: Float[Tensor, "n c_in"],
    weight: Float[Tensor, "c_out k k k c_in"],
    bias: Float[Tensor, " c_out"] | None,
    neighbours: Neighbours,
) -> Float[Tensor, "n c_out"]:
    """Convolve the features of occupied voxels, and only there.

    Cross-correlation: the input voxel is the output voxel + k - K // 2. Sums run in float32 at least; under autocast
    the products are in half precision.

    Args:
        feat: one row per voxel.
        weight: kernel axes in the order of the columns of ``grid_coord``.
        bias: added to every row, or None.
        neighbours: neighbours from `NeighbourCache.find`; its kind decides which backend computes.
    """
    if torch.is_autocast_enabled(feat.device.type):
        half = torch.get_autocast_dtype(feat.device.type)
        feat, weight = feat.to(half), weight.to(half)
    out = neighbours.convolve(feat, weight)
    if bias is None:
        return out
    return out + bias.to(out.dtype) if torch.is_grad_enabled() else out.add_(bias)


class SubmanifoldConv(nn.Module):
    """A submanifold convolution layer: parameters ``weight`` (c_out, k, k, k, c_in) and ``bias`` (c_out,) or None.

    Args:
        in_channels: c_in.
        out_channels: c_out.
        kernel_size: k, odd.
        bias: whether to add a bias.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, bias: bool = True) -> None:
        super().__init__()
        self.kernel_size, self.backend = kernel_size, "auto"
        self.weight = nn.Parameter(torch.empty(out_channels, *[kernel_size] * 3, in_channels))
        bound = 1 / math.sqrt(in_channels * kernel_size**3)  # the torch rule for dense convolutions
        nn.init.uniform_(self.weight, -bound, bound)
        self.bias = nn.Parameter(torch.empty(out_channels).uniform_(-bound, bound)) if bias else None

    def forward(self, feat: Float[Tensor, "n c_in"], neighbours: Neighbours) -> Float[Tensor, "n c_out"]:
        """Convolve ``feat``; ``neighbours`` must be those of this layer's kernel size."""
        return submanifold_convolution(feat, self.weight, self.bias, neighbours)

"""Submanifold convolution by spconv on CUDA; same interface as :class:`~topokd.models.convolution.layer.NeighbourMap`.

spconv keeps its weights as (c_out, kx, ky, kz, c_in), kernel axes in the order of the index columns, and
cross-correlates: that is the layout of published checkpoints and of our own layer, so weights pass as they are. Three
things need care:

- a layer in evaluation mode bypasses autograd there: ours always runs in training mode, without a bias (added outside);
- its autocast casts to float16 whatever was asked for: autocast is off around it, and bfloat16, for which it has no
  kernels, goes through float32;
- its gradient cannot be differentiated again: second-order saliency needs ``convolution="torch"``.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn


@dataclass
class SpconvMap:
    """The voxels of a stage as spconv wants them; its table of pairs is made by the first layer and kept here."""

    kernel_size: int
    grid_coord: Int64[Tensor, "n 3"]
    cloud: Int64[Tensor, " n"]
    tables: dict[str, Any] = field(default_factory=dict, repr=False)

    @functools.cached_property
    def num_pairs(self) -> int:
        """Number of (output, input) pairs of the whole kernel, counted by the torch twin."""
        from topokd.models.convolution.layer import find_neighbours

        return find_neighbours(self.grid_coord, self.cloud, self.kernel_size).num_pairs

    @functools.cached_property
    def _indices(self) -> Tensor:
        return torch.cat([self.cloud[:, None], self.grid_coord], 1).int().contiguous()  # (n, 4)

    @functools.cached_property
    def _shape(self) -> list[int]:
        return (self.grid_coord.amax(0) + 1 + 2 * (self.kernel_size // 2)).tolist()

    def convolve(self, feat: Float[Tensor, "n c_in"], weight: Float[Tensor, "c_out k k k c_in"]) -> Tensor:
        """The convolution without its bias, in the dtype of ``feat``."""
        import spconv.pytorch as spconv

        dtype = torch.float32 if feat.dtype == torch.bfloat16 else feat.dtype
        layer = _layer(weight.shape[-1], weight.shape[0], self.kernel_size)
        clouds = int(self.cloud[-1]) + 1
        with torch.autocast(feat.device.type, enabled=False):
            tensor = spconv.SparseConvTensor(feat.to(dtype), self._indices, self._shape, clouds)
            tensor.indice_dict = self.tables
            out = torch.func.functional_call(layer, {"weight": weight.to(dtype)}, (tensor,))
        self.tables = out.indice_dict  # spconv hands on a copy with the new table in it
        return out.features.to(feat.dtype)


@functools.lru_cache(maxsize=64)
def _layer(in_channels: int, out_channels: int, kernel_size: int) -> nn.Module:
    """A layer without weights of its own: each call brings them."""
    import spconv.pytorch as spconv

    with torch.device("meta"):
        layer = spconv.SubMConv3d(in_channels, out_channels, kernel_size, bias=False, indice_key=f"k{kernel_size}")
    return layer.train()

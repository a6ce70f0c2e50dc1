"""Submanifold convolution by the optional package spconv, on CUDA.

spconv keeps its weights as (c_out, kx, ky, kz, c_in), kernel axes in the order of the index columns, and
cross-correlates: the layout of published checkpoints and of our layer, so weights are passed unchanged. Three
things need care:

- in evaluation mode an spconv layer bypasses autograd: ours always runs in training mode, without a bias (added after);
- its autocast casts to float16, ignoring the requested dtype: autocast is switched off around it, and bfloat16, for
  which it has no kernels, is computed in float32;
- its gradient cannot be differentiated again: second-order saliency needs ``convolution="torch"``.
"""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from topokd.models.convolution.neighbours import Neighbours, count_pairs
from topokd.models.convolution.table import find_table

log = logging.getLogger(__name__)


@dataclass
class SpconvNeighbours(Neighbours):
    """The voxels of a stage in spconv format; the first layer fills its table of pairs, and the others reuse it."""

    kernel_size: int
    grid_coord: Int64[Tensor, "n 3"]
    cloud: Int64[Tensor, " n"]
    tables: dict[str, Any] = field(default_factory=dict, repr=False)

    @functools.cached_property
    def num_pairs(self) -> int:
        """Number of (output, input) pairs of the whole kernel: each costs C_in x C_out multiply-adds."""
        return count_pairs(self.grid_coord, self.cloud, self.kernel_size)

    @functools.cached_property
    def _indices(self) -> Tensor:
        return torch.cat([self.cloud[:, None], self.grid_coord], 1).int().contiguous()  # (n, 4)

    @functools.cached_property
    def _shape(self) -> list[int]:
        return (self.grid_coord.amax(0) + 1 + 2 * (self.kernel_size // 2)).tolist()

    def convolve(
        self, feat: Float[Tensor, "n c_in"], weight: Float[Tensor, "c_out k k k c_in"]
    ) -> Float[Tensor, "n c_out"]:
        """See `Neighbours.convolve`: spconv applies the kernel ``weight`` to ``feat``."""
        import spconv.pytorch as spconv

        dtype = torch.float32 if feat.dtype == torch.bfloat16 else feat.dtype
        layer = _layer(weight.shape[-1], weight.shape[0], self.kernel_size)
        clouds = int(self.cloud[-1]) + 1
        with torch.autocast(feat.device.type, enabled=False):
            tensor = spconv.SparseConvTensor(feat.to(dtype), self._indices, self._shape, clouds)
            tensor.indice_dict = self.tables
            out = torch.func.functional_call(layer, {"weight": weight.to(dtype)}, (tensor,))
        self.tables = out.indice_dict  # spconv returns a copy that holds the new table
        return out.features.to(feat.dtype)


@functools.lru_cache(maxsize=64)
def _layer(in_channels: int, out_channels: int, kernel_size: int) -> nn.Module:
    """An spconv layer without weights: each call passes them."""
    import spconv.pytorch as spconv

    with torch.device("meta"):
        layer = spconv.SubMConv3d(in_channels, out_channels, kernel_size, bias=False, indice_key=f"k{kernel_size}")
    return layer.train()


@functools.cache
def spconv_agrees(dtype: torch.dtype) -> bool:
    """Compare spconv with torch on a small cloud on this GPU: values and gradients, once per process and dtype."""
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast("cuda", enabled=False):
        generator = torch.Generator().manual_seed(0)
        cells = torch.cartesian_prod(*[torch.arange(8)] * 3)
        grid = cells[torch.randperm(512, generator=generator)[:200].sort().values].cuda()
        cloud = torch.zeros(200, dtype=torch.int64, device="cuda")
        feat, weight = torch.randn(200, 16, generator=generator), torch.randn(16, 3, 3, 3, 16, generator=generator)
        results = []
        try:
            for neighbours in (find_table(grid, cloud, 3), SpconvNeighbours(3, grid, cloud)):
                leaves = [x.to("cuda", dtype).requires_grad_() for x in (feat, weight)]
                out = neighbours.convolve(*leaves)
                results.append([out, *torch.autograd.grad(out.float().square().sum(), leaves)])
        except Exception as error:  # any failure here means: fall back to torch
            log.warning("spconv fails on this GPU (%s): torch computes the convolutions", str(error)[:200])
            return False
    bound = 1e-3 if dtype == torch.float32 else 2e-2
    agrees = all(float((a - b).abs().max()) <= bound * float(a.abs().max()) for a, b in zip(*results, strict=True))
    if not agrees:
        log.warning("spconv computes other values than torch on this GPU: torch computes the convolutions")
    return agrees

"""Features read out of a network between its layers."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Int64
from torch import Tensor


@dataclass(frozen=True)
class Tap:
    """Features of one encoder stage with the voxels they belong to.

    ``feat`` is the tensor that the later layers consume, so ``torch.autograd.grad(loss, tap.feat)`` is the sensitivity
    of the loss to it. Row i is voxel ``grid_coord[i]`` of its stage (the input's ``grid_coord >> stage`` for strides
    of two); ``offsets`` are the clouds' cumulative row counts. Rows are grouped by cloud; do not rely on their order
    inside one.
    """

    feat: Float[Tensor, "n c"]
    grid_coord: Int64[Tensor, "n 3"]
    offsets: Int64[Tensor, " b"]

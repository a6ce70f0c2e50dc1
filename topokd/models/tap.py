"""Features of a stage of the network, with the voxels they belong to."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Int64
from torch import Tensor


@dataclass(frozen=True)
class Tap:
    """Features of one encoder stage.

    Attributes:
        feat: the tensor that the later layers consume, so ``torch.autograd.grad(loss, tap.feat)`` is the sensitivity of
            the loss to it.
        grid_coord: row i is the voxel of row i of ``feat`` (the ``grid_coord`` of the input ``>> stage`` for strides of
            two). Rows are grouped by cloud; do not rely on their order inside a cloud.
        offsets: cumulative row counts of the clouds.

    Examples:
        >>> import torch
        >>> tap = Tap(torch.zeros(3, 8), torch.tensor([[0, 0, 0], [0, 0, 1], [0, 0, 0]]), torch.tensor([2, 3]))
        >>> len(tap.offsets)  # clouds
        2
    """

    feat: Float[Tensor, "n c"]
    grid_coord: Int64[Tensor, "n 3"]
    offsets: Int64[Tensor, " b"]

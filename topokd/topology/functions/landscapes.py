"""Functional summaries made of tents: persistence landscapes and silhouettes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from topokd.checks import require_memory
from topokd.options import number, whole
from topokd.precision import product
from topokd.topology.functions.closed_form import in_the_graph
from topokd.topology.functions.inputs import Diagrams, float64_array, grid_values, padded
from topokd.topology.torch_compile import eagerly

SCALE = math.sqrt(2)  # GUDHI draws tents in the diagram rotated by 45 degrees, whose axes are longer by sqrt(2)


@eagerly
def landscape(diagram: Diagrams, grid: Tensor | np.ndarray | Sequence[float], k: int = 5) -> Float[Tensor, "*b k g"]:
    """The first k persistence landscapes on a grid (Bubenik 2015, scaled as in GUDHI).

    ``lambda_j(t) = sqrt(2) * j-th largest over i of max(0, min(t - b_i, d_i - t))``. The factor sqrt(2) is that of
    ``gudhi.representations.Landscape``; divide by it for Bubenik's landscape.

    At ties: among tents of equal height the point that comes first in the diagram gets the gradient of the earlier
    landscape; at the top of a tent birth and death share it equally; at the foot of a tent, and outside, it is 0.
    Differentiable twice; not in the grid.

    Args:
        diagram: (n, 2) finite pairs, or a list of b such diagrams.
        grid: (g,) filtration values.
        k: number of landscapes; those beyond the number of points are 0.

    Returns:
        (k, g), or (b, k, g) for a list; in sqrt(2) times the filtration's unit. Zeros for an empty diagram.

    Raises:
        ValueError: k is less than 1, the grid is not (g,) and finite, or the diagram is not (n, 2), finite, with no
            death before its birth.

    Examples:
        >>> landscape(torch.tensor([[0.0, 2.0], [1.0, 3.0]]), [1.0, 1.5, 2.0], k=2) / 2**0.5
        tensor([[1.0000, 0.5000, 1.0000],
                [0.0000, 0.5000, 0.0000]])
    """
    batch = padded(diagram)
    values = grid_values(grid, batch.points)
    k = whole(k, "k")
    require_memory(
        2 * batch.points.element_size() * len(batch.points) * k * len(values), f"{k:,} landscapes", "lower k"
    )
    most = min(k, batch.points.shape[1])
    heights = (_highest_torch if batch.points.is_cuda else _Highest.apply)(batch.points, values, most)
    return batch.result(functional.pad(heights, (0, 0, 0, k - most)) if most < k else heights)


class _Highest(torch.autograd.Function):
    """The first k landscapes over a grid, in one compiled loop each way."""

    @staticmethod
    def forward(ctx: Any, points: Tensor, grid: Tensor, k: int) -> Tensor:
        from topokd.topology.kernels import tents

        ctx.arrays = float64_array(points), float64_array(grid)
        ctx.save_for_backward(points, grid)
        ctx.like = points.dtype
        ctx.index, heights = tents.highest(*ctx.arrays, k)
        return torch.from_numpy(SCALE * heights).to(points.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        if torch.is_grad_enabled():  # create_graph=True: the gradient will be differentiated again
            points, grid = ctx.saved_tensors
            return in_the_graph(_highest_torch(points, grid, ctx.index.shape[1]), points, gradient), None, None
        from topokd.topology.kernels import tents

        return (
            torch.from_numpy(tents.highest_gradient(*ctx.arrays, ctx.index, SCALE * float64_array(gradient))).to(
                ctx.like
            ),
            None,
            None,
        )


def _highest_torch(points: Float[Tensor, "b n 2"], grid: Float[Tensor, " g"], k: int) -> Float[Tensor, "b k g"]:
    """The same from all tents at once: for GPUs, and the twin of the compiled loops."""
    return SCALE * _tents(points, grid).sort(dim=1, descending=True, stable=True).values[:, :k]


def _tents(points: Float[Tensor, "b n 2"], grid: Float[Tensor, " g"]) -> Float[Tensor, "b n g"]:
    return functional.relu(torch.minimum(grid - points[..., :1], points[..., 1:] - grid))


@eagerly
def silhouette(
    diagram: Diagrams, grid: Tensor | np.ndarray | Sequence[float], power: float = 1.0
) -> Float[Tensor, "*b g"]:
    """The power-weighted silhouette on a grid (Chazal, Fasy, Lecci, Rinaldo and Wasserman 2014, scaled as in GUDHI).

    ``phi(t) = sqrt(2) * sum_i w_i max(0, min(t - b_i, d_i - t)) / sum_i w_i``, ``w_i = (d_i - b_i)^power``: equal to
    ``gudhi.representations.Silhouette(weight=lambda q: (q[1] - q[0]) ** power)``. Points on the diagonal weigh 0
    and get no gradient.

    At ties: at the top of a tent birth and death share the gradient equally; at its foot, and outside, it is that of
    the weights alone. Differentiable twice; not in the grid.

    Args:
        diagram: (k, 2) finite pairs, or a list of b such diagrams.
        grid: (g,) filtration values.
        power: exponent of the weights, 0 or more; 0 weights all points equally.

    Returns:
        (g,), or (b, g) for a list; in sqrt(2) times the filtration's unit. Zeros for an empty diagram.

    Raises:
        ValueError: the power is negative, the grid is not (g,) and finite, or the diagram is not (k, 2), finite, with
            no death before its birth.

    Examples:
        >>> silhouette(torch.tensor([[0.0, 2.0], [1.0, 3.0]]), [1.0, 1.5, 2.0]) / 2**0.5
        tensor([0.5000, 0.5000, 0.5000])
    """
    batch = padded(diagram)
    values, exponent = grid_values(grid, batch.points), number(power, "power")
    largest = float(batch.persistence.detach().max()) if batch.points.numel() else 0.0
    size = 1.0
    if largest > 0 and abs(math.log2(largest)) * exponent > 900:  # the powers leave the range of float64
        size = largest
    points = batch.points if size == 1 else batch.points / size
    curve = (_silhouette_torch if points.is_cuda else _Silhouette.apply)(points, values / size, exponent)
    return batch.result(curve if size == 1 else size * curve)


class _Silhouette(torch.autograd.Function):
    """The weighted mean of all tents over a grid, in one compiled loop each way."""

    @staticmethod
    def forward(ctx: Any, points: Tensor, grid: Tensor, power: float) -> Tensor:
        from topokd.topology.kernels import tents

        ctx.arrays = float64_array(points), float64_array(grid), power
        ctx.save_for_backward(points, grid)
        ctx.like = points.dtype
        ctx.values = tents.silhouette(*ctx.arrays)
        return torch.from_numpy(SCALE * ctx.values).to(points.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        if torch.is_grad_enabled():  # create_graph=True: the gradient will be differentiated again
            points, grid = ctx.saved_tensors
            return in_the_graph(_silhouette_torch(points, grid, ctx.arrays[2]), points, gradient), None, None
        from topokd.topology.kernels import tents

        moved = tents.silhouette_gradient(*ctx.arrays, ctx.values, SCALE * float64_array(gradient))
        return torch.from_numpy(moved).to(ctx.like), None, None


def _silhouette_torch(points: Float[Tensor, "b n 2"], grid: Float[Tensor, " g"], power: float) -> Float[Tensor, "b g"]:
    """The same from all tents at once: for GPUs, and the twin of the compiled loops."""
    persistence = points[..., 1] - points[..., 0]
    alive = persistence > 0
    weight = torch.where(alive, torch.where(alive, persistence, 1.0).pow(power), 0.0)
    total = weight.sum(dim=1, keepdim=True)
    weight = weight / torch.where(total > 0, total, 1.0)
    return SCALE * product(weight[:, None], _tents(points, grid))[:, 0]  # (b, 1, n) @ (b, n, g)

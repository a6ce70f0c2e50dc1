"""Functional summaries made of tents: persistence landscapes and silhouettes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from topokd.errors import ParameterError
from topokd.topology.functions.inputs import Diagrams, Padded, grid_values, padded, power, raised

SCALE = math.sqrt(2)  # GUDHI draws tents in the diagram rotated by 45 degrees, whose axes are longer by sqrt(2)


def landscape(diagram: Diagrams, grid: Tensor | np.ndarray | Sequence[float], k: int = 5) -> Float[Tensor, "*b k g"]:
    """The first k persistence landscapes on a grid (Bubenik 2015, scaled as in GUDHI).

    ``lambda_j(t) = sqrt(2) * j-th largest over i of max(0, min(t - b_i, d_i - t))``. The factor sqrt(2) is that of
    ``gudhi.representations.Landscape``; divide by it for Bubenik's landscape.

    At ties: among tents of equal height the point that comes first in the diagram gets the gradient of the earlier
    landscape; at the top of a tent birth and death share it equally; at the foot of a tent, and outside, it is 0.

    Args:
        diagram: (n, 2) finite pairs, or a list of b such diagrams.
        grid: (g,) filtration values.
        k: number of landscapes; those beyond the number of points are 0.

    Returns:
        (k, g), or (b, k, g) for a list; in sqrt(2) times the filtration's unit. Zeros for an empty diagram.

    Raises:
        ValueError: k is less than 1, the grid is not (g,) and finite, or the diagram is not (n, 2), finite, with deaths
            from births on.

    Examples:
        >>> landscape(torch.tensor([[0.0, 2.0], [1.0, 3.0]]), [1.0, 1.5, 2.0], k=2) / 2**0.5
        tensor([[1.0000, 0.5000, 1.0000],
                [0.0000, 0.5000, 0.0000]])
    """
    batch = padded(diagram)
    values = grid_values(grid, batch.points)
    if k < 1:
        raise ParameterError(f"k is {k}: ask for at least one landscape")
    shape = len(batch.sizes), k, len(values)
    most = min(k, batch.points.shape[1])
    index = _highest(batch, values, most).flatten(1)  # (b, most * g)
    births, deaths = (ends.gather(1, index).view(shape[0], most, shape[2]) for ends in batch.points.unbind(dim=2))
    tents = SCALE * functional.relu(torch.minimum(values - births, deaths - values))
    return batch.result(functional.pad(tents, (0, 0, 0, k - most)))


def _highest(batch: Padded, grid: Float[Tensor, " g"], k: int) -> Int64[Tensor, "b k g"]:
    """Rows of the k highest tents over each value of the grid, the highest first; at ties the first row."""
    points = batch.points.detach()
    if points.is_cuda:
        return _highest_torch(points, grid, k)
    from topokd.topology.kernels import tents

    index = tents.highest_tents(points.double().contiguous().numpy(), grid.detach().double().numpy(), k)
    return torch.from_numpy(index)


def _highest_torch(points: Float[Tensor, "b n 2"], grid: Float[Tensor, " g"], k: int) -> Int64[Tensor, "b k g"]:
    """The same from all tents at once: for GPUs, and the twin of the compiled loop."""
    points, grid = points.double(), grid.double()
    heights = torch.minimum(grid - points[..., :1], points[..., 1:] - grid).clamp_min(0)  # (b, n, g)
    return heights.sort(dim=1, descending=True, stable=True).indices[:, :k]


def silhouette(
    diagram: Diagrams, grid: Tensor | np.ndarray | Sequence[float], power: float = 1.0
) -> Float[Tensor, "*b g"]:
    """The power-weighted silhouette on a grid (Chazal, Fasy, Lecci, Rinaldo and Wasserman 2014, scaled as in GUDHI).

    ``phi(t) = sqrt(2) * sum_i w_i max(0, min(t - b_i, d_i - t)) / sum_i w_i``, ``w_i = (d_i - b_i)^power``: equal to
    ``gudhi.representations.Silhouette(weight=lambda q: (q[1] - q[0]) ** power)``. Points on the diagonal weigh 0.

    At ties: at the top of a tent birth and death share the gradient equally; at its foot, and outside, it is that of
    the weights alone.

    Args:
        diagram: (k, 2) finite pairs, or a list of b such diagrams.
        grid: (g,) filtration values.
        power: exponent of the weights, 0 or more; 0 weighs all points alike.

    Returns:
        (g,), or (b, g) for a list; in sqrt(2) times the filtration's unit. Zeros for an empty diagram.

    Raises:
        ValueError: the power is negative, the grid is not (g,) and finite, or the diagram is not (k, 2), finite, with
            deaths from births on.

    Examples:
        >>> silhouette(torch.tensor([[0.0, 2.0], [1.0, 3.0]]), [1.0, 1.5, 2.0]) / 2**0.5
        tensor([0.5000, 0.5000, 0.5000])
    """
    batch = padded(diagram)
    values, exponent = grid_values(grid, batch.points), _exponent(power)
    weight = raised(batch.persistence, exponent)
    total = weight.sum(dim=1, keepdim=True)
    weight = weight / torch.where(total > 0, total, 1.0)
    tents = functional.relu(torch.minimum(values - batch.births[..., None], batch.deaths[..., None] - values))
    return batch.result(SCALE * (weight[:, None] @ tents)[:, 0])  # (b, 1, k) @ (b, k, g)


def _exponent(value: float) -> float:
    return power(value, "power")

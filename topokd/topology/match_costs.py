"""Cost of matching each point of a diagram to the nearest point of another diagram, or to the diagonal (Eq. 2-3)."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Float64
from numpy import ndarray
from torch import Tensor

from topokd.options import number
from topokd.topology import kernels
from topokd.topology.functions.inputs import as_pairs

MAX_BLOCK = 1 << 20  # distances held at a time on a GPU


def nearest_costs(points: Float[Tensor, "k 2"], others: Float[Tensor, "m 2"], scale: float) -> Float[Tensor, " k"]:
    """min(scale * squared distance to the nearest of `others`, (death - birth)^2 / 2) of each point.

    Args:
        points: (k, 2) birth and death.
        others: (m, 2) birth and death.
        scale: factor of the squared distance of a match.

    Returns:
        (k,) costs.

    Raises:
        DataError: a diagram is not (k, 2).
        ParameterError: ``scale`` is not a valid number.

    Examples:
        >>> nearest_costs(torch.tensor([[0.0, 1.0], [0.0, 4.0]]), torch.tensor([[0.0, 3.0]]), 1.0)
        tensor([0.5000, 1.0000])
    """
    points, others = as_pairs(points, "points"), as_pairs(others, "others")
    scale = number(scale, "scale", above=True)
    if points.is_cuda:
        return nearest_costs_in_blocks(points, others, scale)
    return _NearestCosts.apply(points, others, scale)  # type: ignore[no-any-return]


class _NearestCosts(torch.autograd.Function):
    """The costs and their gradients (Alg. 4) in one compiled loop each, in float64."""

    @staticmethod
    def forward(
        ctx: Any, points: Float[Tensor, "k 2"], others: Float[Tensor, "m 2"], scale: float
    ) -> Float[Tensor, " k"]:
        values = _as_float64(points)
        cost, *matches = kernels.chamfer.costs(values, _as_float64(others), scale)
        ctx.arrays = values, *matches, scale
        ctx.save_for_backward(points, others)
        ctx.types = points.dtype, others.dtype
        return torch.from_numpy(cost).to(points.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Float[Tensor, " k"]) -> tuple[Float[Tensor, "k 2"], Float[Tensor, "m 2"], None]:
        if torch.is_grad_enabled():  # create_graph=True: the gradient will be differentiated again
            return *_differentiable(gradient, *ctx.saved_tensors, *ctx.arrays), None
        of_points, of_others = kernels.chamfer.gradients(_as_float64(gradient), *ctx.arrays)
        return torch.from_numpy(of_points).to(ctx.types[0]), torch.from_numpy(of_others).to(ctx.types[1]), None


def _differentiable(
    gradient: Float[Tensor, " k"],
    points: Float[Tensor, "k 2"],
    others: Float[Tensor, "m 2"],
    values: ndarray,
    rows: ndarray,
    columns: ndarray,
    weights: ndarray,
    places: ndarray,
    place_of: ndarray,
    scale: float,
) -> tuple[Float[Tensor, "k 2"], Float[Tensor, "m 2"]]:
    """Both gradients as functions of ``gradient``, ``points`` and ``others``, in the graph; the matches are fixed."""
    row, column, place = (torch.from_numpy(array) for array in (rows, columns, place_of))
    size = torch.bincount(place, minlength=len(places)).double().clamp_min(1)
    g, exact = gradient.double(), points.double()
    at = torch.zeros(len(places), 2, dtype=torch.float64).index_add(0, place, others.double()) / size[:, None]
    move = (2 * scale * torch.from_numpy(weights) * g[row])[:, None] * (exact[row] - at[column])  # (e, 2)
    matched = torch.zeros(len(points), dtype=torch.bool).index_fill(0, row, True)
    alone = torch.where(matched, 0.0, g * (exact[:, 1] - exact[:, 0]))
    of_points = torch.stack([-alone, alone], dim=1).index_add(0, row, move)
    of_places = torch.zeros(len(places), 2, dtype=torch.float64).index_add(0, column, -move)
    of_others = of_places[place] / size[place][:, None] if len(others) else others.double() * 0
    return of_points.to(points.dtype), of_others.to(others.dtype)


def _as_float64(x: Tensor) -> Float64[ndarray, " ..."]:
    return x.detach().double().contiguous().numpy()


def nearest_costs_in_blocks(
    points: Float[Tensor, "k 2"], others: Float[Tensor, "m 2"], scale: float
) -> Float[Tensor, " k"]:
    """`nearest_costs` of ``points`` to ``others`` from all distances, a block of rows at a time, as on a GPU."""
    diagonal = (points[:, 1] - points[:, 0]).square() / 2
    if len(others) == 0:
        return diagonal
    _, place, size = torch.unique(others.detach(), dim=0, return_inverse=True, return_counts=True)
    weight = (1 / size.to(points.dtype))[place]  # (m,) duplicates share what their place receives
    costs = []
    for block in points.split(max(1, MAX_BLOCK // len(others))):
        with torch.no_grad():
            distance = (block[:, None].double() - others[None].double()).square().sum(dim=2)  # (b, m)
            row, column = (distance == distance.amin(dim=1, keepdim=True)).nonzero(as_tuple=True)
            share = weight[column]
            total = torch.zeros(len(block), dtype=share.dtype, device=share.device).index_add(0, row, share)
            share = share / total[row]  # ties split equally
        match = scale * share * (block[row] - others[column]).square().sum(dim=1)
        costs.append(torch.zeros_like(block[:, 0]).index_add(0, row, match))
    match = torch.cat(costs) if costs else diagonal
    return torch.where(match <= diagonal, match, diagonal)

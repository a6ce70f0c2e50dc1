"""Plain versions of the fast functions, for tests and for reading: all pairs at once, no compiled loop, no blocks.

Each has the name and arguments of its fast twin; `tests/topology/test_reference.py` compares values and gradients.
The textbook reduction of boundary matrices is an engine, `topokd.topology.engines.reference`.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from numpy import ndarray
from torch import Tensor

from topokd.topology.critical_edges import EPS_DIST
from topokd.topology.engines.base import edge_ranks
from topokd.topology.engines.reference import compute as persistence_pairs
from topokd.topology.gradient_kinds import RIDGE

__all__ = [
    "covering_radius",
    "diffeomorphic_gradient",
    "farthest_point_sampling",
    "minimum_spanning_tree",
    "nearest_costs",
    "persistence_pairs",
    "persistence_weighted_chamfer",
    "simplex_values",
    "squared_distances",
]


def squared_distances(x: Float64[ndarray, "n c"]) -> Float64[ndarray, "n n"]:
    """||x_i - x_j||^2 from the differences, in extended precision."""
    difference = x[:, None].astype(np.longdouble) - x[None]
    return (difference**2).sum(axis=-1).astype(np.float64)


def farthest_point_sampling(x: Float[Tensor, "n c"], m: int, *, start: int = 0) -> Int64[Tensor, " m"]:
    """Twin of `topokd.topology.farthest_point_sampling`: Alg. 5 line by line, if at least m rows are distinct."""
    nearest = torch.full((len(x),), torch.inf, dtype=torch.float64, device=x.device)
    chosen = torch.empty(m, dtype=torch.int64, device=x.device)
    chosen[0] = start
    for step in range(1, m):
        distance = (x.double() - x[chosen[step - 1]].double()).square().sum(dim=1)
        nearest = torch.minimum(nearest, distance)
        chosen[step] = nearest.argmax()
    return chosen


def covering_radius(x: Float[Tensor, "n c"], indices: Int64[Tensor, " m"]) -> Float[Tensor, ""]:
    """Twin of `topokd.topology.covering_radius`: max_x min_y ||x - y||, y among the rows `indices`."""
    difference = x[:, None].double() - x[indices][None].double()
    return difference.norm(dim=2).amin(dim=1).amax().to(x.dtype)


def minimum_spanning_tree(filtration: Float64[ndarray, "n n"]) -> Int64[ndarray, "k 2"]:
    """Kruskal's algorithm: the edges in order that join two components."""
    component = list(range(len(filtration)))
    tree = []
    for i, j in edge_ranks(filtration)[1].tolist():
        if component[i] != component[j]:
            old, new = component[j], component[i]
            component = [new if c == old else c for c in component]
            tree.append((i, j))
    return np.array(tree, dtype=np.int64).reshape(-1, 2)


def nearest_costs(points: Float[Tensor, "k 2"], others: Float[Tensor, "m 2"], scale: float) -> Float[Tensor, " k"]:
    """min(scale * min_q ||p - q||^2, (d_p - b_p)^2 / 2); ties split the gradient over places, then duplicates."""
    costs = []
    places = torch.unique(others.detach(), dim=0)
    for p in points:
        cost = (p[1] - p[0]).square() / 2
        if len(others):
            distance = (p.detach().double() - places.double()).square().sum(dim=1)
            tied = places[distance == distance.min()]
            means = [others[(others.detach() == place).all(dim=1)].mean(dim=0) for place in tied]
            match = scale * torch.stack([(p - mean).square().sum() for mean in means]).mean()
            cost = match if match <= cost else cost
        costs.append(cost)
    return torch.stack(costs) if costs else points.sum(dim=1)


def persistence_weighted_chamfer(
    teacher: Float[Tensor, "m 2"], student: Float[Tensor, "k 2"], *, eps: float = 1e-6, match_scale: float = 1.0
) -> Float[Tensor, ""]:
    """Twin of `topokd.topology.persistence_weighted_chamfer`: Eq. 2-3, term by term."""
    weight = torch.log(1 + (teacher[:, 1] - teacher[:, 0]).clamp_min(0))
    recall = (weight * nearest_costs(teacher, student, match_scale)).sum() / (weight.sum() + eps)
    precision = nearest_costs(student, teacher, match_scale).sum() / max(1, len(student))
    return recall + precision


def simplex_values(
    x: Float[Tensor, "n c"],
    simplices: Int64[Tensor, "k v"],
    *,
    precomputed: bool = False,
    tie_tolerance: float = 1e-6,
    tie_unit: float | None = None,
) -> Float[Tensor, " k"]:
    """Twin of `topokd.topology.simplex_values`: v(sigma) = max_{i,j in sigma} D_ij, with the gradient of Theorem 1.

    The gradient is that of the mean over the longest edges.

    Args:
        x: points (n, c), or distances (n, n) if `precomputed`.
        simplices: (k, v) vertices of each simplex, -1 in unused entries.
        precomputed: whether `x` holds distances.
        tie_tolerance: edges within it of the longest share the gradient, in multiples of `tie_unit`.
        tie_unit: a length; None for the extent of the cloud.

    Returns:
        (k,) values, 0 for single vertices.
    """
    values = []
    size = float(x.detach().max()) if precomputed else float((x.detach().amax(dim=0) - x.detach().amin(dim=0)).max())
    unit = size if tie_unit is None else tie_unit
    tolerance, eps = tie_tolerance * unit, EPS_DIST * unit or EPS_DIST
    for simplex in simplices.tolist():
        edges = list(combinations([v for v in simplex if v >= 0], 2))
        if not edges:
            values.append(x.double().sum() * 0)
            continue
        if precomputed:
            lengths = torch.stack([(x[i, j].double() + x[j, i].double()) / 2 for i, j in edges])
            values.append(_value_with_mean_gradient(lengths, lengths.detach(), tolerance))
        else:
            squared = torch.stack([(x[i].double() - x[j].double()).square().sum() for i, j in edges])
            length = squared.detach().sqrt()
            # d sqrt(s) = ds / (2 (sqrt(s) + eps)), the regularised derivative of Theorem 1
            lengths = squared / (2 * (length + eps))
            values.append(_value_with_mean_gradient(lengths, length, tolerance))
    return torch.stack(values).to(x.dtype)


def diffeomorphic_gradient(
    x: Float[Tensor, "n c"], gradient: Float[Tensor, "n c"], bandwidth: float
) -> Float[Tensor, "n c"]:
    """v(y) = sum_i k(y, x_i) a_i over the rows i with a gradient g_i, a the solution of sum_j k(x_i, x_j) a_j = g_i."""

    def kernel(y: Tensor, z: Tensor) -> float:
        return float(torch.exp(-(y.double() - z.double()).square().sum() / (2 * bandwidth**2)))

    moved = [i for i in range(len(x)) if bool((gradient[i] != 0).any())]
    among = torch.tensor([[kernel(x[i], x[j]) + RIDGE * (i == j) for j in moved] for i in moved], dtype=torch.float64)
    weights = torch.linalg.solve(among, gradient[moved].double()) if moved else gradient[:0].double()
    field = torch.zeros(x.shape, dtype=torch.float64)
    for row in range(len(x)):
        for i, weight in zip(moved, weights, strict=True):
            field[row] += kernel(x[row], x[i]) * weight
    return field


def _value_with_mean_gradient(surrogate: Tensor, length: Tensor, tie_tolerance: float) -> Float[Tensor, ""]:
    """The greatest `length`, with the gradient of the mean `surrogate` over those within the tolerance of it."""
    mean = surrogate[length >= length.max() - tie_tolerance].mean()
    return length.max() + mean - mean.detach()

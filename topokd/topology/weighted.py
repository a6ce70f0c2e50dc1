"""Weighted Vietoris-Rips filtrations: points enter late where few others are near, so that outliers make no classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from numpy import ndarray
from torch import Tensor

from topokd.checks import first_nonfinite_row, real_rows, real_tensor
from topokd.errors import DataError, ParameterError
from topokd.options import number, whole
from topokd.topology.critical_edges import extent, simplex_values
from topokd.topology.engines import Pairs, elder_rule
from topokd.topology.filtration_input import as_cloud, check_options

Weights = Tensor | ndarray | Callable[[Tensor], Tensor]


def distance_to_measure(
    x: Float[Tensor, "n c"], k: int, *, q: float = 2.0, metric: str = "euclidean"
) -> Float[Tensor, " n"]:
    """w_i = (1/k sum over the k nearest points j of D_ij^q)^(1/q), the point itself counting as one; differentiable.

    The distance to the uniform measure on the points with mass k/n (Chazal, Cohen-Steiner and Merigot, "Geometric
    inference for probability measures", 2011): small where points are dense, large at outliers. As weights of
    `vietoris_rips` it makes the DTM filtration with p = 1 (Anai et al., "DTM-based filtrations", 2020), in GUDHI
    `DTMRipsComplex(points, k=k, q=q)`.

    Args:
        x: (n, c) points, or (n, n) distances.
        k: neighbours, the point itself among them; 1 makes all weights 0.
        q: order, 1 or more.
        metric: "euclidean" for points, "precomputed" for distances.

    Returns:
        (n,) weights, in the unit of ``x``. Among equally near points the gradient is that of the k that torch picks; at
        a weight of 0 it is 0.

    Raises:
        ParameterError: k is not from 1 to n, or q is below 1.

    Examples:
        >>> line = torch.tensor([[0.0], [3.0], [4.0], [100.0]])
        >>> distance_to_measure(line, 2, q=1).tolist()
        [1.5, 0.5, 0.5, 48.0]
    """
    check_options(metric, None)
    x = as_cloud(x, metric, "x: ", "distance_to_measure") if metric == "precomputed" else real_rows(x, "x")
    k, q = whole(k, "k", most=len(x)), number(q, "q", least=1.0)
    if metric == "precomputed":
        nearest = x.double().topk(k, dim=1, largest=False).values
    else:
        points = x.detach().double()
        distance = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
        chosen = distance.topk(k, dim=1, largest=False).indices
        rows = torch.arange(len(x), device=x.device).repeat_interleave(k)
        ends = torch.stack([rows, chosen.reshape(-1)], dim=1)
        nearest = simplex_values(x.double(), ends).reshape(len(x), k)  # no slope where a point is its own neighbour
    size = nearest.detach().amax(dim=1, keepdim=True)
    share = nearest / torch.where(size > 0, size, 1.0)  # powers of numbers up to 1
    mean = torch.where(size > 0, share, 1.0).pow(q).mean(dim=1)
    return torch.where(size[:, 0] > 0, size[:, 0] * mean.pow(1 / q), 0.0).to(x.dtype)


def weights_of(weights: Weights | Sequence[Any], clouds: Sequence[Tensor], single: bool) -> list[Tensor]:
    """The weights of each cloud, in its type, checked.

    Args:
        weights: as `vietoris_rips` takes them.
        clouds: points or distances.
        single: whether one cloud was given, and ``weights`` are its own.

    Raises:
        DataError: a wrong number of weights, or one that is negative or not finite.
        ParameterError: the number of sequences is not that of the clouds.
    """
    if callable(weights):
        given: list[Any] = [weights(cloud) for cloud in clouds]
    else:
        given = [weights] if single else list(weights)  # type: ignore[arg-type]
    if len(given) != len(clouds):
        raise ParameterError(
            f"weights are for {len(given)} clouds, but there are {len(clouds)}: pass one (n,) per cloud"
        )
    checked = []
    for k, (own, cloud) in enumerate(zip(given, clouds, strict=True)):
        name = "" if single else f"cloud {k}: "
        own = real_tensor(own, f"{name}weights").to(cloud)
        if own.shape != (len(cloud),):
            raise DataError(f"{name}weights have the shape {tuple(own.shape)}: pass one per point, ({len(cloud)},)")
        row = first_nonfinite_row(own[:, None])
        if row is not None or bool((own.detach() < 0).any()):
            row = int((own.detach() < 0).nonzero()[0]) if row is None else row
            raise DataError(
                f"{name}the weight of point {row} is {float(own.detach()[row])}: pass finite numbers, 0 or more"
            )
        checked.append(own)
    return checked


def weighted_filtration(lengths: Float64[ndarray, "n n"], weights: Float64[ndarray, " n"]) -> Float64[ndarray, "n n"]:
    """Edge {i, j} enters at max(2 w_i, 2 w_j, D_ij + w_i + w_j); GUDHI's `WeightedRipsComplex`, twice the paper's.

    Args:
        lengths: (n, n) distances.
        weights: (n,) of the points; vertex i enters at 2 w_i.

    Examples:
        >>> weighted_filtration(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([0.0, 3.0]))
        array([[0., 6.], [6., 0.]])
    """
    sums = lengths + weights[:, None] + weights[None]
    latest = 2 * np.maximum(weights[:, None], weights[None])
    values: ndarray = np.maximum(sums, latest)
    values = np.maximum(values, values.T)  # the two sums round differently
    np.fill_diagonal(values, 0.0)
    return values


def weighted_components(pairs: Pairs, weights: Float64[ndarray, " n"]) -> Pairs:
    """``pairs`` with degree 0 by the elder rule for vertices of different age: of two components the later born dies.

    Args:
        pairs: pairs of the filtration of the edges; its merging edges come in order.
        weights: (n,) of the points; equal ones are as old as their index.
    """
    order = np.argsort(weights, kind="stable")  # from the oldest vertex to the youngest
    rank = np.empty_like(order)
    rank[order] = np.arange(len(weights))
    dead, left = elder_rule(rank[pairs.death[0]], len(weights))
    birth, essential = order[dead][:, None], np.sort(order[left])[:, None]
    return pairs._replace(birth=[birth, *pairs.birth[1:]], essential=[essential, *pairs.essential[1:]])


def weighted_values(
    x: Float[Tensor, "n c"],
    weights: Float[Tensor, " n"],
    simplices: Int64[Tensor, "k v"],
    *,
    precomputed: bool = False,
    tie_tolerance: float = 1e-6,
    tie_unit: float | None = None,
) -> Float[Tensor, " k"]:
    """v({i}) = 2 w_i, v(sigma) = max over its edges of max(2 w_i, 2 w_j, D_ij + w_i + w_j); differentiable twice.

    Args:
        x: (n, c) points, or (n, n) distances if ``precomputed``.
        weights: (n,) w.
        simplices: (k, v) vertices, -1 in unused entries.
        precomputed: whether ``x`` holds distances.
        tie_tolerance: edges within it of the latest one share its gradient, as in `simplex_values`.
        tie_unit: see `simplex_values`.
    """
    first, w = simplices[:, 0], weights.double()
    pairs = torch.tensor(list(combinations(range(simplices.shape[1]), 2)), device=x.device).reshape(-1, 2)
    ends = simplices[:, pairs]  # (k, e, 2)
    real = (ends >= 0).all(dim=2)
    i, j = ends[real].unbind(dim=1)
    length = simplex_values(
        x.double(),
        torch.stack([i, j], dim=1),
        precomputed=precomputed,
        tie_tolerance=tie_tolerance,
        tie_unit=tie_unit,
    )
    value = torch.maximum(length + w[i] + w[j], 2 * torch.maximum(w[i], w[j]))
    values = value.new_full(real.shape, -torch.inf).masked_scatter(real, value)  # (k, e)
    latest = values.detach().amax(dim=1, keepdim=True) if len(pairs) else values.new_empty(len(values), 1)
    unit = extent(x, precomputed=precomputed) if tie_unit is None else tie_unit
    tied = real & (values.detach() >= latest - tie_tolerance * unit)
    mean = torch.where(tied, values, 0.0).sum(dim=1) / tied.sum(dim=1).clamp_min(1)
    of_edges = latest[:, 0] + (mean - mean.detach())
    return torch.where(real.any(dim=1), of_edges, 2 * w[first]).to(x.dtype)

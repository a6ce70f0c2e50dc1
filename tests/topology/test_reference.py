"""Every fast function against its plain version in topokd.topology.reference: values and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.topology.clouds import random_cloud, random_distances
from topokd.topology import (
    chamfer,
    covering_radius,
    critical_edges,
    distances,
    farthest_point_sampling,
    gradient_kinds,
    kernels,
    match_costs,
    reference,
    sampling,
)
from topokd.topology.engines import ENGINES

Case = tuple[list[Any], dict[str, Any]]


def diagram(rng: np.random.Generator, most: int, whole: bool) -> torch.Tensor:
    size = int(rng.integers(0, most + 1))
    values = rng.integers(0, 5, size=(size, 2)).astype(float) if whole else rng.random((size, 2))
    return torch.from_numpy(np.cumsum(values, axis=1)).requires_grad_(True)


def two_diagrams(seed: int) -> Case:
    rng = np.random.default_rng(seed)
    return [diagram(rng, 12, seed % 2 == 0), diagram(rng, 12, seed % 2 == 0)], {}


def two_diagrams_and_a_scale(seed: int) -> Case:
    arguments, _ = two_diagrams(seed)
    return [*arguments, (0.5, 0.7, 1.0)[seed % 3]], {}


def points_and_simplices(seed: int) -> Case:
    """Simplices of 1 to 4 vertices; grids have many ties."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 3, size=(20, 3)) if seed % 2 else rng.normal(size=(20, 6))
    rows = np.stack([rng.permutation(20)[:4] for _ in range(7)])
    for row, size in zip(rows, rng.integers(1, 5, len(rows)), strict=True):
        row[size:] = -1
    x = torch.from_numpy(values.astype(float)).requires_grad_(True)
    return [x, torch.from_numpy(rows)], {}


def distances_and_simplices(seed: int) -> Case:
    (x, simplices), _ = points_and_simplices(seed)
    matrix = torch.from_numpy(reference.squared_distances(x.detach().numpy())).sqrt()
    return [matrix.requires_grad_(True), simplices], {"precomputed": True}


def points_and_a_start(seed: int) -> Case:
    """On a grid of 1/64: squared distances are exact, so a tie is one for every order of summation."""
    points = (64 * torch.from_numpy(random_cloud(seed, 60))).round() / 64
    points = points.float() if seed % 3 == 0 else points
    distinct = len(torch.unique(points, dim=0))
    return [points, max(1, distinct // 2)], {"start": seed % len(points)}


def points_and_a_subset(seed: int) -> Case:
    points = torch.from_numpy(random_cloud(seed, 60))
    return [points, torch.arange(0, len(points), 3)], {}


def points_and_a_gradient(seed: int) -> Case:
    """A gradient at some rows, or none, of a cloud whose rows are far apart, so that the system is well-conditioned."""
    rng = np.random.default_rng(seed)
    points = torch.from_numpy(3.0 * rng.permutation(40)[:20, None] + rng.random((20, 3)))
    slopes = torch.from_numpy(rng.normal(size=(20, 3)))
    slopes[rng.permutation(20)[: rng.integers(0, 21)]] = 0
    return [points, slopes], {"bandwidth": float(rng.uniform(0.5, 4.0))}


def sample_together(x: torch.Tensor, m: int, *, start: int) -> torch.Tensor:
    return sampling.sample_together([x], m, start)[0]


def simplex_values_by_torch(x: torch.Tensor, simplices: torch.Tensor) -> torch.Tensor:
    size = critical_edges.extent(x)
    return critical_edges.CriticalValues.apply(
        x, simplices, False, 1e-6 * size, critical_edges.EPS_DIST * size, size, False
    )


PAIRS: dict[str, tuple[Callable, Callable, Callable[[int], Case]]] = {
    "nearest_costs": (match_costs.nearest_costs, reference.nearest_costs, two_diagrams_and_a_scale),
    "nearest_costs, GPU": (match_costs.nearest_costs_in_blocks, reference.nearest_costs, two_diagrams_and_a_scale),
    "pwcd": (chamfer.persistence_weighted_chamfer, reference.persistence_weighted_chamfer, two_diagrams),
    "simplex_values": (critical_edges.simplex_values, reference.simplex_values, points_and_simplices),
    "simplex_values, GPU": (simplex_values_by_torch, reference.simplex_values, points_and_simplices),
    "simplex_values, precomputed": (critical_edges.simplex_values, reference.simplex_values, distances_and_simplices),
    "sampling": (farthest_point_sampling, reference.farthest_point_sampling, points_and_a_start),
    "sampling, GPU": (sample_together, reference.farthest_point_sampling, points_and_a_start),
    "covering_radius": (covering_radius, reference.covering_radius, points_and_a_subset),
    "diffeomorphic": (gradient_kinds.smooth_field, reference.diffeomorphic_gradient, points_and_a_gradient),
    "squared_distances": (
        lambda x: torch.from_numpy(distances.squared_distances(x)),
        lambda x: torch.from_numpy(reference.squared_distances(x)),
        lambda seed: ([random_cloud(seed, 90)], {}),
    ),
    "minimum_spanning_tree": (
        lambda f: torch.from_numpy(kernels.spanning.minimum_spanning_tree(f)),
        lambda f: torch.from_numpy(reference.minimum_spanning_tree(f)),
        lambda seed: ([random_distances(seed, 25)], {}),
    ),
}


def value_and_gradients(function: Callable, arguments: list[Any], options: dict[str, Any]) -> list[torch.Tensor | None]:
    """The result, and the gradients of a weighted sum of it."""
    inputs = [x.detach().clone().requires_grad_(x.requires_grad) if torch.is_tensor(x) else x for x in arguments]
    value = function(*inputs, **options)
    leaves = [x for x in inputs if torch.is_tensor(x) and x.requires_grad]
    if not leaves or not value.requires_grad:
        return [value.detach()]
    total = (value * torch.linspace(0.3, 1.0, value.numel(), dtype=value.dtype).reshape(value.shape)).sum()
    slopes = torch.autograd.grad(total, leaves, allow_unused=True)
    zeros = [torch.zeros_like(x) if slope is None else slope for x, slope in zip(leaves, slopes, strict=True)]
    return [value.detach(), *zeros]


@pytest.mark.parametrize("name", PAIRS)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_matches_reference(name: str, seed: int) -> None:
    fast, plain, case = PAIRS[name]
    arguments, options = case(seed)
    ours, expected = (value_and_gradients(function, arguments, options) for function in (fast, plain))
    if len(ours) != len(expected):  # no diagram, no gradient
        ours, expected = ours[:1], expected[:1]
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-12)


def test_blocks_of_the_gpu_path_do_not_change_the_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(match_costs, "MAX_BLOCK", 100)
    rng = np.random.default_rng(0)
    arguments = [torch.from_numpy(np.cumsum(rng.random((size, 2)), axis=1)) for size in (60, 90)]
    ours = match_costs.nearest_costs_in_blocks(*arguments, 0.7)
    torch.testing.assert_close(ours, reference.nearest_costs(*arguments, 0.7))


def test_the_reference_engine_is_in_the_reference_module() -> None:
    assert ENGINES["reference"].compute is reference.persistence_pairs

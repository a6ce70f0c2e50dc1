"""Farthest point sampling against its readable twin, and its corner cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.topology.clouds import random_cloud
from topokd.errors import DataError, ParameterError
from topokd.topology import covering_radius, farthest_point_sampling
from topokd.topology.sampling import _sample_together, _sample_torch


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("c", [1, 3, 64, 130])
def test_the_compiled_loop_equals_the_torch_loop(dtype: torch.dtype, c: int) -> None:
    generator = torch.Generator().manual_seed(c)
    points = torch.randn(300, c, generator=generator, dtype=dtype)
    assert torch.equal(farthest_point_sampling(points, 60, start=7), _sample_torch(points, 60, 7))


def test_a_step_in_all_clouds_at_once_equals_one_cloud_after_the_other() -> None:
    generator = torch.Generator().manual_seed(0)
    clouds = [torch.randn(n, 24, generator=generator) for n in (300, 40, 120)]
    clouds.append(clouds[0][:30].repeat(3, 1))  # duplicates
    together = _sample_together(clouds, 60, 7)
    assert [len(kept) for kept in together] == [60, 40, 60, 60]
    for kept, alone in zip(together, farthest_point_sampling(clouds, 60, start=7), strict=True):
        assert torch.equal(kept, alone)
    assert _sample_together([], 60, 7) == []


def test_ties_go_to_the_lowest_index() -> None:
    for seed in range(40):  # whole coordinates: distances are exact, and tie often
        points = np.random.default_rng(seed).integers(0, 4, size=(40, 2)).astype(np.float64)
        chosen = [0]
        distinct = len(np.unique(points, axis=0))
        while len(chosen) < distinct:
            nearest = ((points[:, None] - points[chosen][None]) ** 2).sum(-1).min(1)
            chosen.append(int(np.argmax(nearest)))
        assert farthest_point_sampling(points, distinct).tolist() == chosen


def test_more_points_than_rows_and_than_distinct_rows() -> None:
    points = torch.tensor([[0.0], [1.0], [0.0], [1.0], [5.0]])
    assert farthest_point_sampling(points, 50).tolist() == [0, 4, 1, 2, 3]
    assert farthest_point_sampling(points, 4, start=2).tolist() == [2, 4, 1, 0]
    assert farthest_point_sampling(torch.zeros(3, 2), 2).tolist() == [0, 1]


def test_covering_radius_is_the_hausdorff_distance() -> None:
    for seed in range(10):
        points = random_cloud(seed, 60)
        kept = farthest_point_sampling(points, 5)
        brute = np.linalg.norm(points[:, None] - points[kept.numpy()][None], axis=2).min(1).max()
        assert float(covering_radius(points, kept)) == pytest.approx(brute)


def test_the_radius_shrinks_and_is_within_twice_the_best() -> None:
    points = torch.from_numpy(np.random.default_rng(0).random((12, 2)))
    radii = [float(covering_radius(points, farthest_point_sampling(points, m))) for m in range(1, 12)]
    assert radii == sorted(radii, reverse=True)
    from itertools import combinations

    best = min(float(covering_radius(points, torch.tensor(kept))) for kept in combinations(range(12), 3))
    assert radii[2] <= 2 * best


def test_bad_input_is_refused() -> None:
    points = torch.zeros(4, 2)
    points[3, 0] = torch.inf
    with pytest.raises(DataError, match="point 3 of 4"):
        farthest_point_sampling(points, 2)
    with pytest.raises(DataError, match="n > 0"):
        farthest_point_sampling(torch.zeros(0, 2), 2)
    with pytest.raises(ParameterError, match="start is 9"):
        farthest_point_sampling(torch.zeros(4, 2), 2, start=9)
    with pytest.raises(ParameterError, match="at least one"):
        farthest_point_sampling(torch.zeros(4, 2), 0)
    with pytest.raises(ParameterError, match="empty"):
        covering_radius(torch.zeros(4, 2), torch.empty(0, dtype=torch.int64))


@pytest.mark.parametrize("integers", [False, True])
def test_passing_over_rows_changes_no_index(integers: bool) -> None:
    """Tight clusters, where most rows are settled by the triangle inequality; whole numbers, where distances tie."""
    from topokd.topology.kernels.sampling import farthest_points

    rng = np.random.default_rng(0)
    points = 10 * rng.normal(size=(20, 8))[rng.integers(20, size=3000)] + 0.1 * rng.normal(size=(3000, 8))
    points = np.round(points) if integers else points
    pruned, plain = np.zeros((2, 200), np.int64)
    assert farthest_points(points, pruned, True) > 0.5
    assert farthest_points(points, plain, False) == 0.0
    assert np.array_equal(pruned, plain)


def test_a_list_of_clouds_equals_the_clouds_one_by_one() -> None:
    clouds = [torch.from_numpy(random_cloud(seed, 50)) for seed in range(5)]
    for cloud, found in zip(clouds, farthest_point_sampling(clouds, 12, workers=2), strict=True):
        assert torch.equal(found, farthest_point_sampling(cloud, 12))

"""Farthest point sampling: its order, its corner cases, and the covering radius. test_reference.py has the values."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.topology.clouds import clouds
from topokd.errors import DataError, ParameterError
from topokd.topology import covering_radius, farthest_point_sampling, kernels, reference
from topokd.topology.sampling import sample_together


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("channels", [1, 3, 64, 130])
def test_the_compiled_loop_equals_the_reference_at_every_width(dtype: torch.dtype, channels: int) -> None:
    points = torch.randn(300, channels, generator=torch.Generator().manual_seed(channels), dtype=dtype)
    expected = reference.farthest_point_sampling(points, 60, start=7)
    assert torch.equal(farthest_point_sampling(points, 60, start=7), expected)


def test_clouds_sampled_together_equal_clouds_sampled_one_by_one() -> None:
    generator = torch.Generator().manual_seed(0)
    clouds = [torch.randn(n, 24, generator=generator) for n in (300, 40, 120)]
    clouds.append(clouds[0][:30].repeat(3, 1))  # duplicates
    together = sample_together(clouds, 60, 7)
    assert [len(kept) for kept in together] == [60, 40, 60, 60]
    for kept, alone in zip(together, farthest_point_sampling(clouds, 60, start=7), strict=True):
        assert torch.equal(kept, alone)
    assert sample_together([], 60, 7) == []


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_ties_go_to_the_lowest_index(seed: int) -> None:
    """Whole coordinates: distances are exact, and often tie."""
    points = np.random.default_rng(seed).integers(0, 4, size=(40, 2)).astype(np.float64)
    chosen = [0]
    distinct = len(np.unique(points, axis=0))
    while len(chosen) < distinct:
        nearest = ((points[:, None] - points[chosen][None]) ** 2).sum(-1).min(1)
        chosen.append(int(np.argmax(nearest)))
    assert farthest_point_sampling(points, distinct).tolist() == chosen


@settings(max_examples=40, deadline=None)
@given(points=clouds(30), m=st.integers(1, 40), start=st.integers(0, 29))
def test_indices_are_distinct_and_begin_with_start(points: np.ndarray, m: int, start: int) -> None:
    start = start % len(points)
    kept = farthest_point_sampling(points, m, start=start).tolist()
    assert kept[0] == start and len(kept) == len(set(kept)) == min(m, len(points))


def test_duplicates_follow_in_rising_order_when_all_distinct_rows_are_chosen() -> None:
    points = torch.tensor([[0.0], [1.0], [0.0], [1.0], [5.0]])
    assert farthest_point_sampling(points, 50).tolist() == [0, 4, 1, 2, 3]
    assert farthest_point_sampling(points, 4, start=2).tolist() == [2, 4, 1, 0]
    assert farthest_point_sampling(torch.zeros(3, 2), 2).tolist() == [0, 1]


def test_the_covering_radius_falls_with_m_and_is_within_twice_the_optimum() -> None:
    points = torch.from_numpy(np.random.default_rng(0).random((12, 2)))
    radii = [float(covering_radius(points, farthest_point_sampling(points, m))) for m in range(1, 12)]
    assert radii == sorted(radii, reverse=True)
    best = min(float(covering_radius(points, torch.tensor(kept))) for kept in combinations(range(12), 3))
    assert radii[2] <= 2 * best


def test_a_row_that_is_not_finite_is_named() -> None:
    points = torch.zeros(4, 2)
    points[3, 0] = torch.inf
    with pytest.raises(DataError, match="point 3 of 4"):
        farthest_point_sampling(points, 2)


def test_a_cloud_without_rows_is_rejected() -> None:
    with pytest.raises(DataError, match="n > 0"):
        farthest_point_sampling(torch.zeros(0, 2), 2)


@pytest.mark.parametrize(("m", "start", "message"), [(2, 9, "start is 9"), (0, 0, "at least 1")])
def test_impossible_options_are_rejected(m: int, start: int, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        farthest_point_sampling(torch.zeros(4, 2), m, start=start)


def test_the_covering_radius_of_no_points_is_rejected() -> None:
    with pytest.raises(ParameterError, match="empty"):
        covering_radius(torch.zeros(4, 2), torch.empty(0, dtype=torch.int64))


@pytest.mark.parametrize("integers", [False, True])
def test_skipping_rows_by_the_triangle_inequality_changes_no_index(integers: bool) -> None:
    """Tight clusters, where the inequality settles most rows; whole numbers, where distances tie."""
    rng = np.random.default_rng(0)
    points = 10 * rng.normal(size=(20, 8))[rng.integers(20, size=3000)] + 0.1 * rng.normal(size=(3000, 8))
    points = np.round(points) if integers else points
    pruned, plain = np.zeros((2, 200), np.int64)
    assert kernels.sampling.farthest_points(points, pruned, True) > 0.5
    assert kernels.sampling.farthest_points(points, plain, False) == 0.0
    assert np.array_equal(pruned, plain)


@settings(max_examples=10, deadline=None)
@given(several=st.lists(clouds(50), min_size=1, max_size=5))
def test_a_list_of_clouds_equals_its_clouds_one_by_one(several: list[np.ndarray]) -> None:
    for cloud, indices in zip(several, farthest_point_sampling(several, 12, workers=2), strict=True):
        assert torch.equal(indices, farthest_point_sampling(cloud, 12))

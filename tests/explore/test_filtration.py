"""The filtration that is drawn is the one that the engines compute."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topokd.explore.cloud import Cloud, describe, persistence_of
from topokd.explore.filtration import rips_filtration


@settings(max_examples=25, deadline=None)
@given(n=st.integers(3, 14), c=st.integers(1, 5), seed=st.integers(0, 10_000), grid=st.booleans())
def test_edges_and_triangles_enter_in_the_total_order(n: int, c: int, seed: int, grid: bool):
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 3, (n, c)).astype(float) if grid else rng.normal(size=(n, c))  # a grid has many ties
    found = rips_filtration(points)
    length = {(i, j): ((points[i] - points[j]) ** 2).sum() for i, j in combinations(range(n), 2)}
    order = sorted(length, key=lambda edge: (length[edge], edge)) if grid else sorted(length, key=lambda e: length[e])
    assert [tuple(edge) for edge in found.edges.tolist()] == order
    place = {edge: k for k, edge in enumerate(order)}
    expected = sorted((max(place[e] for e in combinations(t, 2)), t) for t in combinations(range(n), 3))
    assert [tuple(t) for t in found.triangles.tolist()] == [t for _, t in expected]
    assert found.completed_by.tolist() == [k for k, _ in expected]
    assert found.entered.tolist() == [sum(k <= last for k, _ in expected) for last in range(len(order))]
    assert len(found.triangles) == found.entered[-1]


def test_a_limit_lists_whole_edges_worth_and_counts_all():
    points = np.random.default_rng(0).normal(size=(30, 3))
    full, part = rips_filtration(points), rips_filtration(points, max_triangles=500)
    assert 400 < len(part.triangles) <= 500 and len(part.triangles) < part.entered[-1]
    np.testing.assert_array_equal(part.triangles, full.triangles[: len(part.triangles)])
    np.testing.assert_array_equal(part.entered, full.entered)
    assert part.entered[-1] == 30 * 29 * 28 / 6
    assert part.completed_by[-1] < full.completed_by[len(part.triangles)]  # no edge is cut in two


@pytest.mark.parametrize("max_dim", [1, 2])
def test_every_pair_lies_at_edges_of_the_described_filtration(max_dim: int):
    points = np.random.default_rng(1).normal(size=(35, 4))
    cloud = describe(Cloud(points), persistence_of(points, max_dim))
    rank = {tuple(sorted(edge)): k for k, edge in enumerate(cloud["edges"].tolist())}
    for dim, pairs in enumerate(cloud["pairs"]):
        for value, birth, death in zip(pairs["values"], pairs["birth"], pairs["death"], strict=True):
            for simplex, length in ((birth, value[0]), (death, value[1])):
                edges = [rank[tuple(sorted(edge))] for edge in combinations(simplex.tolist(), 2)]
                assert (cloud["lengths"][max(edges)] if edges else 0.0) == pytest.approx(length, rel=1e-6)
        assert len(pairs["essential"]) == (1 if dim == 0 else 0)

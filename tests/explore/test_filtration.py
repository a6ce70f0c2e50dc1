"""The filtration that is drawn is the one that the engines compute."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from topokd.explore.cloud import DrawnCloud, describe, persistence_of
from topokd.explore.filtration import rips_edges
from topokd.topology import vietoris_rips


@settings(max_examples=25, deadline=None)
@given(n=st.integers(3, 14), c=st.integers(1, 5), seed=st.integers(0, 10_000), grid=st.booleans())
def test_edges_enter_in_the_total_order(n: int, c: int, seed: int, grid: bool):
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 3, (n, c)).astype(float) if grid else rng.normal(size=(n, c))  # a grid has many ties
    edges, lengths = rips_edges(points)
    squared = {(i, j): ((points[i] - points[j]) ** 2).sum() for i, j in combinations(range(n), 2)}
    order = (
        sorted(squared, key=lambda edge: (squared[edge], edge)) if grid else sorted(squared, key=lambda e: squared[e])
    )
    assert [tuple(edge) for edge in edges.tolist()] == order
    np.testing.assert_allclose(lengths, [squared[edge] ** 0.5 for edge in order], rtol=1e-6)


@pytest.mark.parametrize("max_dim", [1, 2])
def test_every_pair_lies_at_edges_of_the_described_filtration(max_dim: int):
    points = np.random.default_rng(1).normal(size=(35, 4))
    cloud = describe(DrawnCloud(points), persistence_of(points, max_dim))
    rank = {tuple(sorted(edge)): k for k, edge in enumerate(cloud["edges"].tolist())}
    for dim, pairs in enumerate(cloud["pairs"]):
        for value, birth, death in zip(pairs["values"], pairs["birth"], pairs["death"], strict=True):
            for simplex, length in ((birth, value[0]), (death, value[1])):
                edges = [rank[tuple(sorted(edge))] for edge in combinations(simplex.tolist(), 2)]
                assert (cloud["lengths"][max(edges)] if edges else 0.0) == pytest.approx(length, rel=1e-6)
        assert len(pairs["essential"]) == (1 if dim == 0 else 0)


def test_the_cycles_sent_are_those_of_the_library():
    points = np.random.default_rng(2).normal(size=(40, 3))
    assert describe(DrawnCloud(points), persistence_of(points))["cycles"] is None
    cycles = describe(DrawnCloud(points), persistence_of(points, cycles=True))["cycles"]
    expected = vietoris_rips(torch.from_numpy(points), cycles=True).cycles
    assert expected is not None and len(cycles["starts"]) == len(expected) + 1
    for k, cycle in enumerate(expected):
        assert cycles["edges"][cycles["starts"][k] : cycles["starts"][k + 1]].tolist() == cycle.tolist()

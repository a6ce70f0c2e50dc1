"""Representative cycles: closed, born with their class, filled exactly when it dies, short."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from tests.topology.clouds import clouds, random_distances
from topokd.experiments.shapes import circle
from topokd.topology import squared_distances, vietoris_rips
from topokd.topology.engines import edge_ranks
from topokd.topology.engines.reference import ordered_simplices


def bounds(cycle: np.ndarray, ranks: np.ndarray, last: int) -> bool:
    """Whether the sum of some triangles whose edges have ranks up to ``last`` is the cycle, by elimination over Z/2."""
    basis: dict[int, int] = {}
    for i, j, k in ordered_simplices(np.where(ranks <= last, ranks, 0), 2):
        column = (1 << int(ranks[i, j])) ^ (1 << int(ranks[i, k])) ^ (1 << int(ranks[j, k]))
        while column and column.bit_length() in basis:
            column ^= basis[column.bit_length()]
        if column:
            basis[column.bit_length()] = column
    rest = 0
    for a, b in cycle:
        rest ^= 1 << int(ranks[a, b])
    while rest and rest.bit_length() in basis:
        rest ^= basis[rest.bit_length()]
    return rest == 0


def check_cycles(filtration: np.ndarray, persistence: object) -> None:
    ranks, _ = edge_ranks(filtration)
    for cycle, birth, death in zip(
        persistence.cycles, persistence.birth_simplices[1], persistence.death_simplices[1], strict=True
    ):
        edges = cycle.numpy()
        assert not (np.bincount(edges.ravel()) % 2).any()  # closed
        assert len({tuple(edge) for edge in edges.tolist()}) == len(edges)
        assert edges[0].tolist() == birth.tolist() and ranks[tuple(edges.T)].max() == ranks[tuple(birth)]
        dies = int(ranks[death][:, death].max())
        assert bounds(edges, ranks, dies) and not bounds(edges, ranks, dies - 1)


@settings(max_examples=40, deadline=None)
@given(points=clouds(16))
def test_a_cycle_is_born_and_filled_with_its_class(points: np.ndarray) -> None:
    check_cycles(squared_distances(points), vietoris_rips(points, cycles=True))


@pytest.mark.parametrize("seed", range(8))
def test_cycles_of_arbitrary_distances_are_valid(seed: int) -> None:
    d = random_distances(seed, 15)
    check_cycles(d, vietoris_rips(d, metric="precomputed", cycles=True))


def test_the_cycle_of_a_circle_runs_around_it_once() -> None:
    points = circle(80, np.random.default_rng(0), 0.02)
    persistence = vietoris_rips(points, cycles=True)
    k = int((persistence.diagrams[1][:, 1] - persistence.diagrams[1][:, 0]).argmax())
    cycle = persistence.cycles[k].numpy()
    assert len(cycle) < 40
    angle = np.arctan2(points[:, 1], points[:, 0])
    assert len(np.unique(cycle)) == len(cycle)  # simple
    assert np.histogram(angle[np.unique(cycle)], bins=8, range=(-np.pi, np.pi))[0].min() > 0


def test_a_class_that_never_dies_has_a_cycle_too() -> None:
    hexagon = torch.tensor([[np.cos(a), np.sin(a)] for a in np.arange(6) * np.pi / 3])
    persistence = vietoris_rips(hexagon, threshold=1.2, cycles=True)
    assert persistence.cycles == [] and [len(cycle) for cycle in persistence.essential_cycles] == [6]


def test_a_list_of_clouds_has_a_list_of_cycles_and_none_without_a_request() -> None:
    two = [circle(20, np.random.default_rng(k)) for k in range(2)]
    for persistence in vietoris_rips(two, cycles=True):
        assert len(persistence.cycles) == len(persistence.diagrams[1]) > 0
    assert vietoris_rips(two[0]).cycles is None

"""Diagrams from a search for neighbours equal those from the matrix of all distances, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.topology.clouds import random_cloud
from topokd.errors import DataError, ParameterError
from topokd.topology import squared_distances, vietoris_rips
from topokd.topology.engines import reduced
from topokd.topology.search import MAX_CHANNELS, use_search


def cloud_of(seed: int, most: int = 120) -> np.ndarray:
    """A random cloud, at times with a large hole, far outliers or duplicates."""
    rng = np.random.default_rng(seed)
    x = random_cloud(seed, most)[:, :MAX_CHANNELS]
    kind = seed // 10 % 4
    if kind == 1:
        n = int(rng.integers(3, most))
        angle = rng.random(n) * 2 * np.pi
        x = np.stack([np.cos(angle), np.sin(angle)], axis=1) * (1 + 0.3 * rng.random((n, 1)))
    if kind == 2:
        x = np.concatenate([x, x[rng.integers(0, len(x), 5)], x[:3] + 50 * rng.normal(size=x[:3].shape)])
    if kind == 3:
        x = np.round(x, 1)
    return x


def assert_same_pairs(x: np.ndarray, limit: float = np.inf) -> None:
    for max_dim in (0, 1):
        pairs = reduced.compute_from_points(x, max_dim, limit)
        expected = reduced.compute(squared_distances(x), max_dim, limit)
        for name in ("birth", "death", "essential"):
            for dim, (ours, theirs) in enumerate(zip(getattr(pairs, name), getattr(expected, name), strict=True)):
                np.testing.assert_array_equal(ours, theirs, err_msg=f"{name} of degree {dim}")


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 100_000), st.sampled_from([np.inf, np.inf, 0.2, 1.0, 0.0, -1.0]))
def test_pairs_equal_those_of_the_matrix(seed: int, limit: float) -> None:
    assert_same_pairs(cloud_of(seed), limit)


@pytest.mark.parametrize("seed", range(3))
def test_points_around_a_large_hole_are_peeled_off(seed: int) -> None:
    rng = np.random.default_rng(seed)
    angle = rng.random(700) * 2 * np.pi
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1) * (1 + [0.2, 0.5, 1.0][seed] * rng.random((700, 1)))
    assert_same_pairs(np.concatenate([x, 40 + x[:50]]))


@pytest.mark.parametrize("seed", range(20))
def test_diagrams_and_gradients_are_the_same_bits(seed: int) -> None:
    values = torch.from_numpy(cloud_of(seed))
    values = values.float() if seed % 2 else values
    seen = []
    for search in (False, True):
        x = values.clone().requires_grad_()
        persistence = vietoris_rips(x, search=search)
        sum(diagram.square().sum() for diagram in persistence.diagrams).backward()
        seen.append([*persistence.diagrams, *persistence.death_simplices, *persistence.essential, x.grad])
    for a, b in zip(*seen, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("scale", [1e-200, 1e-12, 1e12, 1e200])
def test_scale_does_not_matter(scale: float) -> None:
    x = np.random.default_rng(0).random((60, 3))
    plain, scaled = (vietoris_rips(values, search=True).death_simplices[1] for values in (x, scale * x))
    assert torch.equal(plain, scaled)


def test_equal_points_are_searched_once_and_the_pairs_stay_those_of_the_matrix() -> None:
    """Points that a sensor puts at the origin: a tree cannot separate them."""
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.random((200, 2)))
    x[torch.from_numpy(rng.permutation(200)[:90])] = 0.0
    by_search, by_matrix = (vietoris_rips(x, search=search) for search in (True, False))
    for dim in (0, 1):
        assert torch.equal(by_search.diagrams[dim], by_matrix.diagrams[dim])
        assert torch.equal(by_search.birth_simplices[dim], by_matrix.birth_simplices[dim])
        assert torch.equal(by_search.death_simplices[dim], by_matrix.death_simplices[dim])
    many = vietoris_rips(torch.cat([torch.zeros(200_000, 2), torch.ones(1, 2)]))
    assert many.diagrams[0].tolist() == [[0.0, pytest.approx(2**0.5)]]
    assert many.death_simplices[0].tolist() == [[0, 200_000]]


def test_many_points_need_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A matrix of 20,000 points would take 3.2 GB; the machine seems to have 300 MB."""
    monkeypatch.setattr("topokd.checks.available_memory", lambda: 300_000_000)
    monkeypatch.setattr("topokd.topology.engines.reduced.available_memory", lambda: 300_000_000)
    x = np.random.default_rng(0).random((20_000, 2))
    loops = vietoris_rips(x).diagrams[1]
    assert 4_000 < len(loops) < 7_000
    with pytest.raises(DataError, match="20,000 points"):
        vietoris_rips(x, search=False)
    monkeypatch.setattr("topokd.topology.engines.reduced.available_memory", lambda: 10_000)
    with pytest.raises(DataError, match=r"around the largest hole of 20,000 points.*threshold"):
        vietoris_rips(x)


def test_the_choice_follows_points_and_coordinates() -> None:
    chosen = {(n, c): use_search(None, torch.zeros(n, c), None) for n in (4096, 4097, 16385) for c in (3, 4, 12)}
    assert [key for key, searched in chosen.items() if searched] == [(4097, 3), (16385, 3), (16385, 4)]
    assert not use_search(None, torch.zeros(5000, 2), "weights")


@pytest.mark.invalid_arguments
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"engine": "reference"}, "engine='reference'"),
        ({"max_dim": 2}, "max_dim=2"),
        ({"time_limit": 1.0}, "time_limit"),
        ({"cycles": True}, "certificate or cycles"),
        ({"weights": torch.ones(4)}, "weights"),
        ({"x": torch.zeros(4, 12)}, "up to 11 coordinates, got 12"),
        ({"search": "yes"}, "search is 'yes'"),
    ],
)
def test_options_that_need_a_matrix_are_rejected(arguments: dict, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        vietoris_rips(**({"x": torch.rand(4, 2), "search": True} | arguments))

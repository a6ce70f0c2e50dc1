"""Sparse distances: time and memory of the stored edges, results of the full matrix."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from topokd import checks
from topokd.errors import DataError
from topokd.topology import Persistence, graphs, vietoris_rips

NAMES = ("diagrams", "birth_simplices", "death_simplices", "essential", "essential_simplices")


def random_graph(seed: int) -> tuple[Tensor, Tensor, int]:
    """Places and lengths of up to 70 vertices: complete to empty, with ties, infinite edges, some stored twice."""
    rng = np.random.default_rng(seed)
    n = int(rng.choice([1, 2, 3, 5, 10, 20, 40, 70]))
    a, b = np.triu_indices(n, 1)
    kept = rng.random(len(a)) < rng.choice([0, 0.05, 0.1, 0.2, 0.4, 1.0])
    a, b = a[kept], b[kept]
    x = rng.normal(size=(n, 2))
    lengths = np.linalg.norm(x[a] - x[b], axis=1) if seed % 3 else rng.random(len(a))
    if seed % 2:
        lengths = np.round(6 * lengths) / 6
    lengths[rng.random(len(a)) < 0.02] = np.inf
    swapped, twice = rng.random(len(a)) < 0.5, rng.random(len(a)) < 0.3
    rows, columns = np.where(swapped, b, a), np.where(swapped, a, b)
    places = np.stack([np.append(rows, columns[twice]), np.append(columns, rows[twice])])
    return torch.from_numpy(places), torch.from_numpy(np.append(lengths, lengths[twice])), n


def neighbours(n: int, k: int = 12) -> scipy.sparse.coo_matrix:
    """The graph that joins each of n points in the cube to its k nearest."""
    x = np.random.default_rng(0).random((n, 3))
    lengths, to = cKDTree(x).query(x, k + 1)
    a, b = np.repeat(np.arange(n), k), to[:, 1:].reshape(-1)
    _, once = np.unique(np.minimum(a, b) * n + np.maximum(a, b), return_index=True)
    low, high = np.minimum(a, b)[once], np.maximum(a, b)[once]
    return scipy.sparse.coo_matrix((lengths[:, 1:].reshape(-1)[once], (low, high)), shape=(n, n))


def differentiated(places: Tensor, lengths: Tensor, n: int, **options: Any) -> tuple[Persistence, Tensor]:
    """The diagrams, and a gradient that differs between all births and deaths."""
    lengths = lengths.clone().requires_grad_()
    matrix = torch.sparse_coo_tensor(places, lengths, (n, n), check_invariants=True)
    persistence = vietoris_rips(matrix, metric="precomputed", **options)
    values = torch.cat([*(d.reshape(-1) for d in persistence.diagrams), *persistence.essential])
    (values * torch.linspace(1, 2, len(values), dtype=values.dtype)).sum().backward()
    assert lengths.grad is not None
    return persistence, lengths.grad


def assert_equal(first: Persistence, second: Persistence) -> None:
    for name in NAMES:
        for a, b in zip(getattr(first, name), getattr(second, name), strict=True):
            assert a.dtype == b.dtype and torch.equal(a, b), name


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "degree 0": {"max_dim": 0},
    "threshold": {"threshold": 0.5},
    "no edge enters": {"threshold": 0.0},
    "ties": {"tie_tolerance": 0.1, "tie_unit": 1.0},
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", OPTIONS)
def test_a_graph_has_the_diagrams_simplices_and_gradients_of_its_matrix(
    name: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphs, "MATRIX_FROM", 2.0)  # of complete graphs, too
    for seed in range(60):
        places, lengths, n = random_graph(seed)
        given = places, lengths.to(dtype), n
        (graph, gradient), (full, expected) = (
            differentiated(*given, search=search, **OPTIONS[name]) for search in (None, False)
        )
        assert_equal(graph, full)
        torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_the_unit_of_a_graph_does_not_matter(scale: float) -> None:
    places, lengths, n = random_graph(10)
    plain, gradient = differentiated(places, lengths, n)
    scaled, other = differentiated(places, lengths * scale, n)
    assert torch.equal(scaled.death_simplices[1], plain.death_simplices[1])
    torch.testing.assert_close(scaled.diagrams[1] / scale, plain.diagrams[1])
    torch.testing.assert_close(other, gradient)


@pytest.mark.parametrize("seed", [4, 10, 22, 28])
def test_values_of_random_graphs_are_those_of_ripser(seed: int) -> None:
    places, lengths, n = random_graph(seed)
    graph = graphs.sparse_distances(torch.sparse_coo_tensor(places, lengths, (n, n), check_invariants=True), "")
    values, finite = graph.lengths(1.0).numpy(), graph.lengths(1.0).isfinite().numpy()
    compare_with_ripser(scipy.sparse.coo_matrix((values[finite], tuple(graph.ends[finite].T)), shape=(n, n)))


def test_values_of_nearest_neighbours_are_those_of_ripser() -> None:
    compare_with_ripser(neighbours(400, 8))


def compare_with_ripser(graph: scipy.sparse.coo_matrix) -> None:
    """Compare numbers and values with ripser's sparse mode, which computes in float32."""
    persistence = vietoris_rips(graph, metric="precomputed")
    theirs = pytest.importorskip("ripser").ripser(graph.tocsr(), distance_matrix=True, maxdim=1)["dgms"]
    for own, essential, expected in zip(persistence.diagrams, persistence.essential, theirs, strict=True):
        ours = np.concatenate([own.numpy(), np.stack([essential.numpy(), np.full(len(essential), np.inf)], axis=1)])
        assert len(ours) == len(expected) > 0
        for column in range(2):
            np.testing.assert_allclose(np.sort(ours[:, column]), np.sort(expected[:, column]), rtol=1e-6)


def test_memory_is_linear_in_the_stored_edges() -> None:
    """20,000 vertices: a matrix would take 3 GB."""
    graph = neighbours(20_000, 8)
    vietoris_rips(neighbours(50), metric="precomputed")  # compiles
    tracemalloc.start()
    persistence = vietoris_rips(graph, metric="precomputed")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 500 * graph.nnz
    assert len(persistence.diagrams[0]) + len(persistence.essential[0]) == 20_000


def test_vertices_without_edges_cost_no_matrix() -> None:
    one = scipy.sparse.coo_matrix(([1.5], ([7], [3])), shape=(200_000, 200_000))
    persistence = vietoris_rips(one, metric="precomputed")
    assert persistence.diagrams[0].tolist() == [[0.0, 1.5]] and persistence.death_simplices[0].tolist() == [[3, 7]]
    assert len(persistence.essential[0]) == 199_999


def test_a_vertex_joined_to_all_others_costs_no_matrix() -> None:
    n = 100_000
    rim = np.arange(1, n)
    low, high = np.concatenate([0 * rim, rim[:-1]]), np.concatenate([rim, rim[1:]])
    lengths = np.where(low == 0, 2.0, 1.0)
    lengths[-1] = 3.0  # opens the rim
    fan = vietoris_rips(scipy.sparse.coo_matrix((lengths, (low, high)), shape=(n, n)), metric="precomputed")
    assert [len(d) for d in fan.diagrams] == [n - 1, 0] and [len(e) for e in fan.essential] == [1, 0]


@pytest.mark.parametrize(
    "options",
    [
        {"cycles": True},
        {"certificate": True},
        {"weights": torch.ones(20)},
        {"time_limit": 60.0},
        {"engine": "reference"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_what_only_a_matrix_can_do_is_computed_from_one(options: dict[str, Any]) -> None:
    places, lengths, n = random_graph(4)
    assert n == 20
    matrix = torch.sparse_coo_tensor(places, lengths, (n, n), check_invariants=True)
    full = graphs.sparse_distances(matrix, "").full()
    assert_equal(*(vietoris_rips(x, metric="precomputed", **options) for x in (matrix, full)))


def test_a_graph_whose_matrix_does_not_fit_is_told_what_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "available_memory", lambda: 10**9)
    with pytest.raises(DataError, match=r"max_dim=2 needs all of them: leave it out"):
        vietoris_rips(neighbours(20_000, 2), metric="precomputed", max_dim=2)


@pytest.mark.invalid_arguments
@pytest.mark.parametrize(
    ("places", "lengths", "message"),
    [
        ([[0, 1, 1], [1, 2, 0]], [1.0, float("nan"), 1.0], r"the distance at \[1, 2\] is nan: leave out"),
        ([[0, 1], [1, 0]], [float("nan"), float("nan")], r"the distance at \[0, 1\] is nan"),
        ([[0, 2], [1, 1]], [1.0, -2.0], r"the distance at \[2, 1\] is -2.0: distances are not negative"),
        ([[0, 2], [1, 2]], [1.0, 0.5], r"the distance at \[2, 2\] is 0.5: a point is at distance 0"),
        ([[0, 1], [1, 0]], [1.0, 2.0], r"the edge \[0, 1\] is stored with two lengths, 1.0 and 2.0;"),
        ([[0, 0], [1, 1]], [1.0, 1.0], "an entry is stored twice"),
    ],
)
def test_a_stored_entry_that_is_no_distance_is_named(places: list, lengths: list, message: str) -> None:
    matrix = torch.sparse_coo_tensor(places, lengths, (3, 3), check_invariants=True)
    with pytest.raises(DataError, match=message):
        vietoris_rips(matrix, metric="precomputed")

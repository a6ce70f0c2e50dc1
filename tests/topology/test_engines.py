"""Every engine against the textbook reduction, against each other and against other people's software."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.topology.clouds import random_cloud, random_distances
from topokd.errors import DataError, ParameterError
from topokd.experiments.shapes import PRIMITIVES, features, uniform
from topokd.topology import vietoris_rips
from topokd.topology.distances import squared_distances
from topokd.topology.engines import Pairs, edge_ranks, giotto, reduced, reference
from topokd.topology.functions import bottleneck_distance


def keys_of(seed: int, most: int) -> np.ndarray:
    return random_distances(seed, most) if seed % 4 == 3 else squared_distances(random_cloud(seed // 2, most))


def limit_of(seed: int, keys: np.ndarray) -> float:
    return np.inf if seed % 3 else float(np.quantile(keys, 0.6))


def simplices(pairs: Pairs) -> list[list[tuple[int, ...]]]:
    both = [np.concatenate([b, d], axis=1) for b, d in zip(pairs.birth, pairs.death, strict=True)]
    return [sorted(map(tuple, rows.tolist())) for rows in (*both, *pairs.essential)]


def longest_edges(pairs: Pairs, ranks: np.ndarray) -> list[list[tuple[int, ...]]]:
    def rank(simplex: np.ndarray) -> int:
        return int(ranks[np.ix_(simplex, simplex)].max())

    both = [
        sorted((rank(b), rank(d)) for b, d in zip(births, deaths, strict=True))
        for births, deaths in zip(pairs.birth, pairs.death, strict=True)
    ]
    return [*both, *[sorted((rank(s),) for s in endless) for endless in pairs.essential]]


@pytest.mark.parametrize("part", range(4))
def test_reduced_finds_the_simplices_of_the_textbook_reduction(part: int) -> None:
    for seed in range(part * 60, part * 60 + 60):
        keys = keys_of(seed, 15)
        limit = limit_of(seed, keys)
        assert simplices(reduced.compute(keys, 1, limit)) == simplices(reference.compute(keys, 1, limit)), seed


@pytest.mark.parametrize("part", range(5))
def test_reduced_and_giotto_find_the_same_edges(part: int) -> None:
    for seed in range(1000 + part * 120, 1000 + part * 120 + 120):
        keys = keys_of(seed, 60)
        limit = limit_of(seed, keys)
        ranks, _ = edge_ranks(keys, limit)
        ours, theirs = (longest_edges(e.compute(keys, 1, limit), ranks) for e in (reduced, giotto))
        assert ours == theirs, seed


def test_giotto_finds_valid_simplices_of_degree_two() -> None:
    for seed in range(6):
        keys = squared_distances(np.random.default_rng(seed).normal(size=(11, 3)))
        ranks, _ = edge_ranks(keys)
        ours, textbook = (longest_edges(e.compute(keys, 2), ranks) for e in (giotto, reference))
        assert ours == textbook


FAMILIES = ["uniform", "gaussian", "features", "sphere", "torus"]


@pytest.mark.parametrize(
    ("family", "n"), [*((family, n) for family in FAMILIES for n in (150, 400)), ("features", 1024), ("uniform", 1024)]
)
def test_float32_diagrams_equal_giottos_own(family: str, n: int) -> None:
    from gph import ripser_parallel

    rng = np.random.default_rng(n)
    make = {
        "uniform": lambda: uniform(n, rng),
        "gaussian": lambda: rng.normal(size=(n, 64)),
        "features": lambda: features(n, rng),
        "sphere": lambda: features(n, rng, classes=0, spread=1.0),
        "torus": lambda: PRIMITIVES["torus"](n, rng),
    }
    distances = np.sqrt(squared_distances(make[family]())).astype(np.float32)
    ours = vietoris_rips(distances, metric="precomputed").diagrams
    theirs = ripser_parallel(distances, metric="precomputed", maxdim=1, n_threads=1)["dgms"]
    for mine, other in zip(ours, theirs, strict=True):
        other = other[np.isfinite(other[:, 1])]
        np.testing.assert_array_equal(mine.numpy()[np.lexsort(mine.numpy().T)], other[np.lexsort(other.T)])


@pytest.mark.filterwarnings("ignore:The input point cloud has more columns than rows")
def test_a_large_cloud_full_of_loops_does_not_depend_on_the_order_of_its_points() -> None:
    """Beyond what other engines finish: notes move and are tidied up on the way, differently in each order."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(1024, 64))
    keys = squared_distances(points / np.linalg.norm(points, axis=1, keepdims=True))
    order = rng.permutation(len(keys))
    found = [reduced.compute(k) for k in (keys, np.ascontiguousarray(keys[np.ix_(order, order)]))]
    spans = [
        longest_edges(pairs, edge_ranks(k, np.inf)[0])
        for pairs, k in zip(found, (keys, keys[np.ix_(order, order)]), strict=True)
    ]
    assert len(spans[0][1]) > 5000 and spans[0] == spans[1]


def test_gudhi_and_ripser_agree() -> None:
    gudhi, ripser = pytest.importorskip("gudhi"), pytest.importorskip("ripser")
    for seed in range(120):  # twelve of each family of tests/topology/clouds.py
        points = random_cloud(seed, 30)
        ours = vietoris_rips(points).diagrams[1].numpy()
        tree = gudhi.RipsComplex(points=points).create_simplex_tree(max_dimension=2)
        tree.compute_persistence()
        theirs = tree.persistence_intervals_in_dimension(1).reshape(-1, 2)
        assert bottleneck_distance(ours, theirs[np.isfinite(theirs[:, 1])]) < 1e-6
        if len(points) > 2:
            assert bottleneck_distance(ours, ripser.ripser(points)["dgms"][1]) < 1e-5
        assert gudhi.bottleneck_distance(ours, theirs) < 1e-6


@pytest.mark.parametrize("engine", ["reduced", "giotto-ph", "reference"])
def test_small_and_degenerate_clouds(engine: str) -> None:
    for points in (np.zeros((1, 3)), np.zeros((5, 3)), np.zeros((3, 0))):
        result = vietoris_rips(points, engine=engine)
        assert [len(d) for d in result.diagrams] == [0, 0]
        assert result.essential[0].tolist() == [0.0] and len(result.essential[1]) == 0
    two = vietoris_rips(np.array([[0.0], [2.0]]), engine=engine)
    assert two.diagrams[0].tolist() == [[0.0, 2.0]] and two.death_simplices[0].tolist() == [[0, 1]]


@pytest.mark.parametrize("engine", ["reduced", "giotto-ph", "reference"])
def test_threshold_keeps_what_outlives_it(engine: str) -> None:
    hexagon = torch.tensor([[np.cos(a), np.sin(a)] for a in np.arange(6) * np.pi / 3])
    result = vietoris_rips(hexagon, threshold=1.2, engine=engine)
    assert [len(d) for d in result.diagrams] == [5, 0]
    assert result.essential[1].tolist() == pytest.approx([1.0])
    nothing = vietoris_rips(hexagon, threshold=0.5, engine=engine)
    assert len(nothing.essential[0]) == 6
    whole = vietoris_rips(hexagon, engine=engine)
    assert whole.diagrams[1].tolist() == [pytest.approx([1.0, 3**0.5])]


def test_threshold_includes_edges_of_exactly_that_length() -> None:
    line = torch.arange(10, dtype=torch.float64)[:, None] * 0.1
    step = float(line[4, 0] - line[3, 0])
    assert len(vietoris_rips(line[3:5], threshold=step).diagrams[0]) == 1


def test_a_list_of_clouds_equals_the_clouds_one_by_one() -> None:
    clouds = [torch.from_numpy(random_cloud(seed, 80)) for seed in range(12)]
    for cloud, result in zip(clouds, vietoris_rips(clouds, workers=2), strict=True):
        alone = vietoris_rips(cloud)
        for a, b in zip(result.diagrams + result.death_simplices, alone.diagrams + alone.death_simplices, strict=True):
            assert torch.equal(a, b)


def test_loops_that_no_vertex_fills_are_found_also_past_the_first_quiet_moment() -> None:
    """The sweep may stop early only when nothing can come: here a small loop dies long before a big one is born."""
    angle = np.arange(30) * 2 * np.pi / 30
    big = 10 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    small = big[0] + 0.02 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points = np.concatenate([small, big[1:]])
    ours, textbook = (
        longest_edges(e.compute(squared_distances(points)), edge_ranks(squared_distances(points))[0])
        for e in (reduced, giotto)
    )
    assert ours == textbook and len(ours[1]) == 2


def test_bad_input_is_refused_in_words() -> None:
    cloud = torch.zeros(4, 2)
    cloud[2, 1] = torch.nan
    with pytest.raises(DataError, match="row 2 holds NaN"):
        vietoris_rips(cloud)
    with pytest.raises(DataError, match="cloud 1: row 2"):
        vietoris_rips([torch.zeros(4, 2), cloud])
    with pytest.raises(DataError, match="symmetric"):
        vietoris_rips(torch.tensor([[0.0, 1.0], [2.0, 0.0]]), metric="precomputed")
    with pytest.raises(DataError, match="square"):
        vietoris_rips(torch.zeros(2, 3), metric="precomputed")
    with pytest.raises(DataError, match="n > 0"):
        vietoris_rips(torch.zeros(0, 3))
    with pytest.raises(ParameterError, match="engine is 'ripser'"):
        vietoris_rips(cloud, engine="ripser")
    with pytest.raises(ParameterError, match="max_dim"):
        vietoris_rips(cloud, max_dim=3)
    with pytest.raises(ParameterError, match="degrees 0 and 1"):
        vietoris_rips(torch.zeros(4, 2), max_dim=2, engine="reduced")


@pytest.mark.parametrize("seed", range(6))
def test_degree_zero_alone_is_the_degree_zero_of_both(seed: int) -> None:
    """The spanning tree finds what the sweep finds, with ties and under a threshold too."""
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 4, size=(40, 2)).astype(float) if seed % 2 else rng.random((60, 3))
    for threshold in (None, 0.3, 1.0):
        alone = vietoris_rips(points, max_dim=0, threshold=threshold)
        both = vietoris_rips(points, max_dim=1, threshold=threshold)
        assert torch.equal(alone.diagrams[0], both.diagrams[0])
        assert torch.equal(alone.birth_simplices[0], both.birth_simplices[0])
        assert torch.equal(alone.death_simplices[0], both.death_simplices[0])
        assert torch.equal(alone.essential_simplices[0], both.essential_simplices[0])


def test_a_sweep_that_is_stopped_is_the_filtration_up_to_there() -> None:
    """The flag that a time limit raises, raised at once: every prefix would do, the first is the empty one."""
    from topokd.topology.distances import squared_distances
    from topokd.topology.kernels import rips

    keys = squared_distances(np.random.default_rng(0).random((50, 3)))
    whole = rips.pairs(keys, np.inf, np.zeros(1, np.uint8))
    stopped = rips.pairs(keys, np.inf, np.ones(1, np.uint8))
    assert whole[-2] == np.inf and stopped[-2] == 0.0
    assert len(stopped[0]) == 0 and len(stopped[2]) == 50


def test_a_time_limit_says_what_it_cut(caplog: pytest.LogCaptureFixture) -> None:
    points = np.random.default_rng(0).normal(size=(1200, 64))
    points /= np.linalg.norm(points, axis=1, keepdims=True)  # the hard regime: takes far longer than the limit
    vietoris_rips(points[:20])  # compiled before the clock runs
    with caplog.at_level("WARNING", logger="topokd.topology.persistence"):
        result = vietoris_rips(points, time_limit=0.05)
    assert result.cut is not None and f"cut the diagram at length {result.cut:.6g}" in caplog.text
    part = vietoris_rips(points, threshold=result.cut)
    assert part.cut is None
    for dim in (0, 1):
        assert torch.equal(part.diagrams[dim], result.diagrams[dim])
        assert len(part.essential[dim]) == len(result.essential[dim])
    with pytest.raises(ParameterError, match="only 'reduced' can stop"):
        vietoris_rips(points[:20], engine="giotto-ph", time_limit=1.0)

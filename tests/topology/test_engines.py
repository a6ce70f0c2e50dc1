"""Every engine against the textbook reduction, against the other engines and against other software."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.topology.clouds import clouds, filtrations
from topokd.errors import DataError, ParameterError
from topokd.experiments.shapes import PRIMITIVES, features, uniform
from topokd.topology import ENGINES, bottleneck_distance, kernels, squared_distances, vietoris_rips
from topokd.topology.engines import Pairs, edge_ranks

Filtration = tuple[np.ndarray, float]


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
    return [*both, *[sorted((rank(s),) for s in essential) for essential in pairs.essential]]


def edges_of(engine: str, filtration: np.ndarray, max_dim: int, limit: float = np.inf) -> list[list[tuple[int, ...]]]:
    ranks, _ = edge_ranks(filtration, limit)
    return longest_edges(ENGINES[engine].compute(filtration, max_dim, limit), ranks)


@settings(max_examples=240, deadline=None)
@given(case=filtrations(15))
def test_reduced_finds_the_simplices_of_the_textbook_reduction(case: Filtration) -> None:
    filtration, limit = case
    ours, textbook = (ENGINES[name].compute(filtration, 1, limit) for name in ("reduced", "reference"))
    assert simplices(ours) == simplices(textbook)


@pytest.mark.long
@settings(max_examples=500, deadline=None)
@given(case=filtrations(60))
def test_reduced_and_giotto_find_the_same_critical_edges(case: Filtration) -> None:
    assert edges_of("reduced", case[0], 1, case[1]) == edges_of("giotto-ph", case[0], 1, case[1])


@settings(max_examples=25, deadline=None)
@given(case=filtrations(10))
def test_giotto_finds_the_critical_edges_of_degree_two(case: Filtration) -> None:
    assert edges_of("giotto-ph", case[0], 2, case[1]) == edges_of("reference", case[0], 2, case[1])


FAMILIES: dict[str, Callable[[int, np.random.Generator], np.ndarray]] = {
    "uniform": uniform,
    "gaussian": lambda n, rng: rng.normal(size=(n, 64)),
    "features": features,
    "sphere": lambda n, rng: features(n, rng, classes=0, spread=1.0),
    "torus": PRIMITIVES["torus"],
}


@pytest.mark.parametrize(
    ("family", "n"), [*((family, n) for family in FAMILIES for n in (150, 400)), ("features", 1024), ("uniform", 1024)]
)
def test_float32_diagrams_equal_those_of_giotto(family: str, n: int) -> None:
    from gph import ripser_parallel

    points = FAMILIES[family](n, np.random.default_rng(n))
    distances = np.sqrt(squared_distances(points)).astype(np.float32)
    ours = vietoris_rips(distances, metric="precomputed").diagrams
    theirs = ripser_parallel(distances, metric="precomputed", maxdim=1, n_threads=1)["dgms"]
    for mine, other in zip(ours, theirs, strict=True):
        other = other[np.isfinite(other[:, 1])]
        np.testing.assert_array_equal(mine.numpy()[np.lexsort(mine.numpy().T)], other[np.lexsort(other.T)])


def test_a_large_cloud_with_thousands_of_classes_does_not_depend_on_the_order_of_its_points() -> None:
    """Larger than other engines can finish: annotations move and are compacted, differently in each order."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(1024, 64))
    filtration = squared_distances(points / np.linalg.norm(points, axis=1, keepdims=True))
    order = rng.permutation(len(filtration))
    permuted = np.ascontiguousarray(filtration[np.ix_(order, order)])
    ours, other = (edges_of("reduced", f, 1) for f in (filtration, permuted))
    assert len(ours[1]) > 5000 and ours == other


@pytest.mark.filterwarnings("ignore:The input point cloud has more columns than rows")
@settings(max_examples=100, deadline=None)
@given(points=clouds(30))
def test_diagrams_agree_with_gudhi_and_ripser(points: np.ndarray) -> None:
    gudhi, ripser = pytest.importorskip("gudhi"), pytest.importorskip("ripser")
    ours = vietoris_rips(points).diagrams[1].numpy()
    tree = gudhi.RipsComplex(points=points).create_simplex_tree(max_dimension=2)
    tree.compute_persistence()
    theirs = tree.persistence_intervals_in_dimension(1).reshape(-1, 2)
    assert bottleneck_distance(ours, theirs[np.isfinite(theirs[:, 1])]) < 1e-6
    if len(points) > 2:
        assert bottleneck_distance(ours, ripser.ripser(points)["dgms"][1]) < 1e-5


@pytest.mark.parametrize("size", [0, 1, 5, 20])
def test_the_bottleneck_distance_equals_that_of_gudhi(size: int) -> None:
    gudhi = pytest.importorskip("gudhi")
    rng = np.random.default_rng(size)
    first, second = (np.cumsum(rng.random((k, 2)), axis=1) for k in (size, 12))
    assert bottleneck_distance(first, second) == pytest.approx(gudhi.bottleneck_distance(first, second))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("shape", [(1, 3), (5, 3), (3, 0)])
def test_points_in_one_place_have_one_essential_component_and_no_pair(engine: str, shape: tuple[int, int]) -> None:
    result = vietoris_rips(np.zeros(shape), engine=engine)
    assert [len(d) for d in result.diagrams] == [0, 0]
    assert result.essential[0].tolist() == [0.0] and len(result.essential[1]) == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_two_points_merge_at_their_distance(engine: str) -> None:
    two = vietoris_rips(np.array([[0.0], [2.0]]), engine=engine)
    assert two.diagrams[0].tolist() == [[0.0, 2.0]] and two.death_simplices[0].tolist() == [[0, 1]]


@pytest.mark.parametrize("engine", ENGINES)
def test_classes_that_outlive_the_threshold_are_essential(engine: str) -> None:
    hexagon = torch.tensor([[np.cos(a), np.sin(a)] for a in np.arange(6) * np.pi / 3])
    result = vietoris_rips(hexagon, threshold=1.2, engine=engine)
    assert [len(d) for d in result.diagrams] == [5, 0]
    assert result.essential[1].tolist() == pytest.approx([1.0])
    assert len(vietoris_rips(hexagon, threshold=0.5, engine=engine).essential[0]) == 6
    assert vietoris_rips(hexagon, engine=engine).diagrams[1].tolist() == [pytest.approx([1.0, 3**0.5])]


def test_the_threshold_includes_edges_of_exactly_that_length() -> None:
    line = torch.arange(10, dtype=torch.float64)[:, None] * 0.1
    step = float(line[4, 0] - line[3, 0])
    assert len(vietoris_rips(line[3:5], threshold=step).diagrams[0]) == 1


@settings(max_examples=10, deadline=None)
@given(several=st.lists(clouds(80), min_size=1, max_size=6))
def test_a_list_of_clouds_equals_its_clouds_one_by_one(several: list[np.ndarray]) -> None:
    for cloud, result in zip(several, vietoris_rips(several, workers=2), strict=True):
        alone = vietoris_rips(cloud)
        for a, b in zip(result.diagrams + result.death_simplices, alone.diagrams + alone.death_simplices, strict=True):
            assert torch.equal(a, b)


def test_a_class_created_after_all_others_have_died_is_found() -> None:
    """The sweep may stop early only if no candidate is left: a small loop dies long before a large one is created."""
    angle = np.arange(30) * 2 * np.pi / 30
    large = 10 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    small = large[0] + 0.02 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    filtration = squared_distances(np.concatenate([small, large[1:]]))
    ours, theirs = (edges_of(engine, filtration, 1) for engine in ("reduced", "giotto-ph"))
    assert ours == theirs and len(ours[1]) == 2


NAN_CLOUD = torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.0, torch.nan], [0.0, 0.0]])


@pytest.mark.invalid_arguments
@pytest.mark.parametrize(
    ("x", "metric", "message"),
    [
        (NAN_CLOUD, "euclidean", "row 2 holds NaN"),
        ([torch.zeros(4, 2), NAN_CLOUD], "euclidean", "cloud 1: row 2"),
        (torch.tensor([[0.0, 1.0], [2.0, 0.0]]), "precomputed", "symmetric"),
        (torch.zeros(2, 3), "precomputed", "square"),
        (torch.zeros(0, 3), "euclidean", "n > 0"),
    ],
    ids=["nan", "nan in a list", "asymmetric", "not square", "no rows"],
)
def test_bad_data_is_rejected_and_the_message_says_where(x: torch.Tensor, metric: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        vietoris_rips(x, metric=metric)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "ripser"}, "engine is 'ripser'; choose 'auto' or one of 'reduced', 'giotto-ph', 'reference'"),
        ({"max_dim": 3}, "max_dim is 3; choose 0, 1 or 2"),
        ({"max_dim": 2, "engine": "reduced"}, "degrees up to 1; choose 'giotto-ph', 'reference'.* for max_dim=2"),
        ({"metric": "cosine"}, "metric is 'cosine'; choose one of 'euclidean', 'precomputed'"),
        ({"engine": "giotto-ph", "time_limit": 1.0}, "cannot stop early; with degrees up to 1 'reduced' can"),
        ({"time_limit": 0.0}, "time_limit is 0.0 s: pass a finite number, above 0"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_unknown_options_are_rejected_and_the_message_lists_the_choices(options: dict, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        vietoris_rips(torch.zeros(4, 2), **options)


@pytest.mark.parametrize("threshold", [None, 0.3, 1.0])
@settings(max_examples=15, deadline=None)
@given(points=clouds(60))
def test_degree_zero_alone_equals_the_degree_zero_of_both(threshold: float | None, points: np.ndarray) -> None:
    """The spanning tree finds the merges of the sweep, with ties and under a threshold too."""
    alone = vietoris_rips(points, max_dim=0, threshold=threshold)
    both = vietoris_rips(points, max_dim=1, threshold=threshold)
    assert torch.equal(alone.diagrams[0], both.diagrams[0])
    assert torch.equal(alone.birth_simplices[0], both.birth_simplices[0])
    assert torch.equal(alone.death_simplices[0], both.death_simplices[0])
    assert torch.equal(alone.essential_simplices[0], both.essential_simplices[0])


def test_a_stopped_sweep_is_that_of_a_shorter_filtration() -> None:
    """The flag of the time limit, raised before the first edge: no edge enters."""
    filtration = squared_distances(np.random.default_rng(0).random((50, 3)))
    whole = kernels.sweep.pairs(filtration, np.inf, np.zeros(1, np.uint8))
    stopped = kernels.sweep.pairs(filtration, np.inf, np.ones(1, np.uint8))
    assert whole.truncated_at == np.inf and stopped.truncated_at == 0.0
    assert len(stopped.merging_edge) == 0 and len(stopped.component) == 50


def test_a_time_limit_reports_where_it_truncated_the_diagram(caplog: pytest.LogCaptureFixture) -> None:
    points = np.random.default_rng(0).normal(size=(1200, 64))
    points /= np.linalg.norm(points, axis=1, keepdims=True)  # the slowest family: takes far longer than the limit
    vietoris_rips(points[:20])  # compiled before the clock runs
    with caplog.at_level("WARNING", logger="topokd.topology.persistence"):
        result = vietoris_rips(points, time_limit=0.05)
    assert result.truncated_at is not None
    assert f"truncated the diagram at length {result.truncated_at:.6g}" in caplog.text
    part = vietoris_rips(points, threshold=result.truncated_at)
    assert part.truncated_at is None
    for dim in (0, 1):
        assert torch.equal(part.diagrams[dim], result.diagrams[dim])
        assert len(part.essential[dim]) == len(result.essential[dim])

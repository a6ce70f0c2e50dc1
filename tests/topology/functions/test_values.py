"""Values against GUDHI, against definitions by brute force, and gradients at ties as documented."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from tests.topology.functions.diagrams import GRID, diagram, rips_diagrams
from topokd.topology import functions as F
from topokd.topology.functions import landscapes
from topokd.topology.functions.sliced import directions

SEEDS = range(20)  # two of each family; benchmarks/functions.py compares 1,000 clouds


def augmented(a: np.ndarray, b: np.ndarray, p: float) -> np.ndarray:
    """Costs (k + m, m + k): each point of one diagram has a separate partner on the diagonal in the other."""
    k, m = len(a), len(b)
    costs = np.zeros((k + m, k + m))
    costs[:k, :m] = np.linalg.norm(a[:, None] - b[None], ord=p, axis=2)
    costs[:k, m:] = ((a[:, 1] - a[:, 0]) * 2 ** (1 / p - 1))[:, None]
    costs[k:, :m] = ((b[:, 1] - b[:, 0]) * 2 ** (1 / p - 1))[None]
    return costs


def wasserstein_by_assignment(a: np.ndarray, b: np.ndarray, order: float, p: float) -> float:
    costs = augmented(a, b, p) ** order
    return costs[linear_sum_assignment(costs)].sum() ** (1 / order)


def bottleneck_by_permutations(a: np.ndarray, b: np.ndarray) -> float:
    costs = augmented(a, b, np.inf)
    rows = np.arange(len(costs))
    return min(costs[rows, list(order)].max(initial=0.0) for order in permutations(rows))


# -- against GUDHI ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def representations():  # type: ignore[no-untyped-def]
    return pytest.importorskip("gudhi.representations")


def pairs_of_diagrams(seed: int) -> list[tuple[Tensor, Tensor]]:
    both = zip(rips_diagrams(seed), rips_diagrams(seed + 1000), strict=True)
    return [(a, b) for a, b in both if len(a) and len(b)]


@pytest.mark.parametrize("seed", SEEDS)
def test_summaries_of_one_diagram_equal_gudhis(seed: int, representations) -> None:  # type: ignore[no-untyped-def]
    for a in rips_diagrams(seed):
        if len(a) == 0:
            continue
        top = float(a.max())
        grid, drawn = np.linspace(0, top, 23), {"resolution": 23, "sample_range": [0, top], "keep_endpoints": True}
        expected = {
            "entropy": representations.Entropy()(a.numpy()),
            "betti": representations.BettiCurve(predefined_grid=grid)(a.numpy()),
            "landscape": representations.Landscape(num_landscapes=4, **drawn)(a.numpy()),
            "silhouette": representations.Silhouette(weight=lambda q: (q[1] - q[0]) ** 2, **drawn)(a.numpy()),
            "image": representations.PersistenceImage(0.2, lambda q: q[1], [9, 7], [0, 1, 0, 0.5])(a.numpy()),
        }
        summaries = {
            "entropy": F.persistence_entropy(a),
            "betti": F.betti_curve(a, grid),
            "landscape": F.landscape(a, grid, k=4),
            "silhouette": F.silhouette(a, grid, power=2.0),
            "image": F.persistence_image(
                a,
                resolution=(7, 9),
                bandwidth=0.2,
                birth_range=(0.0, 1.0),
                persistence_range=(0.0, 0.5),
                weight_power=1.0,
            ),
        }
        for name, value in summaries.items():
            np.testing.assert_allclose(value.numpy().ravel(), np.ravel(expected[name]), rtol=1e-11, atol=1e-12 * top)


def test_the_default_image_is_gudhis(representations) -> None:  # type: ignore[no-untyped-def]
    a = diagram(12, 0)
    expected = representations.PersistenceImage().fit_transform([a.numpy()])[0]
    np.testing.assert_allclose(F.persistence_image(a).numpy().ravel(), expected, rtol=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_sliced_wasserstein_distance_equals_gudhis(seed: int, representations) -> None:  # type: ignore[no-untyped-def]
    for a, b in pairs_of_diagrams(seed):
        expected = representations.SlicedWassersteinDistance(num_directions=50)(a.numpy(), b.numpy())
        assert F.sliced_wasserstein_distance(a, b).item() == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_wasserstein_and_bottleneck_distance_are_within_heras_bounds(seed: int) -> None:
    """Hera promises d <= result <= (1 + delta) d; points on the diagonal are left out, as it asks."""
    hera = pytest.importorskip("gudhi.hera")
    for a, b in pairs_of_diagrams(seed):
        for order, p in ((1.0, np.inf), (2.0, np.inf), (2.0, 2.0)):
            theirs = hera.wasserstein_distance(a.numpy(), b.numpy(), order=order, internal_p=p, delta=1e-4)
            ours = F.wasserstein_distance(a, b, order=order, internal_p=p).item()
            assert ours <= theirs * (1 + 1e-9) + 1e-9 and theirs <= ours * (1 + 2e-4) + 1e-9
        theirs = hera.bottleneck_distance(a.numpy(), b.numpy(), delta=1e-9)
        assert F.bottleneck_distance(a, b).item() == pytest.approx(theirs, rel=1e-6, abs=1e-9)


# -- against definitions ----------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.tuples(st.integers(0, 25), st.integers(0, 25)),
    seed=st.integers(0, 10_000),
    form=st.sampled_from([{}, {"one_birth": True}, {"whole": True}, {"whole": True, "one_birth": True}]),
    order=st.sampled_from([1.0, 2.0, 3.5]),
    internal_p=st.sampled_from([1.0, 1.5, 2.0, np.inf]),
)
def test_wasserstein_distance_is_the_augmented_assignment(
    sizes: tuple[int, int], seed: int, form: dict[str, bool], order: float, internal_p: float
) -> None:
    a, b = (diagram(k, seed + side, **form) for side, k in enumerate(sizes))
    distance = F.wasserstein_distance(a, b, order=order, internal_p=internal_p).item()
    assert distance == pytest.approx(
        wasserstein_by_assignment(a.numpy(), b.numpy(), order, internal_p), rel=1e-10, abs=1e-12
    )


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.sampled_from([(0, 3), (3, 0), (1, 1), (2, 3), (3, 3), (4, 2), (1, 5)]),
    seed=st.integers(0, 10_000),
    form=st.sampled_from([{}, {"one_birth": True}, {"whole": True}]),
)
def test_bottleneck_distance_is_the_best_of_all_permutations(
    sizes: tuple[int, int], seed: int, form: dict[str, bool]
) -> None:
    a, b = (diagram(k, seed + side, **form) for side, k in enumerate(sizes))
    assert F.bottleneck_distance(a, b).item() == bottleneck_by_permutations(a.numpy(), b.numpy())


@settings(max_examples=30, deadline=None)
@given(sizes=st.tuples(st.integers(10, 60), st.integers(10, 60)), seed=st.integers(0, 10_000), whole=st.booleans())
def test_bottleneck_distance_is_the_least_cost_that_covers_everything(
    sizes: tuple[int, int], seed: int, whole: bool
) -> None:
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import maximum_bipartite_matching

    a, b = (diagram(k, seed + side, whole=whole) for side, k in enumerate(sizes))
    costs, distance = augmented(a.numpy(), b.numpy(), np.inf), F.bottleneck_distance(a, b).item()
    below = np.unique(costs[costs < distance])
    for bound, fits in [(distance, True), *[(cost, False) for cost in below[-1:]]]:
        mate = maximum_bipartite_matching(csr_matrix(costs <= bound), perm_type="column")
        assert bool((mate >= 0).all()) is fits


def test_gudhi_3_13_overestimates_a_bottleneck_distance_that_ours_gets_right() -> None:
    """Found by comparing both with all permutations: why the comparison above is with Hera."""
    a = np.array([[0.959, 1.328], [0.553, 1.147], [0.848, 0.994], [0.407, 1.316]])
    b = np.array([[0.043, 0.866], [0.415, 1.245], [0.010, 0.375]])
    assert F.bottleneck_distance(a, b).item() == bottleneck_by_permutations(a, b) == pytest.approx(0.4115)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(0, 20),
    k=st.integers(1, 6),
    seed=st.integers(0, 10_000),
    whole=st.booleans(),
    power=st.sampled_from([0.0, 0.5, 1.0, 2.0]),
)
def test_compiled_landscapes_and_silhouettes_equal_their_twins(
    n: int, k: int, seed: int, whole: bool, power: float
) -> None:
    points = torch.stack([diagram(n, seed, whole=whole), diagram(n, seed + 1, whole=whole)])
    for compiled, twin, option in (
        (landscapes._Highest.apply, landscapes._highest_torch, min(k, n)),
        (landscapes._Silhouette.apply, landscapes._silhouette_torch, power),
    ):
        runs = []
        for function in (compiled, twin):
            x = points.clone().requires_grad_()
            value = function(x, GRID, option)
            (value * torch.arange(value.numel()).view_as(value)).sum().backward()
            runs.append((value.detach(), x.grad))
        for ours, theirs in zip(*runs, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def sliced_by_autograd(a: Tensor, b: Tensor, num_directions: int) -> Tensor:
    lines = torch.from_numpy(directions(num_directions))
    on_diagonal = [d.sum(dim=1, keepdim=True) / 2 * torch.ones(2, dtype=d.dtype) for d in (a, b)]
    left = torch.cat([a, on_diagonal[1]]) @ lines.T
    right = torch.cat([b, on_diagonal[0]]) @ lines.T
    return (left.sort(dim=0).values - right.sort(dim=0).values).abs().sum(dim=0).mean()


@pytest.mark.parametrize("seed", range(5))
def test_sliced_wasserstein_distance_equals_its_twin_in_torch(seed: int) -> None:
    runs = []
    for function in (
        lambda a, b: F.sliced_wasserstein_distance(a, b, num_directions=20),
        lambda a, b: sliced_by_autograd(a, b, 20),
    ):
        a, b = diagram(15, seed).requires_grad_(), diagram(9, seed + 100).requires_grad_()
        value = function(a, b)
        value.backward()
        runs.append((value.detach(), a.grad, b.grad))
    for ours, twin in zip(*runs, strict=True):
        torch.testing.assert_close(ours, twin, rtol=1e-12, atol=1e-13)


# -- gradients at ties, as documented --------------------------------------------------------------------------------

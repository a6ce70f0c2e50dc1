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
from topokd.topology import vietoris_rips
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
        found = {
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
        for name, value in found.items():
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
    found = F.wasserstein_distance(a, b, order=order, internal_p=internal_p).item()
    assert found == pytest.approx(
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
    costs, found = augmented(a.numpy(), b.numpy(), np.inf), F.bottleneck_distance(a, b).item()
    below = np.unique(costs[costs < found])
    for bound, fits in [(found, True), *[(cost, False) for cost in below[-1:]]]:
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


def gradient(function, points: list[list[float]]) -> list[list[float]]:  # type: ignore[no-untyped-def]
    a = torch.tensor(points, dtype=torch.float64, requires_grad=True)
    function(a).backward()
    assert a.grad is not None
    return a.grad.tolist()


def test_at_equal_coordinates_of_a_pair_each_has_half_of_the_gradient() -> None:
    b = torch.tensor([[0.0, 4.0]], dtype=torch.float64)
    for distance in (F.wasserstein_distance, F.bottleneck_distance):
        assert gradient(lambda a, d=distance: d(a, b), [[0.5, 4.5]]) == [[0.5, 0.5]]


def test_pairs_that_tie_for_the_bottleneck_share_its_gradient() -> None:
    b = torch.tensor([[0.0, 4.0], [10.0, 14.0]], dtype=torch.float64)
    assert gradient(lambda a: F.bottleneck_distance(a, b), [[0.0, 4.5], [10.0, 14.5]]) == [[0, 0.5], [0, 0.5]]


def test_the_first_of_equal_tents_has_the_gradient_of_the_first_landscape() -> None:
    found = gradient(lambda a: F.landscape(a, [0.5], k=2)[0, 0] / 2**0.5, [[0.0, 4.0], [0.0, 4.0]])
    assert np.allclose(found, [[-1, 0], [0, 0]])


def test_birth_and_death_share_the_gradient_at_the_top_of_a_tent() -> None:
    found = gradient(lambda a: F.landscape(a, [2.0], k=1)[0, 0] / 2**0.5, [[0.0, 4.0]])
    assert np.allclose(found, [[-0.5, 0.5]])
    assert gradient(lambda a: F.landscape(a, [0.0, 4.0, 5.0], k=1).sum(), [[0.0, 4.0]]) == [[0, 0]]


def test_points_on_the_diagonal_have_no_gradient_in_entropy_and_powers_of_persistence() -> None:
    for function in (F.persistence_entropy, lambda a: F.total_persistence(a, 0.5)):
        found = gradient(function, [[0.0, 1.0], [0.0, 2.0], [3.0, 3.0]])
        assert found[2] == [0, 0] and found[0] != [0, 0]


def test_a_smoothed_betti_curve_tends_to_the_curve() -> None:
    a = diagram(10, 0)
    torch.testing.assert_close(F.betti_curve(a, GRID, width=1e-5), F.betti_curve(a, GRID))


# -- clouds -----------------------------------------------------------------------------------------------------------


def clouds(seed: int, n: int = 14) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 4, dtype=torch.float64, generator=generator)
    return x.requires_grad_(), (
        x.detach() + torch.randn(n, 4, dtype=torch.float64, generator=generator)
    ).requires_grad_()


def tree_length(distances: Tensor) -> Tensor:
    return vietoris_rips(distances, metric="precomputed", max_dim=0).diagrams[0][:, 1].sum()


def rtd_by_matrix(x: Tensor, y: Tensor) -> Tensor:
    """The definition, every step in torch on whole matrices."""
    a, b = (torch.cdist(z, z, compute_mode="donot_use_mm_for_euclid_dist") for z in (x, y))
    a, b = a / torch.quantile(a, 0.9), b / torch.quantile(b, 0.9)
    total = x.new_zeros(())
    for first, second in ((a, b), (b, a)):
        joint = torch.cat([torch.cat([first * 0, first], 1), torch.cat([first, torch.minimum(first, second)], 1)])
        total = total + F.total_persistence(vietoris_rips((joint + joint.T) / 2, metric="precomputed").diagrams[1])
    return total / 2


def rtd_lite_by_matrix(x: Tensor, y: Tensor) -> Tensor:
    a, b = (torch.cdist(z, z, compute_mode="donot_use_mm_for_euclid_dist") for z in (x, y))
    a, b = a / torch.quantile(a, 0.9), b / torch.quantile(b, 0.9)
    return (tree_length(a) + tree_length(b) - 2 * tree_length(torch.minimum(a, b))) / 2


def signature_by_matrix(x: Tensor, y: Tensor) -> Tensor:
    a, b = (torch.cdist(z, z, compute_mode="donot_use_mm_for_euclid_dist") for z in (x, y))
    total = x.new_zeros(())
    for points in (x, y):
        edges = vietoris_rips(points.detach(), max_dim=0).death_simplices[0]
        total = total + (a[edges[:, 0], edges[:, 1]] - b[edges[:, 0], edges[:, 1]]).square().sum() / 2
    return total


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    ("function", "twin"),
    [(F.rtd, rtd_by_matrix), (F.rtd_lite, rtd_lite_by_matrix), (F.signature_loss, signature_by_matrix)],
)
def test_a_function_of_clouds_equals_its_definition_on_whole_matrices(function, twin, seed: int) -> None:  # type: ignore[no-untyped-def]
    runs = []
    for compute in (function, twin):
        x, y = clouds(seed)
        value = compute(x, y)
        value.backward()
        runs.append((value.detach(), x.grad, y.grad))
    assert runs[0][0] > 0
    for ours, theirs in zip(*runs, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-10)


def test_rtd_does_not_see_rotations_and_scale_but_sees_a_torn_circle() -> None:
    angle = torch.linspace(0, 2 * torch.pi, 41, dtype=torch.float64)[:-1]
    circle = torch.stack([angle.cos(), angle.sin()], 1)
    torn = torch.stack([angle, angle.square()], 1)
    turned = 3 * circle @ torch.linalg.qr(torch.randn(2, 2, dtype=torch.float64))[0]
    assert F.rtd(circle, turned) < 1e-12 < 0.1 < F.rtd(circle, torn)
    assert F.rtd_lite(circle, turned) < 1e-12 < 0.1 < F.rtd_lite(circle, torn)


def test_duplicates_of_one_cloud_that_differ_in_the_other_count_in_the_signature() -> None:
    x, y = torch.zeros(2, 1), torch.tensor([[0.0], [3.0]])
    assert F.signature_loss(x, y).item() == pytest.approx(9.0)

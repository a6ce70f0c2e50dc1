"""Weighted filtrations against GUDHI's, their gradients against finite differences, and their use for outliers."""

from __future__ import annotations

import copy
import pickle
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.topology.clouds import clouds
from topokd.errors import DataError, ParameterError
from topokd.experiments.shapes import circle
from topokd.topology import TopologicalLoss, bottleneck_distance, distance_to_measure, vietoris_rips

gudhi = pytest.importorskip("gudhi")


def theirs(tree: object, dim: int) -> tuple[np.ndarray, np.ndarray]:
    tree.compute_persistence(homology_coeff_field=2, persistence_dim_max=True)
    pairs = tree.persistence_intervals_in_dimension(dim).reshape(-1, 2)
    return pairs[np.isfinite(pairs[:, 1])], pairs[np.isinf(pairs[:, 1]), 0]


@settings(max_examples=120, deadline=None)
@given(points=clouds(25), k=st.integers(1, 8), q=st.sampled_from([1.0, 2.0, 3.0]))
def test_the_dtm_filtration_is_that_of_gudhi(points: np.ndarray, k: int, q: float) -> None:
    from gudhi.dtm_rips_complex import DTMRipsComplex

    k = min(k, len(points))
    persistence = vietoris_rips(points, weights=partial(distance_to_measure, k=k, q=q))
    for dim in (0, 1):
        tree = DTMRipsComplex(points=points, k=k, q=q).create_simplex_tree(max_dimension=2)
        finite, essential = theirs(tree, dim)
        size = 1e-7 * max(1.0, float(np.ptp(points, axis=0).max()))
        assert bottleneck_distance(persistence.diagrams[dim].numpy(), finite) < size
        np.testing.assert_allclose(np.sort(persistence.essential[dim].numpy()), np.sort(essential), atol=size)


@settings(max_examples=60, deadline=None)
@given(points=clouds(20), seed=st.integers(0, 1000), share=st.sampled_from([None, 0.5, 1.5]))
def test_arbitrary_weights_are_those_of_gudhi(points: np.ndarray, seed: int, share: float | None) -> None:
    """Weights that differ by more than the distance too, where a vertex is later than the sum."""
    from gudhi.weighted_rips_complex import WeightedRipsComplex
    from scipy.spatial.distance import cdist

    size = float(np.ptp(points, axis=0).max()) or 1.0
    weights = np.random.default_rng(seed).random(len(points)) * size
    top = None if share is None else share * size
    persistence = vietoris_rips(points, weights=weights, threshold=top)
    limit = np.inf if top is None else top
    tree = WeightedRipsComplex(cdist(points, points), weights).create_simplex_tree(2)
    for dim in (0, 1):
        finite, _ = theirs(tree, dim)
        finite = finite[finite[:, 1] <= limit]
        own = persistence.diagrams[dim].numpy()
        assert bottleneck_distance(own, finite) < 1e-7 * size
    distances = cdist(points, points)
    same = vietoris_rips((distances + distances.T) / 2, metric="precomputed", weights=weights, threshold=top)
    for a, b in zip(persistence.diagrams, same.diagrams, strict=True):
        assert bottleneck_distance(a.numpy(), b.numpy()) < 1e-7 * size


@pytest.mark.parametrize("engine", ["reduced", "giotto-ph", "reference"])
def test_every_engine_has_weights(engine: str) -> None:
    points = circle(16, np.random.default_rng(0), 0.1)
    weighted, plain = (
        vietoris_rips(points, weights=partial(distance_to_measure, k=4), engine=e) for e in (engine, "reduced")
    )
    for a, b in zip(weighted.diagrams, plain.diagrams, strict=True):
        torch.testing.assert_close(a, b)


def test_weights_of_zero_are_the_plain_filtration() -> None:
    points = circle(40, np.random.default_rng(0), 0.1)
    plain = vietoris_rips(points)
    for weights in (np.zeros(40), partial(distance_to_measure, k=1)):
        for a, b in zip(vietoris_rips(points, weights=weights).diagrams, plain.diagrams, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("q", [1.0, 2.0, 3.5])
def test_gradients_are_those_of_finite_differences_in_points_and_weights(q: float) -> None:
    x = torch.randn(18, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    w = torch.rand(18, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)

    def by_measure(x: torch.Tensor) -> torch.Tensor:
        return sum(d.square().sum() for d in vietoris_rips(x, weights=partial(distance_to_measure, k=5, q=q)).diagrams)

    def by_weights(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return sum(d.square().sum() for d in vietoris_rips(x, weights=w).diagrams)

    assert torch.autograd.gradcheck(partial(distance_to_measure, k=5, q=q), (x,))
    assert torch.autograd.gradcheck(by_measure, (x,))
    assert torch.autograd.gradcheck(by_weights, (x, w))


def test_an_outlier_in_a_circle_hides_the_loop_from_the_plain_filtration_only() -> None:
    """The longest bar keeps most of its length."""
    points = np.concatenate([circle(120, np.random.default_rng(0), 0.02), [[0.0, 0.0]]])

    def longest(**options: object) -> float:
        loops = vietoris_rips(points, **options).diagrams[1]
        return float((loops[:, 1] - loops[:, 0]).max())

    assert longest() < 0.9 and longest(weights=partial(distance_to_measure, k=20)) > 1.2


def test_a_loss_with_weights_trains_and_is_copied() -> None:
    loss = TopologicalLoss(20, weights=partial(distance_to_measure, k=4))
    x = torch.randn(30, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    value = loss(x, x.detach() ** 2)
    value.backward()
    assert bool(x.grad.any())
    for twin in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert torch.equal(twin(x, x.detach() ** 2), value)


def test_points_in_one_place_have_a_gradient_without_nan() -> None:
    x = torch.zeros(6, 2, requires_grad=True)
    persistence = vietoris_rips(x, weights=partial(distance_to_measure, k=3))
    (sum(d.sum() for d in persistence.diagrams) + persistence.essential[0].sum()).backward()
    assert bool(x.grad.isfinite().all())


@pytest.mark.invalid_arguments
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.zeros(3), "shape"),
        (np.array([0.0, -1, 0, 0, 0]), "point 1 is -1.0"),
        (np.array([0.0, 0, np.nan, 0, 0]), "point 2"),
        (partial(distance_to_measure, k=6), "k is 6"),
        (partial(distance_to_measure, k=2, q=0.5), "q is 0.5"),
    ],
    ids=["shape", "negative", "nan", "k", "q"],
)
def test_impossible_weights_are_rejected(weights: object, message: str) -> None:
    with pytest.raises((DataError, ParameterError), match=message):
        vietoris_rips(torch.rand(5, 2), weights=weights)


def test_each_cloud_has_its_weights_and_no_certificate() -> None:
    x = torch.rand(5, 2)
    with pytest.raises(ParameterError, match="weights are for 1 clouds, but there are 2"):
        vietoris_rips([x, x], weights=[torch.zeros(5)])
    with pytest.raises(ParameterError, match="leave out weights"):
        vietoris_rips(x, weights=torch.zeros(5), certificate=True)
    with pytest.raises(DataError, match="cloud 1: the weight of point 0"):
        vietoris_rips([x, x], weights=[torch.zeros(5), -torch.ones(5)])

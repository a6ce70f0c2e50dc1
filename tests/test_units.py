"""Whatever is defined without a unit does not depend on one, and the rest scales as its definition says."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from topokd import topology as T
from topokd.distillation import (
    AffinityLoss,
    AttentionTransferLoss,
    RelationLoss,
    SimilarityLoss,
    StandardizedLogitLoss,
    saliency_map,
)
from topokd.topology.chamfer import nearest_costs

POWERS = (-40, -30, -20, -10, 10, 20, 30, 40)  # 1e-12 to 1e12; powers of two change no digit
GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(40, 6, generator=GENERATOR, dtype=torch.float64)
Y = torch.randn(40, 5, generator=GENERATOR, dtype=torch.float64)
A, B = (torch.rand(12, 2, generator=GENERATOR, dtype=torch.float64).cumsum(1) for _ in range(2))
GRID = torch.linspace(0, 2, 17, dtype=torch.float64)

LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {  # of features: free of the unit of either network
    "affinity": AffinityLoss(),
    "relation": RelationLoss(),
    "similarity": SimilarityLoss(),
    "attention": AttentionTransferLoss(),
    "topology": T.TopologicalLoss(20),
}
POINTS: dict[str, tuple[int, Callable[[Tensor, float], Tensor]]] = {  # of points: (degree, function)
    "farthest_point_sampling": (0, lambda x, s: T.farthest_point_sampling(x, 15).to(x)),
    "covering_radius": (1, lambda x, s: T.covering_radius(x, torch.arange(5))),
    "distance_to_measure": (1, lambda x, s: T.distance_to_measure(x, 4)),
    "diagram": (1, lambda x, s: T.vietoris_rips(x).diagrams[1]),
    "saliency": (0, lambda x, s: saliency_map(x, torch.roll(x, 1, 0) / s**2, None)),
    "rtd": (0, lambda x, s: T.rtd(x, Y.to(x))),
    "rtd_lite": (0, lambda x, s: T.rtd_lite(x, Y.to(x))),
}
DIAGRAMS: dict[str, tuple[int, Callable[[Tensor, Tensor, float], Tensor]]] = {  # of two diagrams
    "total_persistence": (1, lambda a, b, s: T.total_persistence(a)),
    "squared persistence": (2, lambda a, b, s: T.total_persistence(a, p=2)),
    "entropy": (0, lambda a, b, s: T.persistence_entropy(a)),
    "betti_curve": (0, lambda a, b, s: T.betti_curve(a, s * GRID)),
    "smooth betti_curve": (0, lambda a, b, s: T.betti_curve(a, s * GRID, width=0.125 * s)),
    "landscape": (1, lambda a, b, s: T.landscape(a, s * GRID)),
    "silhouette": (1, lambda a, b, s: T.silhouette(a, s * GRID)),
    "image": (-2, lambda a, b, s: T.persistence_image(a, bandwidth=0.25 * s)),
    "wasserstein": (1, lambda a, b, s: T.wasserstein_distance(a, b)),
    "wasserstein of order 2": (1, lambda a, b, s: T.wasserstein_distance(a, b, order=2, internal_p=2)),
    "bottleneck": (1, lambda a, b, s: T.bottleneck_distance(a, b)),
    "sliced": (1, lambda a, b, s: T.sliced_wasserstein_distance(a, b)),
    "costs of chamfer": (2, lambda a, b, s: nearest_costs(a, b, 1.0)),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", LOSSES)
def test_losses_of_features_are_free_of_the_unit_of_either_network(name: str, dtype: torch.dtype) -> None:
    loss, x, y = LOSSES[name], X.to(dtype), Y.to(dtype)
    expected = loss(x, y)
    assert float(expected) > 0
    for power in (-90, *POWERS, 90):
        for own, other in ((2.0**power, 1.0), (1.0, 2.0**power), (2.0**power, 2.0**-power)):
            own_rows = (own * x).requires_grad_(True)
            value = loss(own_rows, other * y)
            torch.testing.assert_close(value, expected, rtol=2e-4, atol=0, msg=f"{own:g}, {other:g}")
            value.backward()
            assert own_rows.grad is not None and bool(own_rows.grad.isfinite().all()) and bool(own_rows.grad.any())


def test_rows_of_very_different_size_have_the_affinities_of_their_directions() -> None:
    size = torch.tensor([1e-30, 1.0, 1e15, 1e30] * 10)[:, None]
    loss, x, y = AffinityLoss(), X.float(), Y.float()
    torch.testing.assert_close(loss(size * x, y), loss(x, y), rtol=1e-5, atol=0)


@pytest.mark.parametrize("factor", [1e-2, 1e6, 1e12, 1e20, 1e30])
def test_standardised_logits_do_not_overflow(factor: float) -> None:
    loss, x = StandardizedLogitLoss(), X.float()
    other = torch.roll(x, 1, 0)
    torch.testing.assert_close(loss(factor * x, other), loss(x, other), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", POINTS)
def test_functions_of_points_scale_as_defined(name: str, dtype: torch.dtype) -> None:
    degree, function = POINTS[name]
    expected = function(X.to(dtype), 1.0)
    for power in POWERS:
        unit = 2.0**power
        torch.testing.assert_close(function(unit * X.to(dtype), unit) / unit**degree, expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", [name for name in POINTS if name != "saliency"])
def test_functions_of_points_do_not_depend_on_the_origin(name: str) -> None:
    whole = (1024 * X).round()
    _, function = POINTS[name]
    for shift in (1.0, -(2.0**20), 2.0**30):
        torch.testing.assert_close(function(whole + shift, 1.0), function(whole, 1.0), rtol=1e-12, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", DIAGRAMS)
def test_functions_of_diagrams_scale_as_defined(name: str, dtype: torch.dtype) -> None:
    degree, function = DIAGRAMS[name]
    expected = function(A.to(dtype), B.to(dtype), 1.0)
    assert bool(expected.any())
    for power in POWERS:
        unit = 2.0**power
        value = function(unit * A.to(dtype), unit * B.to(dtype), unit) / unit**degree
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=0, msg=f"unit {unit:g}")


@pytest.mark.parametrize("name", ["wasserstein", "wasserstein of order 2", "bottleneck", "entropy", "costs of chamfer"])
def test_distances_of_diagrams_do_not_depend_on_where_the_filtration_begins(name: str) -> None:
    _, function = DIAGRAMS[name]
    a, b = ((1024 * diagram).round() for diagram in (A, B))
    for shift in (1.0, 2.0**30):
        torch.testing.assert_close(function(a + shift, b + shift, 1.0), function(a, b, 1.0), rtol=1e-12, atol=0)


def test_a_flat_response_without_a_stabiliser_is_a_map_of_zeros() -> None:
    ones = torch.ones(4, 3, requires_grad=True)
    saliency = saliency_map(ones, torch.ones(4, 3), torch.tensor([1, 4]), eps=0.0)
    saliency.sum().backward()
    assert np.array_equal(saliency.detach().numpy(), np.zeros(4)) and bool(ones.grad.isfinite().all())

"""The unit of length and the origin do not matter: diagrams scale with the cloud, gradients do not change."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tests.topology.clouds import random_cloud
from topokd.errors import DataError
from topokd.topology import TopologicalLoss, normalize_features, simplex_values, vietoris_rips

SCALES = [10.0**k for k in range(-12, 13, 3)]


def persistence(x: torch.Tensor, **options: object) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Diagrams of degrees 0 and 1, and the gradient of their total persistence with respect to the cloud."""
    x = x.clone().requires_grad_(True)
    diagrams = vietoris_rips(x, **options).diagrams
    total = sum((d[:, 1] - d[:, 0]).sum() for d in diagrams) + 0 * x.sum()
    return [d.detach() for d in diagrams], torch.autograd.grad(total, x)[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("metric", ["euclidean", "precomputed"])
@pytest.mark.parametrize("seed", [0, 1, 6, 8])
def test_a_scaled_cloud_has_the_scaled_diagram_and_the_same_gradient(
    seed: int, metric: str, scale: float, dtype: torch.dtype
) -> None:
    cloud = torch.from_numpy(random_cloud(seed))
    if metric == "precomputed":
        cloud = torch.cdist(cloud, cloud, compute_mode="donot_use_mm_for_euclid_dist")
        cloud = (cloud + cloud.T) / 2
        cloud.fill_diagonal_(0)
    power = 2.0 ** round(math.log2(scale))  # a power of two changes no digit, so that pairs and ties stay as they are
    (plain, one), (scaled, other) = (persistence((cloud * s).to(dtype), metric=metric) for s in (1.0, power))
    for a, b in zip(plain, scaled, strict=True):
        torch.testing.assert_close(b / power, a, rtol=1e-6 if dtype == torch.float32 else 1e-12, atol=0)
    torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("gradient", ["critical", "big_step", "diffeomorphic"])
@pytest.mark.parametrize("seed", range(3))
def test_a_scale_that_rounds_every_coordinate_changes_only_last_digits(
    seed: int, gradient: str, scale: float, dtype: torch.dtype
) -> None:
    """No ties, so that rounding does not change the pairs. The step of big-step gradients has the unit of length."""
    small, tiny = (1e-5, 1e-4) if dtype == torch.float32 else (1e-12, 1e-9)
    cloud = torch.from_numpy(np.random.default_rng(seed).normal(size=(40, 8)))
    (plain, one), (scaled, other) = (
        persistence((cloud * s).to(dtype), gradient=gradient, **({"step": 0.1 * s} if gradient == "big_step" else {}))
        for s in (1.0, scale)
    )
    for a, b in zip(plain, scaled, strict=True):
        torch.testing.assert_close(b.double() / scale, a.double(), rtol=small, atol=small)
    torch.testing.assert_close(other, one, rtol=tiny, atol=tiny)


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e160, 1e300])
def test_numbers_whose_squares_leave_float64_change_nothing(scale: float) -> None:
    power = 2.0 ** round(math.log2(scale))
    cloud = torch.from_numpy(np.random.default_rng(1).normal(size=(40, 32)))
    (plain, one), (scaled, other) = persistence(cloud), persistence(cloud * power)
    for a, b in zip(plain, scaled, strict=True):
        torch.testing.assert_close(b / power, a, rtol=1e-12, atol=0)
    torch.testing.assert_close(other, one, rtol=1e-9, atol=1e-12)


def test_the_origin_does_not_matter() -> None:
    cloud = torch.from_numpy(np.random.default_rng(0).integers(0, 1000, (40, 3)).astype(float))
    (plain, one), (moved, other) = persistence(cloud), persistence(cloud + 2.0**30)
    assert all(torch.equal(a, b) for a, b in zip(plain, moved, strict=True)) and torch.equal(one, other)


def test_distances_that_no_float_can_hold_are_rejected() -> None:
    with pytest.raises(DataError, match="overflow torch.float32: scale them down"):
        vietoris_rips(torch.tensor([[-3e38], [3e38]]))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_tolerance_of_ties_counts_extents_or_a_length(scale: float) -> None:
    """Two sides that differ by a millionth of the cloud are tied at every scale; by a length of 1e-6 at one of them."""
    triangle = torch.tensor([[0.0, 2.0], [-0.5, 0.0], [0.5, 1e-6]], dtype=torch.float64) * scale
    moved = []
    for unit in (None, 1.0):
        x = triangle.clone().requires_grad_(True)
        simplex_values(x, torch.tensor([[0, 1, 2]]), tie_tolerance=1e-6, tie_unit=unit).sum().backward()
        moved.append(int(x.grad.norm(dim=1).count_nonzero()))
    assert moved == [3, 3 if scale <= 1 else 2]


@pytest.mark.parametrize("how", ["l2", "mean_norm", "standardize"])
@pytest.mark.parametrize("scale", [1e-30, 1e-24, 1e-12, 1e12, 1e20, 1e30])
def test_normalised_features_are_free_of_the_unit(how: str, scale: float) -> None:
    x = torch.randn(20, 8, generator=torch.Generator().manual_seed(0))
    expected = normalize_features(x, how)
    scaled = (x * scale).requires_grad_(True)
    normalized = normalize_features(scaled, how)
    torch.testing.assert_close(normalized, expected, rtol=1e-5, atol=1e-6)
    weight = torch.randn(20, 8, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad((normalized * weight).sum(), scaled)
    y = x.clone().requires_grad_(True)
    (one,) = torch.autograd.grad((normalize_features(y, how) * weight).sum(), y)
    torch.testing.assert_close(gradient * scale, one, rtol=1e-4, atol=1e-5)


def test_rows_of_different_size_in_one_cloud_all_get_length_one() -> None:
    sizes = torch.tensor([[1e-35], [1e-20], [1.0], [1e19], [1e35]])
    x = torch.randn(5, 16, generator=torch.Generator().manual_seed(0)) * sizes
    torch.testing.assert_close(normalize_features(x).norm(dim=1), torch.ones(5))


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_the_loss_is_free_of_the_unit_of_both_networks(scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(60, 8, generator=generator), torch.randn(60, 12, generator=generator)
    loss, offsets = TopologicalLoss(20), torch.tensor([30, 60])
    torch.testing.assert_close(
        loss(student * scale, teacher / scale, offsets), loss(student, teacher, offsets), rtol=1e-4, atol=1e-6
    )

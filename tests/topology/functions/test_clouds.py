"""Functions of two clouds against their definitions on whole matrices."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from topokd.topology import functions as F
from topokd.topology import vietoris_rips

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

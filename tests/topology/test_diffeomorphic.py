"""The diffeomorphic gradient: equal to the critical one at the critical points, smooth elsewhere, and a descent."""

from __future__ import annotations

import pytest
import torch

from topokd.topology import TopologicalLoss, vietoris_rips


def cloud(seed: int = 0) -> torch.Tensor:
    return torch.randn(60, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def longest_loop(x: torch.Tensor, gradient: str, bandwidth: float | None = None) -> torch.Tensor:
    loops = vietoris_rips(x, gradient=gradient, bandwidth=bandwidth).diagrams[1]
    return (loops[:, 1] - loops[:, 0]).max()


def slope(x: torch.Tensor, gradient: str, bandwidth: float | None = None) -> torch.Tensor:
    x = x.clone().requires_grad_(True)
    return torch.autograd.grad(longest_loop(x, gradient, bandwidth), x)[0]


@pytest.mark.parametrize("seed", range(3))
def test_the_smooth_gradient_agrees_with_the_critical_one_at_the_critical_points(seed: int) -> None:
    critical, smooth = slope(cloud(seed), "critical"), slope(cloud(seed), "diffeomorphic")
    moved = (critical != 0).any(dim=1)
    assert 3 <= moved.sum() <= 5 and (smooth != 0).any(dim=1).all()
    torch.testing.assert_close(smooth[moved], critical[moved], rtol=1e-4, atol=1e-5)
    assert (critical * smooth).sum().item() == pytest.approx(critical.square().sum().item(), rel=1e-4)


def test_the_diagrams_are_the_same() -> None:
    critical, smooth = (vietoris_rips(cloud(), gradient=kind).diagrams for kind in ("critical", "diffeomorphic"))
    assert all(torch.equal(a, b) for a, b in zip(critical, smooth, strict=True))


def test_a_small_step_against_it_shortens_the_loop() -> None:
    x, step = cloud(), 1e-4
    before, direction = longest_loop(x, "critical").item(), slope(x, "diffeomorphic")
    after = longest_loop(x - step * direction, "critical").item()
    expected = step * slope(x, "critical").square().sum().item()
    assert before - after == pytest.approx(expected, rel=1e-2)


def test_a_narrow_bandwidth_leaves_the_critical_gradient() -> None:
    torch.testing.assert_close(slope(cloud(), "diffeomorphic", 1e-3), slope(cloud(), "critical"), rtol=1e-6, atol=1e-9)


def test_points_in_one_place_have_no_bandwidth_and_keep_their_gradient() -> None:
    student = torch.zeros(10, 3, requires_grad=True)
    TopologicalLoss(10, normalize="none", gradient="diffeomorphic")(student, torch.rand(10, 3)).backward()
    assert bool(student.grad.isfinite().all())

"""Theorem 1 and Algorithm 3: gradients of diagram coordinates."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import forward_ad

from topokd.errors import DataError
from topokd.topology import ENGINES, simplex_values, vietoris_rips


def cloud(n: int, c: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, c))).requires_grad_(True)


def weighted(diagrams: list[torch.Tensor]) -> torch.Tensor:
    """A loss with different weights of births, deaths and pairs, independent of the order of the pairs."""
    return torch.stack([(0.3 * d[:, 0].square() + d[:, 0] * d[:, 1] + d[:, 1].sin()).sum() for d in diagrams]).sum()


def total(x: torch.Tensor, engine: str = "reduced") -> torch.Tensor:
    return weighted(vietoris_rips(x, engine=engine).diagrams)


@pytest.mark.long
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("c", [2, 5, 20])
def test_gradcheck_passes_through_every_engine(engine: str, c: int) -> None:
    assert torch.autograd.gradcheck(
        lambda x: total(x, engine), cloud(9 if engine == "reference" else 14, c, seed=c), eps=1e-7, atol=1e-5
    )


def test_the_gradient_of_a_larger_cloud_matches_finite_differences() -> None:
    x = cloud(120, 8)
    (gradient,) = torch.autograd.grad(total(x), x)
    direction = torch.from_numpy(np.random.default_rng(1).normal(size=x.shape))
    step = 1e-7
    numeric = (total(x + step * direction) - total(x - step * direction)) / (2 * step)
    assert numeric.item() == pytest.approx((gradient * direction).sum().item(), rel=1e-5)


@pytest.mark.parametrize(
    ("n", "options"),
    [
        (10, {}),
        (100, {}),
        (300, {"tie_unit": 1.0}),
        (30, {"search": True}),
        (10, {"engine": "reference"}),
        (30, {"certificate": True}),
        (15, {"engine": "reference", "max_dim": 2, "threshold": 1.5}),
        (20, {"weights": torch.linspace(0, 0.5, 20, dtype=torch.float64)}),
        (30, {"metric": "precomputed"}),
        (30, {"max_dim": 0}),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_forward_mode_gives_the_derivative_along_the_tangent(n: int, options: dict, dtype: torch.dtype) -> None:
    x, tangent = cloud(n, 3).detach().to(dtype), cloud(n, 3, seed=1).detach().to(dtype)
    if "metric" in options:
        x, tangent = ((y[:, None] - y).abs().sum(dim=2) for y in (x, tangent))

    def values(points: torch.Tensor) -> torch.Tensor:
        persistence = vietoris_rips(points, **options)
        return torch.cat([d.reshape(-1) for d in persistence.diagrams])

    expected = (torch.autograd.functional.jacobian(values, x) * tangent).sum(dim=(1, 2))
    with forward_ad.dual_level():
        plain = values(x)
        assert forward_ad.unpack_dual(plain).tangent is None  # points without a tangent
        primal, found = forward_ad.unpack_dual(values(forward_ad.make_dual(x, tangent)))
    assert torch.equal(primal, values(x)) and torch.equal(plain, primal) and bool(expected.any())
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-6 if dtype == torch.float32 else 1e-12)


@pytest.mark.parametrize("gradient", ["diffeomorphic", "big_step"])
def test_a_gradient_without_a_forward_mode_says_so(gradient: str) -> None:
    x = cloud(10, 3).detach()
    with forward_ad.dual_level(), pytest.raises(NotImplementedError, match="jvp"):
        vietoris_rips(forward_ad.make_dual(x, x), gradient=gradient)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 60), channels=st.integers(1, 12))
def test_engines_give_the_same_gradient(seed: int, n: int, channels: int) -> None:
    x = cloud(n, channels, seed)
    first, second = (torch.autograd.grad(total(x, engine), x)[0] for engine in ("reduced", "giotto-ph"))
    torch.testing.assert_close(first, second)


def test_gradients_in_float32_are_those_of_float64_rounded() -> None:
    x = cloud(80, 16)
    (exact,) = torch.autograd.grad(total(x), x)
    single = x.detach().float().requires_grad_(True)
    (rounded,) = torch.autograd.grad(total(single), single)
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded.double(), exact, rtol=1e-5, atol=1e-5)


def test_near_duplicates_keep_their_direction_in_float32() -> None:
    """A float32 matrix-product distance is tens of percent off here; the gradient must stay a unit vector."""
    x = torch.tensor([[100.0, 100.0], [100.0, 100.0 + 2e-4], [130.0, 90.0]], requires_grad=True)
    shortest = vietoris_rips(x).diagrams[0][0, 1]
    shortest.backward()
    assert x.grad[1].tolist() == pytest.approx([0.0, 1.0], abs=1e-6)
    assert shortest.item() == pytest.approx((x[1, 1] - x[0, 1]).item(), rel=1e-6)


GRID = torch.cartesian_prod(torch.arange(5.0), torch.arange(5.0))


@pytest.mark.parametrize(
    "points", [GRID, torch.cat([GRID, GRID]), torch.zeros(6, 2)], ids=["grid", "doubled grid", "one place"]
)
def test_duplicates_and_grids_give_finite_gradients(points: torch.Tensor) -> None:
    x = points.clone().requires_grad_(True)
    result = vietoris_rips(x)
    assert all((d[:, 1] > d[:, 0]).all() for d in result.diagrams)
    (sum(d.sum() for d in result.diagrams) + x.sum() * 0).backward()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (2, 1, 0), (1, 0, 2)])
def test_a_tied_triangle_shares_its_gradient_evenly(order: tuple[int, ...]) -> None:
    """Isosceles, two longest edges: half each, in any order of the points."""
    points = torch.tensor([[0.0, 2.0], [-0.5, 0.0], [0.5, 0.0]], dtype=torch.float64)
    x = points[list(order)].clone().requires_grad_(True)
    simplex_values(x, torch.tensor([[0, 1, 2]])).sum().backward()
    side = (4.25) ** 0.5
    expected = torch.tensor([[0.0, 2.0 / side], [-0.25 / side, -1.0 / side], [0.25 / side, -1.0 / side]]).double()
    torch.testing.assert_close(x.grad, expected[list(order)])


@pytest.mark.parametrize("seed", range(8))
def test_a_tie_in_a_death_triangle_is_averaged_under_any_order_of_the_points(seed: int) -> None:
    """A loop of six points; its killing triangle has two equal longest edges, and no other length occurs twice."""
    points = torch.tensor(
        [[0.0, 2.0], [-1.0, 0.0], [1.0, 0.0], [-1.03, 1.3], [1.0, 1.35], [0.03, -0.9]], dtype=torch.float64
    )
    gradients = []
    for order in (torch.arange(len(points)), torch.from_numpy(np.random.default_rng(seed).permutation(len(points)))):
        x = points[order].clone().requires_grad_(True)
        diagram = vietoris_rips(x).diagrams[1]
        assert len(diagram) == 1
        diagram[:, 1].sum().backward()
        back = torch.empty_like(x)
        back[order] = x.grad
        gradients.append(back)
    torch.testing.assert_close(gradients[1], gradients[0])
    assert gradients[0].norm(dim=1).count_nonzero() == 3  # all three corners of the triangle move


@pytest.mark.parametrize(("tolerance", "moved"), [(1e-6, 2), (1e-2, 3)])
def test_edges_within_the_tolerance_share_the_gradient(tolerance: float, moved: int) -> None:
    x = torch.tensor([[0.0, 2.0], [-0.5, 0.0], [0.5, 1e-4]], dtype=torch.float64, requires_grad=True)
    simplex_values(x, torch.tensor([[0, 1, 2]]), tie_tolerance=tolerance).sum().backward()
    assert x.grad.norm(dim=1).count_nonzero() == moved


def test_precomputed_distances_receive_their_gradient() -> None:
    x = cloud(25, 4)
    (direct,) = torch.autograd.grad(total(x), x)
    difference = x[:, None] - x[None]
    squared = difference.square().sum(-1)
    distances = torch.where(squared > 0, squared, 1.0).sqrt() * (squared > 0)
    diagrams = vietoris_rips(distances, metric="precomputed").diagrams
    (through,) = torch.autograd.grad(weighted(diagrams), x)
    torch.testing.assert_close(through, direct)


@pytest.mark.parametrize("simplex", [[0, 5], [-2, 1]])
def test_vertices_without_a_point_are_rejected(simplex: list[int]) -> None:
    with pytest.raises(DataError, match=r"vertices -?\d to \d, but there are 5 points"):
        simplex_values(torch.rand(5, 3), torch.tensor([simplex]))


def test_backward_forms_no_matrix_of_all_pairs() -> None:
    """With 300,000 points a matrix of all pairs would need 720 GB."""
    x = torch.zeros(300_000, 2, requires_grad=True)
    with torch.no_grad():
        x[:, 0] = torch.arange(300_000)
    simplex_values(x, torch.tensor([[0, 7, 9], [5, 299_999, 8]])).sum().backward()
    assert x.grad[299_999, 0].item() == pytest.approx(1.0)

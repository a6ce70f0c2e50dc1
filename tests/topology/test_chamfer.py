"""PWCD against a loop over Eq. 2-3, and its gradient against Algorithm 4."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from topokd.topology import chamfer, kernels
from topokd.topology import persistence_weighted_chamfer as pwcd


def diagram(k: int, seed: int) -> torch.Tensor:
    return torch.from_numpy(np.cumsum(np.random.default_rng(seed).random((k, 2)), axis=1))


def by_loop(teacher: list[list[float]], student: list[list[float]], eps: float, scale: float) -> float:
    def cost(p: list[float], others: list[list[float]]) -> float:
        nearest = min((scale * ((p[0] - q[0]) ** 2 + (p[1] - q[1]) ** 2) for q in others), default=math.inf)
        return min(nearest, (p[1] - p[0]) ** 2 / 2)

    weights = [math.log(1 + max(p[1] - p[0], 0)) for p in teacher]
    recall = sum(w * cost(p, student) for w, p in zip(weights, teacher, strict=True)) / (sum(weights) + eps)
    return recall + (sum(cost(q, teacher) for q in student) / len(student) if student else 0.0)


def algorithm_four(teacher: list[list[float]], student: list[list[float]], eps: float) -> list[list[float]]:
    """Gradients of births and deaths as printed in Alg. 4."""
    gradient = [[0.0, 0.0] for _ in student]

    def nearest(p: list[float], others: list[list[float]]) -> tuple[int, float]:
        costs = [(p[0] - q[0]) ** 2 + (p[1] - q[1]) ** 2 for q in others]
        return costs.index(min(costs)), min(costs)

    weights = [math.log(1 + max(p[1] - p[0], 0)) for p in teacher]
    for w, p in zip(weights, teacher, strict=True):
        k, cost = nearest(p, student)
        if cost <= (p[1] - p[0]) ** 2 / 2:
            for axis in (0, 1):
                gradient[k][axis] += 2 * w / (sum(weights) + eps) * (student[k][axis] - p[axis])
    for k, q in enumerate(student):
        i, cost = nearest(q, teacher)
        if cost <= (q[1] - q[0]) ** 2 / 2:
            for axis in (0, 1):
                gradient[k][axis] += 2 / len(student) * (q[axis] - teacher[i][axis])
        else:
            gradient[k][0] -= (q[1] - q[0]) / len(student)
            gradient[k][1] += (q[1] - q[0]) / len(student)
    return gradient


@settings(max_examples=40, deadline=None)
@given(m=st.integers(0, 12), k=st.integers(0, 12), seed=st.integers(0, 10_000), scale=st.sampled_from([0.5, 1.0]))
def test_the_value_is_equations_two_and_three(m: int, k: int, seed: int, scale: float) -> None:
    teacher, student = diagram(m, seed), diagram(k, seed + 1)
    expected = by_loop(teacher.tolist(), student.tolist(), 1e-6, scale)
    assert pwcd(teacher, student, match_scale=scale).item() == pytest.approx(expected, abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_gradient_is_algorithm_four(seed: int) -> None:
    teacher, student = diagram(9, seed), diagram(7, seed + 50).requires_grad_(True)
    pwcd(teacher, student).backward()
    expected = algorithm_four(teacher.tolist(), student.tolist(), 1e-6)
    torch.testing.assert_close(student.grad, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_diagrams_in_half_precision_are_not_read_as_float64(dtype: torch.dtype) -> None:
    """Compiled calls that took them for float64 would read and write four times their memory."""
    teacher, student = diagram(9, 0).to(dtype), diagram(7, 1).to(dtype).requires_grad_()
    loss = pwcd(teacher, student)
    loss.backward()
    exact = student.detach().double().requires_grad_()
    pwcd(teacher.double(), exact).backward()
    assert loss.dtype == student.grad.dtype == dtype
    torch.testing.assert_close(student.grad.double(), exact.grad, rtol=0.05, atol=0.01)


def test_gradcheck_passes_in_both_diagrams() -> None:
    teacher, student = diagram(6, 3).requires_grad_(True), diagram(5, 4).requires_grad_(True)
    assert torch.autograd.gradcheck(pwcd, (teacher, student))


def test_the_two_conventions_differ_by_half_the_match() -> None:
    teacher, student = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 1.2]])
    assert pwcd(teacher, student, match_scale=0.5).item() == pytest.approx(0.5 * pwcd(teacher, student).item())


def test_an_empty_diagram_leaves_the_diagonal_costs_of_the_other() -> None:
    none, some = torch.empty(0, 2), torch.tensor([[0.0, 1.0], [0.0, 3.0]])
    assert pwcd(none, none).item() == 0
    weights = [math.log(2), math.log(4)]
    assert pwcd(some, none, eps=0.0).item() == pytest.approx((weights[0] * 0.5 + weights[1] * 4.5) / sum(weights))
    assert pwcd(none, some).item() == pytest.approx((0.5 + 4.5) / 2)
    student = none.clone().requires_grad_(True)
    pwcd(some, student).backward()
    assert student.grad.shape == (0, 2)


def test_equally_near_points_share_the_gradient() -> None:
    teacher = torch.tensor([[0.0, 4.0]])
    twins = torch.tensor([[0.0, 3.0], [0.0, 3.0], [0.0, 5.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(chamfer.recall_term(teacher, twins, eps=0.0), twins)
    assert gradient[:, 1].tolist() == pytest.approx([-0.5, -0.5, 1.0])  # two places at distance 1, half each, 2 * 0.5


TINY = np.array([[0.0, 1e-170], [0.0, 3e-162], [0.0, 1.0]])


@pytest.mark.parametrize("others", [np.zeros((2, 2)), TINY, TINY - 1e-165], ids=["zeros", "same", "shifted"])
def test_nearest_places_are_found_if_the_square_of_their_distance_underflows(others: np.ndarray) -> None:
    _, _, columns, _, places, _ = kernels.chamfer.costs(TINY, others, 1.0)
    assert set(columns.tolist()) <= set(range(len(places)))


def test_the_least_match_scale_costs_next_to_nothing() -> None:
    assert pwcd(torch.from_numpy(TINY), torch.from_numpy(TINY), match_scale=1e-300).item() == 0


def test_memory_grows_linearly_with_the_diagrams() -> None:
    from topokd.experiments.measurement import process_peak, reset_process_peak

    teacher, student = diagram(20_000, 1).float(), diagram(20_000, 2).float().requires_grad_(True)
    before = reset_process_peak()
    if before is None:
        pytest.skip("this system does not report the peak memory of a process")
    pwcd(teacher, student).backward()
    assert process_peak() - before < 200e6  # all pairs would be 1.6 GB


@pytest.mark.parametrize("size", [10, 1000])
@pytest.mark.parametrize("types", [("float32", "float32"), ("float32", "float64"), ("float64", "float32")], ids=str)
@pytest.mark.parametrize("scale", [1e18, 4e18])
def test_sums_of_squares_beyond_float32_do_not_make_a_finite_distance_infinite(
    scale: float, types: tuple[str, str], size: int
) -> None:
    """Weights times costs overflowed, and infinity divided by infinity is NaN, though the quotient is finite."""
    generator = torch.Generator().manual_seed(0)
    pairs = [torch.rand(size, 2, generator=generator).sort(dim=1).values * scale for _ in types]
    teacher, student = (pair.to(getattr(torch, name)) for pair, name in zip(pairs, types, strict=True))
    student.requires_grad_()
    value = pwcd(teacher, student)
    exact = pwcd(teacher.double(), student.detach().double())
    torch.testing.assert_close(value.double(), exact, rtol=1e-5, atol=0)
    value.backward()
    assert bool(student.grad.isfinite().all()) and bool(student.grad.any())

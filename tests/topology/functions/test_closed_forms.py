"""Closed forms for one diagram on the CPU against the formulas in torch, which lists of diagrams take."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import forward_ad, gradgradcheck

from tests.topology.functions.diagrams import IMAGE, OF_ONE, OF_TWO, diagram
from topokd.topology import functions as F
from topokd.topology.functions import images

CLOSED: dict[str, Callable[..., Tensor]] = {
    **{f"total_persistence, p={p}": partial(F.total_persistence, p=p) for p in (0, 0.5, 1, 2, 3.5)},
    "persistence_entropy": F.persistence_entropy,
    **{f"persistence_image, {p}": partial(F.persistence_image, weight_power=p, **IMAGE) for p in (0.0, 0.5, 1.0, 2.0)},
}


@settings(max_examples=100, deadline=None)
@given(
    name=st.sampled_from(list(CLOSED)),
    n=st.integers(1, 20),
    seed=st.integers(0, 10_000),
    whole=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    transposed=st.booleans(),
)
def test_value_and_gradient_of_one_diagram_are_those_of_a_list(
    name: str, n: int, seed: int, whole: bool, dtype: torch.dtype, transposed: bool
) -> None:
    runs = []
    for given_as in (lambda x: x, lambda x: [x]):
        points = diagram(n, seed, whole=whole).to(dtype)
        x = (points.T.contiguous().T if transposed else points).requires_grad_()
        value = CLOSED[name](given_as(x)).squeeze(0)
        (value * torch.arange(1, 1 + value.numel()).view_as(value)).sum().backward()
        runs.append((value.detach(), x.grad))
    tolerance = 1e-12 if dtype == torch.float64 else 2e-5
    for ours, formula in zip(*runs, strict=True):
        torch.testing.assert_close(ours, formula, rtol=tolerance, atol=tolerance * float(formula.abs().max() + 1))


@pytest.mark.parametrize("name", CLOSED)
def test_a_gradient_of_one_diagram_can_be_differentiated_again(name: str) -> None:
    assert gradgradcheck(CLOSED[name], diagram(5, 0).requires_grad_())


@pytest.mark.parametrize("name", CLOSED)
def test_derivatives_of_torch_func_and_of_forward_mode_are_those_of_backward(name: str) -> None:
    x, along = diagram(5, 0), torch.randn(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    leaf = x.clone().requires_grad_()
    CLOSED[name](leaf).sum().backward()
    assert leaf.grad is not None
    torch.testing.assert_close(torch.func.grad(lambda z: CLOSED[name](z).sum())(x), leaf.grad)
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(CLOSED[name](forward_ad.make_dual(x, along)).sum()).tangent
    assert tangent is not None
    torch.testing.assert_close(tangent, (leaf.grad * along).sum())


def test_an_image_of_many_pixels_is_that_of_the_compiled_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    x = diagram(12, 0)
    compiled = CLOSED["persistence_image, 0.5"](x)
    monkeypatch.setattr(images, "MAX_COMPILED", 1)
    torch.testing.assert_close(CLOSED["persistence_image, 0.5"](x), compiled, rtol=1e-12, atol=1e-13)


def test_a_total_beyond_the_diagrams_type_is_infinite() -> None:
    assert F.total_persistence(torch.tensor([[0.0, 1e20]]), p=2) == torch.inf


def test_the_entropy_of_no_pair_and_of_one_is_plus_zero() -> None:
    for pairs in (torch.empty(0, 2), torch.tensor([[0.0, 1.0]])):
        for value in (F.persistence_entropy(pairs), F.persistence_entropy([pairs])[0]):
            assert math.copysign(1, value.item()) == 1 and value == 0


def test_pairs_too_short_to_count_leave_the_entropy_finite() -> None:
    x = torch.tensor([[0.0, 1e200], [0.0, 1e-200]], dtype=torch.float64, requires_grad=True)
    for value in (F.persistence_entropy(x), F.persistence_entropy([x])[0]):
        (gradient,) = torch.autograd.grad(value, x)
        assert value == 0 and bool(gradient.isfinite().all())


@pytest.mark.parametrize("name", [*OF_ONE, *OF_TWO])
def test_a_function_under_torch_compile_gives_its_value_and_gradient(name: str) -> None:
    x, rest = diagram(6, 0), [] if name in OF_ONE else [diagram(4, 1)]
    function = OF_ONE.get(name) or OF_TWO[name]

    def step(z: Tensor) -> Tensor:
        return 2 * function(3 * z, *rest).sum()

    runs = []
    for run in (step, torch.compile(step, backend="eager")):
        leaf = x.clone().requires_grad_()
        value = run(leaf)
        value.backward()
        runs.append((value.detach(), leaf.grad))
    for eager, compiled in zip(*runs, strict=True):
        torch.testing.assert_close(compiled, eager)

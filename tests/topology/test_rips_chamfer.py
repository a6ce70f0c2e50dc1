"""`rips_chamfer`: the bits of `vietoris_rips` and `persistence_weighted_chamfer` one after the other."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from topokd.errors import DataError, ParameterError
from topokd.topology import (
    TopologicalLoss,
    layer,
    native,
    persistence_weighted_chamfer,
    precision_term,
    recall_term,
    rips_chamfer,
    small_chamfer,
    small_clouds,
    sums,
    vietoris_rips,
)

pytestmark = pytest.mark.unit

NUMBERS = st.integers(0, 2**32 - 1)


def step_by_step(clouds: list[Tensor], teachers: list[list[Tensor]], dims: tuple[int, ...], **options: Any) -> Tensor:
    """The general path: neither compiled comparisons nor one call for points and losses."""
    total = torch.zeros((), dtype=clouds[0].dtype)
    for persistence, teacher in zip(vietoris_rips(clouds, **options), teachers, strict=True):
        for d in dims:
            total = total + (
                recall_term(teacher[d], persistence.diagrams[d]) + precision_term(teacher[d], persistence.diagrams[d])
            )
    return total


def clouds_of(seed: int, sizes: list[int], channels: int, dtype: torch.dtype, kind: str) -> list[Tensor]:
    rng = np.random.default_rng(seed)
    clouds = []
    for n in sizes:
        points = (
            rng.integers(0, 3, (n, channels)).astype(float) if kind == "lattice" else rng.normal(size=(n, channels))
        )
        if kind == "sphere":
            points /= np.linalg.norm(points, axis=1, keepdims=True)
        clouds.append(torch.from_numpy(points).to(dtype).requires_grad_())
    return clouds


@settings(deadline=None, max_examples=80)
@given(
    seed=NUMBERS,
    sizes=st.lists(st.sampled_from([1, 2, 5, 30, 64, 65, 130, 257, 270]), min_size=1, max_size=4),
    channels=st.sampled_from([1, 2, 3, 16]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    kind=st.sampled_from(["random", "lattice", "sphere"]),
    dims=st.sampled_from([(0, 1), (0,), (1,)]),
    tie_unit=st.sampled_from([None, 1.0]),
    factor=st.sampled_from([1.0, 1 / 3]),
)
def test_values_and_gradients_have_the_bits_of_the_two_functions(
    seed: int, sizes: list[int], channels: int, dtype: torch.dtype, kind: str, dims: tuple[int, ...],
    tie_unit: float | None, factor: float,
) -> None:  # fmt: skip
    clouds = clouds_of(seed, sizes, channels, dtype, kind)
    teachers = [
        [d.detach() for d in vietoris_rips(x).diagrams] for x in clouds_of(seed + 1, sizes, channels, dtype, kind)
    ]
    own = rips_chamfer(clouds, teachers, dims=dims, tie_unit=tie_unit)
    expected = step_by_step(clouds, teachers, dims, tie_unit=tie_unit)
    assert own.dtype == dtype and torch.equal(own, expected)
    for actual, wanted in zip(
        torch.autograd.grad(factor * own, clouds), torch.autograd.grad(factor * expected, clouds), strict=True
    ):
        assert torch.equal(actual, wanted)


def test_second_derivatives_are_those_of_the_two_functions() -> None:
    clouds, others = (clouds_of(seed, [20, 90], 3, torch.float64, "random") for seed in (0, 1))
    teachers = [[d.detach() for d in vietoris_rips(x).diagrams] for x in others]

    def second(value: Tensor) -> tuple[Tensor, ...]:
        first = torch.autograd.grad(value, clouds, create_graph=True)
        return torch.autograd.grad(sum(g.square().sum() for g in first), clouds)  # type: ignore[arg-type]

    own, expected = second(rips_chamfer(clouds, teachers)), second(step_by_step(clouds, teachers, (0, 1)))
    assert all(torch.equal(a, b) for a, b in zip(own, expected, strict=True))


def test_a_batch_on_several_threads_gives_what_one_thread_gives() -> None:
    generator = torch.Generator().manual_seed(0)
    clouds = list(torch.randn(300, 30, 3, generator=generator).requires_grad_())
    teachers = [[d.detach() for d in r.diagrams] for r in vietoris_rips(list(torch.randn(300, 30, 3)))]
    values = [rips_chamfer(clouds, teachers, workers=workers) for workers in (1, 2, 3)]
    assert torch.equal(values[0], values[1]) and torch.equal(values[0], values[2])
    slopes = [torch.autograd.grad(value, clouds) for value in values]
    assert all(torch.equal(a, b) for a, b in zip(slopes[0], slopes[1], strict=True))


@pytest.mark.parametrize("n", [30, 100, 300])
def test_gradients_are_derivatives(n: int) -> None:
    x, y = (clouds_of(seed, [n], 3, torch.float64, "random")[0] for seed in (0, 1))
    teacher = [d.detach() for d in vietoris_rips(y).diagrams]
    value = rips_chamfer(x, teacher)
    (slope,) = torch.autograd.grad(value, x)
    step = 1e-7 * torch.randn(n, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        change = rips_chamfer(x + step, teacher) - rips_chamfer(x - step, teacher)
    assert torch.allclose(change, 2 * (slope * step).sum(), rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sums_have_the_bits_of_torch(dtype: torch.dtype) -> None:
    """The twin of the kernel's sum; the kernel itself is compared with torch in the tests above."""
    lanes = sums.lanes_of(dtype)
    generator = torch.Generator().manual_seed(3)
    for n in range(1, sums.MAX_SUMMANDS + 1):
        x = torch.rand(n, dtype=dtype, generator=generator)
        assert lanes == 0 or float(sums.sum_in_lanes(x.numpy(), lanes)) == float(x.sum())


def test_on_a_processor_whose_sums_are_unknown_torch_adds_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clouds, others = (clouds_of(seed, [40, 100, 3], 3, torch.float32, "random") for seed in (0, 1))
    teachers = [[d.detach() for d in vietoris_rips(x).diagrams] for x in others]
    expected = rips_chamfer(clouds, teachers)
    monkeypatch.setattr(small_chamfer, "lanes_of", lambda dtype: 0)
    own = rips_chamfer(clouds, teachers)
    assert torch.equal(own, expected)
    for a, b in zip(torch.autograd.grad(own, clouds), torch.autograd.grad(expected, clouds), strict=True):
        assert torch.equal(a, b)


def test_the_general_path_takes_what_compiled_calls_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrays, mixed types and widths, a teacher with a gradient, options: the same numbers, without `layer`."""
    x, y = (clouds_of(seed, [30], 3, torch.float64, "random")[0] for seed in (0, 1))
    teacher = [d.detach() for d in vietoris_rips(y).diagrams]
    expected = rips_chamfer(x, teacher)
    monkeypatch.setattr("topokd.topology.one_step.runs_of", lambda *_: pytest.fail("compiled"))
    array = x.detach().numpy()
    for value in (
        rips_chamfer(array, teacher),
        rips_chamfer(x, dict(enumerate(teacher)), engine="reference"),
        rips_chamfer(x, vietoris_rips(y).diagrams),
        rips_chamfer(x, teacher, gradient="diffeomorphic"),
        rips_chamfer(x, teacher, time_limit=100.0),
    ):
        assert torch.allclose(value, expected, rtol=1e-12)
    assert rips_chamfer([], []).item() == 0.0


@pytest.mark.invalid_arguments
def test_errors_name_the_mistake() -> None:
    x = torch.randn(5, 2)
    teacher = [d.detach() for d in vietoris_rips(x).diagrams]
    with pytest.raises(DataError, match="2 clouds and 1 sets"):
        rips_chamfer([x, x], [teacher])
    with pytest.raises(DataError, match="lack a degree"):
        rips_chamfer(x, teacher[:1])
    with pytest.raises(ParameterError, match="dims is"):
        rips_chamfer(x, teacher, dims=(3,))
    with pytest.raises(DataError, match="one set per cloud"):
        rips_chamfer([x, x], teacher)
    with pytest.raises(DataError, match=r"Persistence\.diagrams"):
        rips_chamfer(x, teacher[0])
    with pytest.raises(DataError, match=r"row 1 of teacher is \[1.0, 0.0\], which dies before its birth"):
        rips_chamfer(x, [teacher[0], torch.tensor([[0.0, 1.0], [1.0, 0.0]])])
    with pytest.raises(ParameterError, match="dims is 1; choose some of 0, 1, 2"):
        rips_chamfer(x, teacher, dims=1)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="row 0 holds NaN"):
        rips_chamfer(x * float("nan"), teacher)
    with pytest.raises(ParameterError, match="threshold"):
        rips_chamfer(x, teacher, threshold=float("nan"))
    with pytest.raises(ParameterError, match="tie_unit"):
        rips_chamfer(x, teacher, tie_unit=-1.0)


@pytest.mark.parametrize("num_points", [40, 120, 400])
def test_the_loss_uses_the_compiled_path_and_keeps_its_bits(monkeypatch: pytest.MonkeyPatch, num_points: int) -> None:
    generator = torch.Generator().manual_seed(0)
    teacher, student = torch.randn(900, 8, generator=generator), torch.randn(900, 6, generator=generator)
    student.requires_grad_()
    loss = pickle.loads(pickle.dumps(copy.deepcopy(TopologicalLoss(num_points=num_points))))
    own = loss(student, teacher, [450, 900])
    (slope,) = torch.autograd.grad(own, student)
    monkeypatch.setattr("topokd.topology.one_step._are_small", lambda *_: False)
    general = loss(student, teacher, [450, 900])
    assert torch.equal(own, general) and torch.equal(slope, torch.autograd.grad(general, student)[0])
    by_hand = TopologicalLoss(num_points=num_points, distance=_chamfer)(student, teacher, [450, 900])
    assert torch.equal(own, by_hand)


def _chamfer(a: Tensor, b: Tensor) -> Tensor:
    return persistence_weighted_chamfer(a, b)


def test_clouds_of_several_calls_are_compared_call_by_call(monkeypatch: pytest.MonkeyPatch) -> None:
    clouds, others = (clouds_of(seed, [64, 20, 33, 64, 9, 9, 50], 16, torch.float32, "sphere") for seed in (0, 1))
    teachers = [[d.detach() for d in r.diagrams] for r in vietoris_rips(others)]
    expected = step_by_step(clouds, teachers, (0, 1))
    few = native.Workspace(64)
    few.clouds = 3  # in one call
    monkeypatch.setattr(small_clouds, "workspace", lambda channels: few)
    runs = layer.runs_of(layer.Layer(teachers, (0, 1), 1e-6, 1.0, float("inf"), 1e-6, None, 1), clouds)
    assert runs is not None and [len(run.points) - 1 for run in runs] == [3, 3, 1]
    own = rips_chamfer(clouds, teachers, workers=1)
    assert torch.equal(own, expected)
    for a, b in zip(torch.autograd.grad(own, clouds), torch.autograd.grad(expected, clouds), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("scale", [1.5e19, 2e19])
def test_a_distance_whose_sums_overflow_is_that_of_the_two_steps(scale: float) -> None:
    """PWCD computes in float64 where its sums leave float32 and its value does not; one step does not go without."""
    x, y = (scale * torch.rand(12, 2, generator=torch.Generator().manual_seed(seed)) for seed in range(2))
    reference = vietoris_rips(y).diagrams
    x.requires_grad_()
    value = rips_chamfer(x, reference)
    pairs = zip(reference, vietoris_rips(x).diagrams, strict=True)
    assert torch.equal(value, sum((persistence_weighted_chamfer(*pair) for pair in pairs), torch.zeros(())))
    value.backward()
    assert bool(value.isfinite()) and x.grad is not None and bool(x.grad.isfinite().all())

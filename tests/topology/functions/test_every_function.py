"""Requirements of every function of diagrams and of clouds: gradients, batches, types, empty input, rejected input."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from tests.topology.functions.diagrams import CHAMFER, GRID, OF_CLOUDS, OF_ONE, OF_TWO, diagram
from topokd.errors import DataError
from topokd.topology import functions as F
from topokd.topology import vietoris_rips
from topokd.topology.functions import landscapes

EMPTY = torch.empty(0, 2, dtype=torch.float64)
NEARLY_ONE_POINT = torch.eye(30, 1)


def cloud(n: int, c: int, seed: int) -> torch.Tensor:
    return torch.randn(n, c, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# -- gradients -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", OF_ONE)
def test_gradient_of_one_diagram_equals_finite_differences(name: str, seed: int) -> None:
    assert gradcheck(OF_ONE[name], diagram(6, seed).requires_grad_())


@pytest.mark.parametrize("one_birth", [False, True])
@pytest.mark.parametrize("sizes", [(5, 7), (7, 4), (3, 0), (0, 4), (1, 1)])
@pytest.mark.parametrize("name", OF_TWO)
def test_gradient_of_two_diagrams_equals_finite_differences(name: str, sizes: tuple[int, int], one_birth: bool) -> None:
    given = [diagram(k, 3 * k + side, one_birth=one_birth) for side, k in enumerate(sizes)]
    moved = [d[:, 1].clone() if one_birth else d.clone() for d in given if len(d)]  # births stay equal where they are

    def of_moved(*values: torch.Tensor) -> torch.Tensor:
        rest = [torch.stack([v * 0, v], dim=1) if one_birth else v for v in values]
        return OF_TWO[name](*[rest.pop(0) if k else EMPTY for k in sizes])

    assert gradcheck(of_moved, tuple(values.requires_grad_() for values in moved))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", OF_CLOUDS)
def test_gradient_of_two_clouds_equals_finite_differences(name: str, seed: int) -> None:
    x, y = cloud(9, 3, seed).requires_grad_(), cloud(9, 2, seed + 10).requires_grad_()
    assert gradcheck(OF_CLOUDS[name], (x, y))


@pytest.mark.parametrize("name", [*OF_TWO, *CHAMFER])
def test_gradient_reaches_every_diagram_of_a_batch(name: str) -> None:
    first, second = [diagram(4, 1), diagram(6, 2)], [diagram(5, 3), diagram(2, 4)]

    def together(*points: torch.Tensor) -> torch.Tensor:
        return (OF_TWO | CHAMFER)[name](list(points[:2]), list(points[2:]))

    assert gradcheck(together, tuple(d.requires_grad_() for d in (*first, *second)))


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("name", [*OF_ONE, *OF_TWO])
def test_gradients_at_ties_are_finite(name: str, whole: bool) -> None:
    points = torch.cat([diagram(5, 0, whole=True), diagram(5, 0, whole=True), torch.tensor([[1.0, 1.0]])]).double()
    points.requires_grad_()
    if name in OF_ONE:
        value = OF_ONE[name](points)
    else:
        value = OF_TWO[name](points, points.detach().flip(0) if whole else diagram(4, 1))
    value.sum().backward()
    assert points.grad is not None and bool(points.grad.isfinite().all())


@pytest.mark.parametrize("name", OF_TWO)
def test_equal_diagrams_are_at_distance_zero_with_gradient_zero(name: str) -> None:
    a = diagram(6, 0, whole=True).requires_grad_()
    value = OF_TWO[name](a, a.detach().clone())
    value.backward()
    assert value.item() == 0 and a.grad is not None and not a.grad.any()


@pytest.mark.parametrize("name", OF_CLOUDS)
def test_equal_clouds_are_at_distance_zero_with_gradient_zero(name: str) -> None:
    x = cloud(10, 3, 0).requires_grad_()
    value = OF_CLOUDS[name](x, x.detach().clone())
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-12)
    assert x.grad is not None and float(x.grad.abs().max()) < (1e-12 if "signature" in name else math.inf)


# -- batches, types, empty diagrams -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OF_ONE)
def test_a_ragged_batch_gives_the_stacked_results_of_its_diagrams(name: str) -> None:
    batch = [diagram(4, 0), EMPTY, diagram(9, 1), diagram(1, 2)]
    alone = torch.stack([OF_ONE[name](d) for d in batch])
    torch.testing.assert_close(OF_ONE[name](batch), alone, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("size", [4, 300])  # one after the other, and on threads
@pytest.mark.parametrize("name", [*OF_TWO, *CHAMFER])
def test_a_ragged_batch_of_pairs_gives_the_stacked_results_bit_for_bit(name: str, size: int) -> None:
    function = (OF_TWO | CHAMFER)[name]
    first, second = [diagram(size, 0), EMPTY, diagram(9, 1)], [diagram(6, 2), diagram(2, 3), EMPTY]
    alone = torch.stack([function(a, b) for a, b in zip(first, second, strict=True)])
    assert torch.equal(function(first, second), alone)


@pytest.mark.parametrize("name", [*OF_ONE, *OF_TWO, *CHAMFER, *OF_CLOUDS])
def test_a_list_of_mixed_types_is_computed_in_the_widest(name: str) -> None:
    function = (OF_ONE | OF_TWO | CHAMFER | OF_CLOUDS)[name]
    make = (lambda n, seed: cloud(n, 3, seed)) if name in OF_CLOUDS else diagram
    mixed = [[make(6, k).float(), make(9, k + 2), make(4, k + 4).half()] for k in range(2)]
    mixed = mixed[: 1 if name in OF_ONE else 2]
    wide = function(*([x.double() for x in given] for given in mixed))
    value = function(*mixed)
    assert value.dtype == torch.float64
    tolerance = 1e-13 if name in OF_ONE else 2e-2  # pairs of two narrow inputs are computed, or rounded, in their type
    torch.testing.assert_close(value, wide, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", OF_CLOUDS)
def test_a_batch_of_clouds_gives_the_stacked_results_bit_for_bit(name: str) -> None:
    x, y = [cloud(8, 3, 0), cloud(12, 3, 1)], [cloud(8, 2, 2), cloud(12, 2, 3)]
    assert torch.equal(OF_CLOUDS[name](x, y), torch.stack([OF_CLOUDS[name](a, b) for a, b in zip(x, y, strict=True)]))


@pytest.mark.parametrize("types", [("float32", "float64"), ("float64", "float32")], ids=str)
@pytest.mark.parametrize("name", [*OF_TWO, *CHAMFER, *OF_CLOUDS])
def test_the_result_of_two_inputs_has_the_wider_type(name: str, types: tuple[str, str]) -> None:
    given = [cloud(8, 3, k) if name in OF_CLOUDS else diagram(5, k) for k in range(2)]
    x, y = (z.to(getattr(torch, dtype)) for z, dtype in zip(given, types, strict=True))
    function = (OF_TWO | CHAMFER | OF_CLOUDS)[name]
    assert function(x, y).dtype == function([x], [y]).dtype == torch.float64


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", [*OF_ONE, *OF_TWO, *OF_CLOUDS])
def test_the_type_of_the_input_is_kept_in_value_and_gradient(name: str, dtype: torch.dtype) -> None:
    if name in OF_CLOUDS:
        x, other, function = cloud(8, 3, 0), cloud(8, 3, 1), OF_CLOUDS[name]
    else:
        x, other, function = diagram(5, 0), diagram(7, 1), OF_ONE.get(name) or OF_TWO[name]
    x = x.to(dtype).requires_grad_()
    value = function(x) if name in OF_ONE else function(x, other.to(dtype))
    value.sum().backward()
    assert value.dtype == dtype and x.grad is not None and x.grad.dtype == dtype
    reference = (
        function(x.detach().double()) if name in OF_ONE else function(x.detach().double(), other.to(dtype).double())
    )
    torch.testing.assert_close(value.detach().double(), reference.double(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("name", [*OF_ONE, *OF_TWO, *CHAMFER, *OF_CLOUDS])
def test_autocast_changes_no_bit_of_value_and_gradient(name: str, listed: bool) -> None:
    function = (OF_ONE | OF_TWO | CHAMFER | OF_CLOUDS)[name]
    make = (lambda n, seed: cloud(n, 3, seed)) if name in OF_CLOUDS else diagram
    given: list[Any] = [[make(9, seed).float().requires_grad_() for seed in (k, k + 2)] for k in range(2)]
    moved = given[0] if listed else given[0][:1]
    inputs = (given if listed else [x[0] for x in given])[: 1 if name in OF_ONE else 2]
    plain = function(*inputs)
    with torch.autocast("cpu", torch.bfloat16):
        value = function(*inputs)
    assert value.dtype == torch.float32 and torch.equal(value, plain)
    slopes = [torch.autograd.grad(v.square().sum(), moved) for v in (value, plain)]
    assert all(torch.equal(a, b) for a, b in zip(*slopes, strict=True))


def test_autocast_changes_no_bit_of_a_large_image_and_of_a_silhouette_on_a_gpu() -> None:
    pairs, grid = diagram(30, 0).float(), GRID.float()
    for compute in (
        lambda: F.persistence_image(pairs, resolution=(100, 100), bandwidth=0.1),
        lambda: landscapes._silhouette_torch(pairs[None], grid, 1.0),
    ):
        plain = compute()
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(compute(), plain)


@pytest.mark.parametrize("name", OF_ONE)
def test_an_empty_diagram_gives_zeros_that_can_go_backward(name: str) -> None:
    empty = EMPTY.clone().requires_grad_()
    value = OF_ONE[name](empty)
    value.sum().backward()
    assert value.shape == OF_ONE[name](diagram(5, 0)).shape and not value.any()


@pytest.mark.parametrize("name", OF_TWO)
def test_two_empty_diagrams_are_at_distance_zero(name: str) -> None:
    empty = EMPTY.clone().requires_grad_()
    value = OF_TWO[name](empty, EMPTY)
    value.backward()
    assert value.item() == 0 and value.shape == ()


@pytest.mark.parametrize("name", OF_CLOUDS)
def test_a_single_point_has_nothing_to_compare(name: str) -> None:
    assert OF_CLOUDS[name](torch.zeros(1, 3), torch.ones(1, 2)).item() == 0


@pytest.mark.parametrize("scale", [1e-160, 1e-12, 1e12, 1e160])
@pytest.mark.parametrize("name", OF_TWO)
def test_distances_scale_with_the_diagrams(name: str, scale: float) -> None:
    a, b = diagram(30, 0), diagram(20, 1)
    torch.testing.assert_close(OF_TWO[name](a * scale, b * scale) / scale, OF_TWO[name](a, b), rtol=1e-12, atol=0)


def test_a_curve_of_values_near_the_end_of_float32_is_the_same() -> None:
    pairs, grid = diagram(30, 0).float(), torch.linspace(0, 2, 9)
    assert torch.equal(F.betti_curve(3e37 * pairs, 3e37 * grid), F.betti_curve(pairs, grid))


@pytest.mark.parametrize("name", [*OF_ONE, *OF_TWO])
def test_numpy_arrays_are_accepted(name: str) -> None:
    a, b = diagram(5, 0), diagram(4, 1)
    if name in OF_ONE:
        assert torch.equal(OF_ONE[name](a.numpy()), OF_ONE[name](a))
    else:
        assert torch.equal(OF_TWO[name](a.numpy(), b.numpy()), OF_TWO[name](a, b))


# -- what is rejected -------------------------------------------------------------------------------------------------

BAD_DIAGRAMS = {
    "nan": (torch.tensor([[0.0, 1.0], [math.nan, 1.0]]), r"row 1 of {}.*finite pairs"),
    "essential": (torch.tensor([[0.0, math.inf]]), r"row 0 of {}.*never die"),
    "infinite birth": (torch.tensor([[-math.inf, 0.0]]), r"row 0 of {}.*finite pairs"),
    "reversed": (torch.tensor([[1.0, 0.0]]), r"row 0 of {}.*dies before its birth"),
    "flat": (torch.zeros(4), r"{} has the shape \(4,\), expected \(k, 2\)"),
    "three columns": (torch.zeros(4, 3), r"{} has the shape \(4, 3\)"),
}


@pytest.mark.parametrize("kind", BAD_DIAGRAMS)
@pytest.mark.parametrize("name", OF_ONE)
def test_a_bad_diagram_is_rejected_by_name_and_row(name: str, kind: str) -> None:
    bad, message = BAD_DIAGRAMS[kind]
    with pytest.raises(ValueError, match=message.format("diagram")):
        OF_ONE[name](bad)
    with pytest.raises(ValueError, match=message.format(r"diagram\[1\]")):
        OF_ONE[name]([diagram(3, 0).float(), bad])


@pytest.mark.parametrize("kind", BAD_DIAGRAMS)
@pytest.mark.parametrize("name", [*OF_TWO, *CHAMFER])
def test_a_bad_diagram_of_two_is_rejected_by_name_and_row(name: str, kind: str) -> None:
    (bad, message), good, function = BAD_DIAGRAMS[kind], diagram(3, 0).float(), (OF_TWO | CHAMFER)[name]
    for k, argument in enumerate(names_of(name)):
        with pytest.raises(ValueError, match=message.format(argument)):
            function(*[bad if k == side else good for side in range(2)])
        with pytest.raises(ValueError, match=message.format(rf"{argument}\[1\]")):
            function(*[[good, bad if k == side else good] for side in range(2)])


def names_of(name: str) -> tuple[str, str]:
    return ("a", "b") if "distance" in name else ("teacher", "student")


@pytest.mark.invalid_arguments
@pytest.mark.parametrize("name", [*OF_TWO, *CHAMFER])
def test_what_is_not_two_diagrams_or_two_lists_is_rejected_by_what_was_passed(name: str) -> None:
    function, d, (a, b) = (OF_TWO | CHAMFER)[name], diagram(5, 0), names_of(name)
    for message, given in {
        f"^{a} is a list of 1 and {b} is one diagram: pass two": ([d], d),
        f"^{a} is a list of 1 and {b} is a list of 2: pass two": ([d], [d, d]),
        f"^{b} is an empty list": ([d], []),
        f"^{b}\\[0\\] has the shape": (d, d.tolist()),
        f"^{b} is of type Persistence: .* as {b}.diagrams": (d, vietoris_rips(d)),
    }.items():
        with pytest.raises(DataError, match=message):
            function(*given)


@pytest.mark.parametrize("name", OF_CLOUDS)
def test_bad_clouds_are_rejected_by_name(name: str) -> None:
    good, function = torch.rand(5, 2), OF_CLOUDS[name]
    with pytest.raises(ValueError, match="x has 5 rows and y 4"):
        function(good, good[:4])
    with pytest.raises(ValueError, match="row 3 of y holds NaN or infinity"):
        function(good, torch.where(torch.arange(5)[:, None] == 3, math.nan, good))
    with pytest.raises(ValueError, match=r"x has the shape \(5,\)"):
        function(good[:, 0], good)
    with pytest.raises(ValueError, match="x is a list of 1 and y is a list of 2: .*two lists of clouds of one length"):
        function([good], [good, good])
    with pytest.raises(ValueError, match="x is a list of 1 and y is one cloud: "):
        function([good], good)
    with pytest.raises(ValueError, match=r"x has the shape \(2, 5, 2\), .*pass several clouds as a list of them"):
        function(good.expand(2, 5, 2), good)
    with pytest.raises(ValueError, match=r"x\[1\] has the shape \(5,\)"):
        function([good, good[:, 0]], [good, good])


@pytest.mark.invalid_arguments
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (partial(F.total_persistence, p=-1.0), "p is -1.0: pass a finite number, 0 or more"),
        (partial(F.total_persistence, p=math.nan), "p is nan"),
        (partial(F.silhouette, grid=GRID, power=-1.0), "power is -1.0"),
        (partial(F.betti_curve, grid=GRID, width=-1.0), "width is -1.0"),
        (partial(F.betti_curve, grid=GRID[None]), r"grid has the shape \(1, 17\)"),
        (partial(F.landscape, grid=[0.0, math.nan]), "grid holds NaN"),
        (partial(F.landscape, grid=GRID, k=0), "k is 0"),
        (partial(F.persistence_image, bandwidth=0.0), "bandwidth is 0.0"),
        (partial(F.persistence_image, bandwidth=1e-170), "bandwidth is 1e-170: .*rescale the diagram"),
        (partial(F.persistence_image, resolution=(0, 3)), r"resolution is \(0, 3\)"),
        (partial(F.persistence_image, birth_range=(1.0, 0.0)), r"birth_range is \(1.0, 0.0\)"),
        (partial(F.persistence_image, persistence_range=(0.0, math.nan)), "persistence_range is"),
        (partial(F.persistence_image, weight_power=-2.0), "weight_power is -2.0"),
        (lambda d: F.wasserstein_distance(d, d, order=0.5), "order is 0.5: pass a finite number, 1 or more"),
        (lambda d: F.wasserstein_distance(d, d, order=math.inf), "order is inf"),
        (lambda d: F.wasserstein_distance(d, d, order=50), "order is 50: .*bottleneck_distance"),
        (lambda d: F.wasserstein_distance(d, d, internal_p=-2.0), "internal_p is -2.0: pass a number, 1 or more"),
        (lambda d: F.sliced_wasserstein_distance(d, d, num_directions=1), "num_directions is 1"),
        (lambda d: F.total_persistence([]), "diagram is an empty list"),
        (lambda d: F.total_persistence(vietoris_rips(d)), r"of type Persistence: .* as diagram\.diagrams\[1\]$"),
        (lambda d: F.total_persistence(torch.stack([d, d])), r"shape \(2, \d+, 2\), .*several diagrams as a list"),
        (lambda d: F.rtd(d, d, quantile=0.0), "quantile is 0.0"),
        (lambda d: F.rtd_lite(NEARLY_ONE_POINT, d), "the 0.9-quantile of the distances of x is 0"),
        (lambda d: F.rtd_lite([d], [NEARLY_ONE_POINT]), r"the 0.9-quantile of the distances of y\[0\] is 0"),
        (lambda d: F.rtd([d, NEARLY_ONE_POINT], [d, d]), r"the 0.9-quantile of the distances of x\[1\] is 0"),
    ],
)  # fmt: skip
def test_an_impossible_argument_is_rejected_by_name(call: partial, message: str) -> None:
    points = torch.cat([diagram(5, 0), diagram(25, 1)]) if "quantile" in message else diagram(5, 0)
    with pytest.raises(ValueError, match=message):
        call(points)


def test_results_are_the_same_in_every_call() -> None:
    a, b = diagram(200, 0, whole=True), diagram(150, 1, whole=True)
    for function in OF_TWO.values():
        runs = []
        for _ in range(2):
            x = a.clone().requires_grad_()
            value = function(x, b)
            value.backward()
            runs.append((value.detach(), x.grad))
        assert all(torch.equal(p, q) for p, q in zip(*runs, strict=True))
    assert np.isfinite([v.item() for v, _ in [runs[0]]]).all()

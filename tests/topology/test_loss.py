"""The topological loss: Algorithm 1, its options, devices and precisions."""

from __future__ import annotations

import pytest
import torch

from tests.gpu import needs_gpu
from topokd.errors import DataError, ParameterError
from topokd.topology import (
    TopologicalLoss,
    farthest_point_sampling,
    normalize_features,
    persistence_weighted_chamfer,
    vietoris_rips,
)

OFFSETS = torch.tensor([40, 70, 120])


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    teacher = torch.randn(120, 24, generator=generator)
    student = (teacher[:, :10] + 0.3 * torch.randn(120, 10, generator=generator)).requires_grad_(True)
    return student, teacher


@pytest.mark.parametrize("normalize", ["l2", "none", "standardize", "mean_norm"])
def test_the_loss_is_algorithm_one(pair: tuple[torch.Tensor, torch.Tensor], normalize: str) -> None:
    student, teacher = pair
    expected, start = 0.0, 0
    for end in OFFSETS.tolist():
        t, s = (normalize_features(x[start:end], normalize) for x in (teacher, student))
        kept = farthest_point_sampling(t, 25)
        of_t, of_s = vietoris_rips(t[kept]).diagrams, vietoris_rips(s[kept]).diagrams
        expected += sum(persistence_weighted_chamfer(a, b) for a, b in zip(of_t, of_s, strict=True))
        start = end
    loss = TopologicalLoss(25, normalize=normalize)(student, teacher, OFFSETS)
    torch.testing.assert_close(loss, expected / 3)


def test_engines_and_workers_give_the_same_loss_and_gradient(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    student, teacher = pair
    results = []
    for options in ({"engine": "giotto-ph"}, {"engine": "reduced", "workers": 1}, {"workers": 3}):
        loss = TopologicalLoss(30, **options)(student, teacher, OFFSETS)
        results.append((loss.item(), torch.autograd.grad(loss, student)[0]))
    assert results[1][0] == results[2][0] and torch.equal(results[1][1], results[2][1])
    assert results[0][0] == pytest.approx(results[1][0])
    torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-4, atol=1e-7)


def test_gradient_descent_on_the_loss_halves_it(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    student, teacher = pair
    loss = TopologicalLoss(40)
    optimizer = torch.optim.Adam([student], lr=0.02)
    first = loss(student, teacher, OFFSETS).item()
    for _ in range(40):
        optimizer.zero_grad()
        loss(student, teacher, OFFSETS).backward()
        optimizer.step()
    assert loss(student, teacher, OFFSETS).item() < 0.5 * first


def test_a_rotated_teacher_costs_nothing(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    _, teacher = pair
    rotation = torch.linalg.qr(torch.randn(24, 24, generator=torch.Generator().manual_seed(1))).Q
    assert TopologicalLoss(30)(teacher @ rotation, teacher, OFFSETS).item() < 1e-10


@pytest.mark.parametrize("normalize", ["l2", "none", "standardize", "mean_norm"])
def test_clouds_without_extent_contribute_zero_and_a_zero_gradient(normalize: str) -> None:
    teacher = torch.cat([torch.ones(1, 4), torch.ones(10, 4), torch.zeros(5, 4)])
    student = torch.cat([torch.ones(1, 3), torch.ones(10, 3), torch.zeros(5, 3)]).requires_grad_(True)
    loss = TopologicalLoss(8, normalize=normalize)(student, teacher, torch.tensor([1, 11, 11, 16]))
    loss.backward()
    assert loss.item() == 0 and torch.equal(student.grad, torch.zeros_like(student))


def test_a_nan_feature_names_its_cloud_and_row(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    student, teacher = pair
    broken = student.detach().clone()
    broken[55, 3] = torch.nan
    with pytest.raises(DataError, match="student's features of cloud 1 hold NaN or infinity, first in row 55"):
        TopologicalLoss(20)(broken, teacher, OFFSETS)
    broken = teacher.clone()
    broken[119, 0] = torch.inf
    with pytest.raises(DataError, match="teacher's features of cloud 2"):
        TopologicalLoss(20)(student, broken, OFFSETS)


def test_wrong_shapes_are_rejected(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    student, teacher = pair
    with pytest.raises(DataError, match="one row per matched voxel"):
        TopologicalLoss(20)(student[:50], teacher, OFFSETS)
    with pytest.raises(DataError, match="offsets"):
        TopologicalLoss(20)(student, teacher, torch.tensor([40, 30, 120]))
    with pytest.raises(ParameterError, match="normalize"):
        TopologicalLoss(20, normalize="l1")
    with pytest.raises(ParameterError, match="dims"):
        TopologicalLoss(20, dims=())
    with pytest.raises(ParameterError, match=r"distance gave the shape \(19,\): it must return one number"):
        TopologicalLoss(20, (0,), distance=lambda a, b: b[:, 1])(student, teacher, OFFSETS)


def test_the_loss_is_the_sum_over_the_chosen_degrees(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    both, zero, one = (TopologicalLoss(30, dims)(*pair, OFFSETS).item() for dims in ((0, 1), (0,), (1,)))
    assert both == pytest.approx(zero + one)
    assert TopologicalLoss(15, (2,))(*pair, OFFSETS).item() >= 0


def test_bfloat16_features_under_autocast_give_a_float32_loss(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    student, teacher = pair
    layer = torch.nn.Linear(10, 10)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = layer(student)
        assert features.dtype == torch.bfloat16
        loss = TopologicalLoss(30)(features, teacher.bfloat16(), OFFSETS)
    loss.backward()
    assert loss.dtype == torch.float32 and torch.isfinite(layer.weight.grad).all()


@pytest.mark.invalid_arguments  # torch.compile cannot look into the checker
def test_the_loss_works_inside_a_compiled_step(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    student, teacher = pair
    criterion = TopologicalLoss(20)

    def step(features: torch.Tensor) -> torch.Tensor:
        return criterion(features * 1.5, teacher, OFFSETS) * 2

    plain = step(student)
    compiled = torch.compile(step, backend="eager")(student)
    assert torch.equal(compiled, plain)
    assert torch.equal(*(torch.autograd.grad(loss, student)[0] for loss in (compiled, plain)))


@pytest.mark.invalid_arguments
def test_the_compiler_traces_around_diagrams_and_loss(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    """One graph before and one after each call: nothing inside is traced, which would take minutes."""
    student, teacher = pair
    criterion = TopologicalLoss(20)

    def step(features: torch.Tensor) -> torch.Tensor:
        scaled = features * 1.5
        loops = vietoris_rips(scaled[:30]).diagrams[1]
        return criterion(scaled, teacher, OFFSETS) * 2 + loops.sum()

    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    compiled = torch.compile(step, backend="eager")(student)
    assert torch._dynamo.utils.counters["frames"]["total"] <= 16
    assert torch.equal(compiled, step(student))


def test_preparing_the_teacher_changes_no_bit(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    student, teacher = pair
    for workers in (1, 2):
        module = TopologicalLoss(30, workers=workers)
        at_once = module(student, teacher, OFFSETS)
        ahead = module(student, module.prepare(teacher, OFFSETS), OFFSETS)
        assert torch.equal(at_once, ahead)
        gradients = [torch.autograd.grad(loss, student)[0] for loss in (at_once, ahead)]
        assert torch.equal(*gradients)
    with pytest.raises(DataError, match="match rows"):
        module(student, module.prepare(teacher, torch.tensor([50, 120])), OFFSETS)
    broken = teacher.clone()
    broken[75, 2] = torch.nan
    with pytest.raises(DataError, match=r"teacher's features of cloud 2 hold NaN or infinity, first in row 75"):
        module.prepare(broken, OFFSETS)


def test_float16_features_whose_sum_overflows_give_a_finite_loss() -> None:
    generator = torch.Generator().manual_seed(0)
    student = (torch.rand(2000, 64, generator=generator) + 0.5).half().requires_grad_(True)
    loss = TopologicalLoss(20)(student, torch.randn(2000, 16, generator=generator), torch.tensor([2000]))
    loss.backward()
    assert loss.isfinite() and student.grad is not None and student.grad.isfinite().all()


@needs_gpu
def test_a_gpu_gives_the_same_loss_and_gradient(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    student, teacher = pair
    results = []
    for device in ("cpu", "cuda"):
        features = student.detach().to(device).requires_grad_(True)
        value = TopologicalLoss(num_points=25)(features, teacher.to(device), OFFSETS.to(device))
        results.append((value.cpu(), torch.autograd.grad(value, features)[0].cpu()))
    assert results[0][1].abs().max() > 0
    for here, there in zip(*results, strict=True):
        torch.testing.assert_close(there, here, atol=1e-6, rtol=1e-4)

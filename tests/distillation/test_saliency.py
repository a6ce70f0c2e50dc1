from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from topokd.distillation import (
    AttentionTransferLoss,
    DistillationObjective,
    SaliencyLoss,
    TappedNetwork,
    feature_gradients,
    freeze,
    run_teacher,
    saliency_map,
)
from topokd.distillation.objective import teacher_digests
from topokd.errors import DataError, ParameterError


def slow_map(feat: np.ndarray, grad: np.ndarray, eps: float) -> np.ndarray:
    """Eq. 4-6 for one cloud, index by index."""
    n, c = feat.shape
    omega = [sum(abs(grad[i, k]) for i in range(n)) / n for k in range(c)]
    m = [sum(abs(omega[k] * feat[i, k]) for k in range(c)) for i in range(n)]
    return np.array([(value - min(m)) / (max(m) - min(m) + eps) for value in m])


def random_stage(generator: torch.Generator, n: int, c: int) -> tuple[torch.Tensor, torch.Tensor]:
    return (torch.randn(n, c, generator=generator, dtype=torch.float64) for _ in range(2))


@given(st.lists(st.integers(1, 12), min_size=1, max_size=3), st.integers(1, 5), st.integers(0, 2**31))
def test_map_equals_the_slow_twin_cloud_by_cloud(sizes: list[int], c: int, seed: int) -> None:
    feat, grad = random_stage(torch.Generator().manual_seed(seed), sum(sizes), c)
    offsets = torch.tensor(sizes).cumsum(0)
    expected = [slow_map(f.numpy(), g.numpy(), 1e-6) for f, g in zip(feat.split(sizes), grad.split(sizes), strict=True)]
    saliency = saliency_map(feat, grad, offsets, eps=1e-6)
    np.testing.assert_allclose(saliency.numpy(), np.concatenate(expected), rtol=1e-10)
    assert saliency.min() >= 0 and saliency.max() <= 1


def test_a_cloud_does_not_see_its_neighbours() -> None:
    feat, grad = random_stage(torch.Generator().manual_seed(1), 20, 4)
    together = saliency_map(feat, grad, torch.tensor([8, 20]))
    feat[8:] *= 100
    assert torch.equal(saliency_map(feat, grad, torch.tensor([8, 20]))[:8], together[:8])


def test_a_constant_cloud_gives_zeros_and_finite_gradients() -> None:
    feat = torch.ones(5, 3, requires_grad=True)
    result = saliency_map(feat, torch.zeros(5, 3), torch.tensor([5]))
    result.sum().backward()
    assert result.tolist() == [0] * 5
    assert torch.isfinite(feat.grad).all()


def test_loss_sums_stages_with_their_own_row_counts() -> None:
    generator = torch.Generator().manual_seed(2)
    stages = [(9, 4, 7), (5, 3, 2)]
    student, student_grad = zip(*[random_stage(generator, n, c) for n, c, _ in stages], strict=True)
    teacher, teacher_grad = zip(*[random_stage(generator, n, c) for n, _, c in stages], strict=True)
    ends = [[4, 9], [2, 5]]
    expected = 0.0
    for stage, (n, _, _) in enumerate(stages):
        for begin, end in zip([0, *ends[stage]], ends[stage], strict=False):
            rows = slice(begin, end)
            difference = slow_map(teacher[stage][rows].numpy(), teacher_grad[stage][rows].numpy(), 1e-6) - slow_map(
                student[stage][rows].numpy(), student_grad[stage][rows].numpy(), 1e-6
            )
            expected += np.abs(difference).sum() / n
    offsets = [torch.tensor(e) for e in ends]
    loss = SaliencyLoss()(student, teacher, offsets, student_grad=student_grad, teacher_grad=teacher_grad)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    second = SaliencyLoss(stages=(1,))(student, teacher, offsets, student_grad=student_grad, teacher_grad=teacher_grad)
    assert 0 < second.item() < loss.item()


def tiny_network(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Input, features of a hidden layer, and the segmentation loss they lead to."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(10, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    hidden, head = (torch.randn(*s, generator=generator, dtype=torch.float64) for s in ((4, 6), (6, 3)))
    feat = functional.gelu(x @ hidden)
    loss = functional.cross_entropy(feat.tanh() @ head, torch.arange(10) % 3)
    return x, feat, loss


def test_a_loss_and_its_gradients_are_the_same_to_the_user() -> None:
    offsets = torch.tensor([6, 10])
    _, feat, loss = tiny_network(3)
    _, feat_t, loss_t = tiny_network(4)
    by_loss = SaliencyLoss()(feat, feat_t, offsets, student_loss=loss, teacher_loss=loss_t)
    grads = (feature_gradients(loss, [feat])[0], feature_gradients(loss_t, [feat_t])[0])
    by_grad = SaliencyLoss()(feat, feat_t, offsets, student_grad=grads[0], teacher_grad=grads[1])
    assert by_loss.item() == by_grad.item()


def test_omega_is_a_constant_unless_second_order() -> None:
    offsets = torch.tensor([10])
    teacher = torch.rand(10, 5), torch.rand(10, 5)

    def gradient(second_order: bool) -> tuple[torch.Tensor, torch.Tensor]:
        x, feat, loss = tiny_network(5)
        value = SaliencyLoss(second_order=second_order)(
            feat, teacher[0], offsets, student_loss=loss, teacher_grad=teacher[1]
        )
        constant = SaliencyLoss()(
            feat, teacher[0], offsets, student_grad=feature_gradients(loss, [feat])[0], teacher_grad=teacher[1]
        )
        return torch.autograd.grad(value, x, retain_graph=True)[0], torch.autograd.grad(constant, x)[0]

    first, constant = gradient(second_order=False)
    assert torch.equal(first, constant)
    second, constant = gradient(second_order=True)
    assert not torch.allclose(second, constant, rtol=1e-3)


def test_second_order_gradient_is_the_numerical_one() -> None:
    offsets = torch.tensor([10])
    teacher = torch.rand(10, 5, generator=torch.Generator().manual_seed(0)), torch.ones(10, 5)
    generator = torch.Generator().manual_seed(6)
    hidden, head = (torch.randn(*s, generator=generator, dtype=torch.float64) for s in ((4, 6), (6, 3)))

    def value(x: torch.Tensor) -> torch.Tensor:
        feat = functional.gelu(x @ hidden)
        loss = functional.cross_entropy(feat.tanh() @ head, torch.arange(10) % 3)
        grad = torch.autograd.grad(loss, feat, create_graph=True)[0]
        maps = saliency_map(feat, grad, offsets), saliency_map(*teacher, offsets)
        return (maps[0] - maps[1]).abs().mean()

    x = torch.randn(10, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(value, x)


def test_each_network_needs_exactly_one_of_loss_and_gradients() -> None:
    _, feat, loss = tiny_network(3)
    with pytest.raises(ValueError, match="exactly one of teacher_loss and teacher_grad"):
        SaliencyLoss()(feat, feat, torch.tensor([10]), student_loss=loss)
    with pytest.raises(ValueError, match="exactly one of student_loss and student_grad"):
        SaliencyLoss()(feat, feat, torch.tensor([10]), student_loss=loss, student_grad=feat, teacher_grad=feat)


def test_a_loss_without_a_graph_is_explained() -> None:
    _, feat, loss = tiny_network(3)
    with pytest.raises(ValueError, match="gradients enabled"):
        SaliencyLoss()(feat, feat, torch.tensor([10]), student_loss=loss.detach(), teacher_grad=feat)


# -- finished maps, and lists of stages --------------------------------------------------------------------------------

ROWS, OFFSETS = 10, [6, 10]
MAP_LOSSES = {
    "SaliencyLoss": lambda feat, given: SaliencyLoss()(feat, None, OFFSETS, student_grad=feat, teacher_map=given),
    "AttentionTransferLoss": lambda feat, given: AttentionTransferLoss()(feat, None, OFFSETS, teacher_map=given),
}
every_map_loss = pytest.mark.parametrize("loss", MAP_LOSSES.values(), ids=MAP_LOSSES)


def feature_and_map() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    return torch.randn(ROWS, 4, generator=generator), torch.rand(ROWS, generator=generator)


@every_map_loss
def test_a_map_of_any_shape_has_one_value_per_row(loss: Callable[..., torch.Tensor]) -> None:
    feat, given = feature_and_map()
    expected = loss(feat, given)
    for same in (given[:, None], given[None], given.reshape(1, 2, 5), given.clone().requires_grad_()):
        assert torch.equal(loss(feat, same), expected) and not loss(feat, same).requires_grad
    assert loss(feat, given.bfloat16()).dtype == torch.float32


@every_map_loss
def test_a_map_that_does_not_fit_is_rejected(loss: Callable[..., torch.Tensor]) -> None:
    feat, given = feature_and_map()
    for wrong, size in ((given[:9], 9), (feat, 40), (given[:0], 0)):
        with pytest.raises(DataError, match=f"teacher_map has {size} values for 10 rows: give one per row"):
            loss(feat, wrong)
    for bad in (float("nan"), float("inf")):
        with pytest.raises(DataError, match="teacher_map holds NaN or infinity, first in row 3 of 10"):
            loss(feat, given.index_fill(0, torch.tensor(3), bad))


def test_a_map_may_be_a_list_with_one_entry_per_cloud() -> None:
    feat, given = feature_and_map()
    clouds = [feat[:6], feat[6:]]
    maps = [given[:6], given[6:]]
    attention = AttentionTransferLoss()
    assert torch.equal(attention(clouds, None, teacher_map=maps), attention(feat, None, OFFSETS, teacher_map=given))
    saliency = SaliencyLoss()([clouds], None, student_grad=[clouds], teacher_map=[maps])
    assert torch.equal(saliency, MAP_LOSSES["SaliencyLoss"](feat, given))


@pytest.mark.parametrize(
    "changed",
    [
        {"offsets": [OFFSETS]},
        {"offsets": [OFFSETS] * 3},
        {"student_grad": 1},
        {"student_grad": 3},
        {"teacher_grad": 1},
        {"teacher": 1},
    ],
    ids=str,
)
def test_a_list_that_is_too_short_or_too_long_is_named(changed: dict[str, Any]) -> None:
    feat, _ = feature_and_map()
    lists = {name: [feat] * 2 for name in ("student", "teacher", "student_grad", "teacher_grad")}
    ((name, value),) = changed.items()
    value = [feat] * value if isinstance(value, int) else value
    given = {"offsets": [OFFSETS] * 2, **lists, name: value}
    size = "1 entry" if len(value) == 1 else "3 entries"
    with pytest.raises(DataError, match=f"{name} has {size}, but student has 2 stages: give one entry per stage"):
        SaliencyLoss()(**given)
    with pytest.raises(DataError, match="teacher_map has 1 entry, but student has 2 stages"):
        SaliencyLoss()([feat] * 2, None, [OFFSETS] * 2, student_grad=[feat] * 2, teacher_map=[feat[:, 0]])
    with pytest.raises(DataError, match="offsets has 2 entries, but student has 1 stage:"):
        SaliencyLoss()(feat, feat, [OFFSETS] * 2, student_grad=feat, teacher_grad=feat)


@pytest.mark.parametrize("stage", [2, -3])
def test_a_stage_that_a_list_lacks_is_named(stage: int) -> None:
    feat, _ = feature_and_map()
    two, three = [feat] * 2, [feat] * 3
    for name in ("student", "offsets", "student_grad", "teacher", "teacher_grad"):
        given: dict[str, Any] = {"student": three, "teacher": three, "student_grad": three, "teacher_grad": three}
        given |= {"offsets": [OFFSETS] * 3, name: [OFFSETS] * 2 if name == "offsets" else two}
        with pytest.raises(DataError, match=f"stages has {stage}, but {name} has 2 stages, numbered from 0: choose"):
            SaliencyLoss(stages=[stage])(**given)


@pytest.mark.invalid_arguments
def test_offsets_may_be_numbers_of_any_type() -> None:
    feat, given = feature_and_map()
    expected = SaliencyLoss()(feat, None, OFFSETS, student_grad=feat, teacher_map=given)
    for offsets in ([torch.tensor(6), torch.tensor(10)], list(np.array(OFFSETS)), (6, torch.tensor(10))):
        assert torch.equal(SaliencyLoss()(feat, None, offsets, student_grad=feat, teacher_map=given), expected)
    with pytest.raises(DataError, match="give one whole number per cloud"):
        SaliencyLoss()(feat, None, [6.5, 10], student_grad=feat, teacher_map=given)


def test_one_output_of_the_teacher_serves_two_students_by_its_digests() -> None:
    def network(seed: int, width: int) -> TappedNetwork:
        torch.manual_seed(seed)
        return TappedNetwork(nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, 4)), ["1"])

    x, label = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 4
    teacher, students = freeze(network(0, 16)), [network(1, 8), network(2, 8)]
    objective = DistillationObjective({"grad": {"stages": [0]}})
    expected = [objective(s(x), label, run_teacher(teacher, x, gradients=True)).total.item() for s in students]
    output = run_teacher(teacher, x, gradients=True)
    objective(students[0](x), label, output)
    with pytest.raises(ParameterError, match=r"run the teacher again.*objective.digests\(teacher, label\)"):
        objective(students[1](x), label, output)
    digests = objective.digests(run_teacher(teacher, x, gradients=True), label)
    assert [objective(s(x), label, digests=digests).total.item() for s in students] == expected


def test_the_graph_of_the_teacher_lives_until_the_last_choice_of_options() -> None:
    teacher = freeze(
        TappedNetwork(nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 8), nn.Linear(8, 4)), ["1", "2"])
    )
    x, label = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 4
    rows = [DistillationObjective({"grad": {"stages": stages}}) for stages in ([0], [0, 1], [1], [0])]
    expected = [row.digests(run_teacher(teacher, x, gradients=True), label) for row in rows[:3]]
    output = run_teacher(teacher, x, gradients=True)
    found = teacher_digests(rows, output, label)
    for digests in expected:
        ((key, maps),) = digests.items()
        assert all(torch.equal(found[key][name], values) for name, values in maps.items())
    assert len(found) == 3 and all(not values.requires_grad for maps in found.values() for values in maps.values())
    with pytest.raises(ParameterError, match="freed its graph"):  # it takes no memory any more
        rows[0].digests(output, label)

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from topokd.distillation import SaliencyLoss, feature_gradients, saliency_map


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

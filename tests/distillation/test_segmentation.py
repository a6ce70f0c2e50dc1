from __future__ import annotations

import pytest
import torch

from topokd.distillation import SegmentationLoss, lovasz_softmax


def test_points_without_a_label_do_not_count() -> None:
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    label = torch.tensor([0, 3, -1, 2, -1, 1])
    kept = label >= 0
    expected = -logits.log_softmax(1)[kept, label[kept]].mean()
    assert SegmentationLoss()(logits, label).item() == pytest.approx(expected.item())


def test_a_crop_without_labels_gives_zero_and_a_gradient() -> None:
    logits = torch.randn(3, 4, requires_grad=True)
    loss = SegmentationLoss(lovasz=1.0)(logits, torch.full((3,), -1))
    loss.backward()
    assert loss.item() == 0 and logits.grad.abs().sum() == 0


def slow_lovasz(probability: torch.Tensor, label: torch.Tensor) -> float:
    """The Lovasz extension of the Jaccard loss, set by set."""
    losses = []
    for k in sorted(set(label.tolist())):
        truth = label == k
        error = [abs(float(t) - float(p)) for t, p in zip(truth, probability[:, k], strict=True)]
        order = sorted(range(len(error)), key=lambda i: -error[i])

        def jaccard(wrong: list[int], truth: torch.Tensor = truth) -> float:
            foreground = {i for i in range(len(truth)) if truth[i]}
            predicted = foreground ^ set(wrong)
            return 1 - len(foreground & predicted) / len(foreground | predicted)

        losses.append(sum(error[i] * (jaccard(order[: r + 1]) - jaccard(order[:r])) for r, i in enumerate(order)))
    return sum(losses) / len(losses)


def test_lovasz_equals_the_slow_twin() -> None:
    generator = torch.Generator().manual_seed(1)
    for _ in range(5):
        logits = torch.randn(12, 3, generator=generator, dtype=torch.float64, requires_grad=True)
        label = torch.randint(0, 3, (12,), generator=generator)
        assert lovasz_softmax(logits, label).item() == pytest.approx(
            slow_lovasz(logits.detach().softmax(1), label), rel=1e-9
        )
    assert torch.autograd.gradcheck(lambda z: lovasz_softmax(z, label), logits)


def test_lovasz_has_its_weight() -> None:
    logits, label = torch.randn(9, 3, generator=torch.Generator().manual_seed(2)), torch.arange(9) % 3
    plain, both = SegmentationLoss()(logits, label), SegmentationLoss(lovasz=0.5)(logits, label)
    assert (both - plain).item() == pytest.approx(0.5 * lovasz_softmax(logits, label).item(), rel=1e-5)

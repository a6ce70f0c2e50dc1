"""Requirements of every loss and every term; see loss_tester.py."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.distillation.loss_tester import Case, Networks, Pair, term_case
from topokd.clouds import at_least_float32
from topokd.distillation import (
    TERMS,
    AffinityLoss,
    AttentionTransferLoss,
    ChannelLoss,
    CorrelationLoss,
    DecoupledLoss,
    HintLoss,
    LabelSmoothingLoss,
    LogitLoss,
    RelationLoss,
    SaliencyLoss,
    SegmentationLoss,
    SimilarityLoss,
    StandardizedLogitLoss,
    TopologicalLoss,
    lovasz_softmax,
)
from topokd.errors import DataError


def call_saliency(loss: nn.Module, pair: Pair) -> torch.Tensor:
    """On all stages, with the losses summed over voxels."""
    feats = [[tap.feat for tap in output.taps] for output in (pair.student, pair.teacher)]
    n, step = len(pair.x), pair.step
    teacher_loss = n * functional.cross_entropy(at_least_float32(pair.teacher.logits), step.label)
    return loss(*feats, [pair.offsets] * len(feats[0]), student_loss=n * step.seg, teacher_loss=teacher_loss)


CASES = {
    "LogitLoss": Case(LogitLoss, lambda loss, pair: loss(pair.student.logits, pair.teacher.logits)),
    "SaliencyLoss": Case(SaliencyLoss, call_saliency, exact=lambda: SaliencyLoss(second_order=True)),
    "TopologicalLoss": Case(
        TopologicalLoss, lambda loss, pair: loss(pair.student.taps[-1].feat, pair.teacher.taps[-1].feat, pair.offsets)
    ),
    "SegmentationLoss": Case(
        SegmentationLoss,
        lambda loss, pair: loss(pair.student.logits, pair.step.label),
        zero_at_equality=False,
        rejects=("logits",),
    ),
    **{f"term {name}": term_case(name) for name in TERMS},
}
every_loss = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@every_loss
def test_the_loss_is_one_finite_number_with_a_gradient(case: Case) -> None:
    pair = Networks(0).pair()
    loss = case.value(pair)
    assert loss.shape == () and bool(torch.isfinite(loss)) and loss.item() > 0
    (gradient,) = torch.autograd.grad(loss, pair.x)
    assert bool(torch.isfinite(gradient).all()) and gradient.abs().sum() > 0


@every_loss
@pytest.mark.parametrize("seed", range(3))
def test_the_gradient_is_the_numerical_one(case: Case, seed: int) -> None:
    networks = Networks(seed)
    x, x_teacher = networks.points(2, 6)
    module = (case.exact or case.build)()

    def value(x: torch.Tensor) -> torch.Tensor:
        return case.call(module, networks.pair(2, 6, points=(x, x_teacher)))

    # fast: differences along a random direction, not along each of the 36 coordinates
    assert torch.autograd.gradcheck(
        value, x.clone().requires_grad_(True), eps=1e-7, atol=1e-5, rtol=1e-4, fast_mode=True
    )


@every_loss
def test_equal_networks_have_no_loss(case: Case) -> None:
    loss = case.value(Networks(1, equal=True).pair())
    assert (loss.item() == pytest.approx(0, abs=1e-12)) == case.zero_at_equality


@every_loss
def test_the_teacher_receives_no_gradient(case: Case) -> None:
    pair = Networks(2).pair()
    case.value(pair).backward()
    assert pair.x_teacher.grad is None


@every_loss
def test_a_batch_is_the_mean_of_its_clouds(case: Case) -> None:
    networks = Networks(3)
    singles = [case.value(networks.pair(3, only=k)).item() for k in range(3)]
    assert case.value(networks.pair(3)).item() == pytest.approx(sum(singles) / 3, rel=1e-9)


@every_loss
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_loss_is_computed_in_float32_at_least(case: Case, dtype: torch.dtype) -> None:
    expected = torch.float64 if dtype == torch.float64 else torch.float32
    assert case.value(Networks(4, dtype).pair()).dtype == expected


@every_loss
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16], ids=str)
def test_autocast_does_not_reach_a_loss(case: Case, half: torch.dtype) -> None:
    networks = Networks(4, torch.float32)
    expected = case.value_and_gradient(networks.pair(3, 40))
    value, gradient = case.value_and_gradient(networks.pair(3, 40), half)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, expected[0], rtol=1e-5, atol=0)
    torch.testing.assert_close(gradient, expected[1], rtol=1e-5, atol=1e-5 * expected[1].abs().max().item())


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize(
    "loss", [SimilarityLoss, AffinityLoss, RelationLoss, HintLoss, ChannelLoss, AttentionTransferLoss]
)
def test_features_of_usual_size_have_their_loss_under_autocast(loss: type[nn.Module], half: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    teacher = torch.randn(64, 256, generator=generator).relu() * 30  # squares of rows leave the range of float16
    results = []
    for enabled in (False, True):
        student = torch.randn(64, 128, generator=torch.Generator().manual_seed(1)).relu().requires_grad_()
        with torch.autocast("cpu", half, enabled=enabled):
            value = loss()(student, teacher)
        results.append((value.detach(), torch.autograd.grad(value, student)[0]))
    torch.testing.assert_close(results[1], results[0], rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16], ids=str)
def test_lovasz_keeps_its_precision_under_autocast(half: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    logits, label = torch.randn(50, 5, generator=generator, requires_grad=True), torch.arange(50) % 5
    with torch.autocast("cpu", half):
        value = SegmentationLoss(1.0)(logits, label)
    expected = SegmentationLoss(1.0)(logits, label)
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=0)
    torch.testing.assert_close(*(torch.autograd.grad(v, logits)[0] for v in (value, expected)), rtol=1e-5, atol=1e-9)


@every_loss
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_input_that_is_not_finite_is_rejected_by_name(case: Case, bad: float) -> None:
    for role, word in enumerate(case.rejects):
        pair = Networks(5, bad={role: bad}).pair()
        with pytest.raises(DataError, match=f"{word}.*NaN or infinity"):
            case.value(pair)


def with_one_class(loss: nn.Module, logits: Any) -> torch.Tensor:
    """The loss of logits in any layout, in both networks if it compares two, and labels if it takes them."""
    networks = (logits,) if isinstance(loss, SegmentationLoss | LabelSmoothingLoss) else (logits, logits)
    labels = () if len(networks) == 2 and not isinstance(loss, DecoupledLoss) else (torch.zeros(6).long(),)
    return loss(*networks, *labels)


@pytest.mark.parametrize(
    "loss",
    [LogitLoss, StandardizedLogitLoss, CorrelationLoss, DecoupledLoss, SegmentationLoss, LabelSmoothingLoss],
)
def test_logits_of_fewer_than_two_classes_are_rejected(loss: type[nn.Module]) -> None:
    for logits, axis in (
        (torch.zeros(6, 1), 1),
        (torch.zeros(2, 3, 1), 2),
        (torch.zeros(1, 1, 2, 3), 1),
        ([torch.zeros(4, 1), torch.zeros(2, 1)], 1),
    ):
        with pytest.raises(DataError, match=f"1 channel: for a binary output pass two, torch.cat.*dim={axis}\\)"):
            with_one_class(loss(), logits)
    with pytest.raises(DataError, match="logits have no channels: pass one per class"):
        with_one_class(loss(), torch.zeros(6, 0))
    z = torch.linspace(-1, 1, 6)[:, None].requires_grad_()
    assert with_one_class(loss(), torch.cat([torch.zeros_like(z), z], dim=1)).isfinite()


def test_lovasz_rejects_one_class() -> None:
    with pytest.raises(DataError, match="1 channel"):
        lovasz_softmax(torch.zeros(6, 1), torch.zeros(6).long())


@every_loss
def test_copies_give_the_same_bits(case: Case) -> None:
    module = case.build()
    expected = case.call(module, Networks(6).pair())
    for copied in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(case.call(copied, Networks(6).pair()), expected)

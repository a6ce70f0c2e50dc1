"""Requirements of every loss and every term; see loss_tester.py."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.distillation.loss_tester import Case, Networks, Pair, term_case
from topokd.clouds import at_least_float32
from topokd.distillation import TERMS, LogitLoss, SaliencyLoss, SegmentationLoss, TopologicalLoss
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
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_input_that_is_not_finite_is_rejected_by_name(case: Case, bad: float) -> None:
    for role, word in enumerate(case.rejects):
        pair = Networks(5, bad={role: bad}).pair()
        with pytest.raises(DataError, match=f"{word}.*NaN or infinity"):
            case.value(pair)


@every_loss
def test_copies_give_the_same_bits(case: Case) -> None:
    module = case.build()
    expected = case.call(module, Networks(6).pair())
    for copied in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(case.call(copied, Networks(6).pair()), expected)

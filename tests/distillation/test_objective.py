from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from topokd.data import Batch
from topokd.distillation import (
    DistillationObjective,
    LogitLoss,
    NetworkOutput,
    SaliencyLoss,
    SegmentationLoss,
    TopologicalLoss,
    freeze,
    match_rows,
    run_teacher,
)
from topokd.models import Tap, build_model
from topokd.params import Saliency, Topology

TOPOLOGY = {"num_points": 16, "dims": (0,), "normalize": "l2"}
CLASSES = 5
TENSORS = ("coord", "grid_coord", "feat", "label")


def objective(**given: object) -> DistillationObjective:
    """Two stages instead of five, few points."""
    return DistillationObjective(topology=Topology(stage=1, **TOPOLOGY), saliency=Saliency(stages=(0, 1)), **given)


class CountPasses(torch.autograd.Function):
    """The identity; appends to a list whenever a gradient comes through."""

    @staticmethod
    def forward(ctx: SimpleNamespace, x: Tensor, passes: list[int]) -> Tensor:
        ctx.passes = passes
        return x.clone()

    @staticmethod
    def backward(ctx: SimpleNamespace, gradient: Tensor) -> tuple[Tensor, None]:
        ctx.passes.append(1)
        return gradient, None


class Network(nn.Module):
    """Two stages: per voxel, and pooled by two voxels a side; its coarse rows come in an order of its own."""

    def __init__(self, width: int, order: Callable[[int], Tensor] = torch.arange) -> None:
        super().__init__()
        self.stem, self.down = nn.Linear(4, width), nn.Linear(width, 2 * width)
        self.head, self.order, self.passes = nn.Linear(3 * width, CLASSES), order, []

    def forward(self, batch: Batch | dict, taps: bool = False) -> Tensor | tuple:
        if isinstance(batch, Batch):
            batch = {"feat": batch.feat, "grid_coord": batch.grid_coord, "offset": batch.offsets}
        fine = self.stem(batch["feat"]).relu()
        counts = torch.diff(batch["offset"], prepend=torch.zeros(1, dtype=torch.long))
        cloud = torch.repeat_interleave(torch.arange(len(counts)), counts)
        key = torch.cat([cloud[:, None], batch["grid_coord"] >> 1], 1)
        unique, cluster = key.unique(dim=0, return_inverse=True)
        order = torch.cat(
            [(rows := torch.nonzero(unique[:, 0] == c)[:, 0])[self.order(len(rows))] for c in range(len(counts))]
        )
        place = torch.empty_like(order)
        place[order] = torch.arange(len(order))
        cluster = place[cluster]
        sums = torch.zeros(len(unique), fine.shape[1]).index_add(0, cluster, self.down.weight.new_ones(1) * fine)
        coarse = self.down(sums).tanh()
        logits = CountPasses.apply(self.head(torch.cat([fine, coarse[cluster]], 1)), self.passes)
        ends = torch.bincount(unique[:, 0]).cumsum(0)
        two = (
            SimpleNamespace(feat=fine, grid_coord=batch["grid_coord"], offsets=batch["offset"]),
            SimpleNamespace(feat=coarse, grid_coord=unique[order, 1:], offsets=ends),
        )
        return (logits, two) if taps else logits


def random_batch(seed: int, sizes: tuple[int, ...] = (60, 45)) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    grids = []
    for size in sizes:
        code = torch.randperm(1000, generator=generator)[:size]
        grids.append(torch.stack([code // 100, code // 10 % 10, code % 10], 1))
    grid = torch.cat(grids)
    feat = torch.randn(len(grid), 4, generator=generator)
    label = torch.randint(-1, CLASSES, (len(grid),), generator=generator)
    return Batch(grid * 0.2, grid, feat, label, torch.tensor(sizes).cumsum(0))


def backwards(n: int) -> Tensor:
    return torch.arange(n).flip(0)


def test_the_total_is_equation_8() -> None:
    batch = random_batch(0)
    student, teacher = Network(6), freeze(Network(10, backwards))
    out_s, out_t = NetworkOutput(*student(batch, taps=True)), run_teacher(teacher, batch, gradients=True)
    weights = {"topo": 0.7, "grad": 3.0, "kd": 0.2}
    losses = objective(**{f"lambda_{k}": v for k, v in weights.items()}, temperature=3.0)(out_s, batch.label, out_t)

    # The same by hand, with a teacher whose coarse rows already have the student's order.
    aligned = Network(10)
    aligned.load_state_dict(teacher.state_dict())
    plain_t = run_teacher(freeze(aligned), batch, gradients=True)
    seg = SegmentationLoss()
    offsets = [tap.offsets for tap in out_s.taps]
    features_s, features_t = ([tap.feat for tap in out.taps] for out in (out_s, plain_t))
    voxels = (batch.label >= 0).sum()
    expected = {
        "seg": seg(out_s.logits, batch.label),
        "topo": TopologicalLoss(**TOPOLOGY)(  # which rows are sampled goes by the teacher's order
            torch.cat([cloud.flip(0) for cloud in features_s[1].tensor_split(offsets[1][:-1])]),
            out_t.taps[1].feat.detach(),
            offsets[1],
        ),
        "grad": SaliencyLoss()(
            features_s,
            features_t,
            offsets,
            student_loss=seg(out_s.logits, batch.label) * voxels,
            teacher_loss=seg(plain_t.logits, batch.label) * voxels,
        ),
        "kd": LogitLoss(3.0)(out_s.logits, plain_t.logits),
    }
    assert set(losses.terms) == set(expected)
    for name, value in expected.items():
        assert losses.terms[name].item() == pytest.approx(value.item(), rel=1e-4), name
    total = expected["seg"] + sum(weights[name] * expected[name] for name in weights)
    assert losses.total.item() == pytest.approx(total.item(), rel=1e-5)
    gradient, by_hand = (
        torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(student.parameters()), retain_graph=True)])
        for loss in (losses.total, total)
    )
    torch.testing.assert_close(gradient, by_hand, rtol=1e-3, atol=1e-5)


def test_preparing_the_teachers_diagrams_changes_no_bit() -> None:
    batch = random_batch(0)
    student, teacher = Network(6), freeze(Network(10, backwards))
    criterion = objective(lambda_grad=0.0)
    found = []
    for ahead in (False, True):
        out_t = run_teacher(teacher, batch, gradients=False)
        prepared = criterion.prepare(out_t) if ahead else None
        losses = criterion(NetworkOutput(*student(batch, taps=True)), batch.label, out_t, prepared)
        found.append((losses.total, *torch.autograd.grad(losses.total, list(student.parameters()))))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert objective(lambda_topo=0.0).prepare(out_t) is None


def test_saliency_does_not_fade_with_the_size_of_the_batch() -> None:
    """The gradient of a mean over 60 copies is a sixtieth: the term stays what it is."""
    one = random_batch(5, (40,))
    student, teacher, goal = Network(6), freeze(Network(10)), objective(lambda_topo=0.0, lambda_kd=0.0)
    values = []
    for copies in (1, 60):
        fields = {name: getattr(one, name).repeat(copies, *[1] * (getattr(one, name).dim() - 1)) for name in TENSORS}
        batch = Batch(**fields, offsets=torch.arange(1, copies + 1) * 40)
        out = run_teacher(teacher, batch, gradients=True)
        values.append(goal(NetworkOutput(*student(batch, taps=True)), batch.label, out).terms["grad"].item())
    assert values[1] == pytest.approx(values[0], rel=1e-5)


def test_every_term_reaches_the_student_and_none_the_teacher() -> None:
    batch = random_batch(1)
    for name in ("topo", "grad", "kd"):
        student, teacher = Network(6), freeze(Network(10, backwards))
        goal = objective(**{f"lambda_{k}": float(k == name) for k in ("topo", "grad", "kd")})
        out = run_teacher(teacher, batch, gradients=goal.needs_teacher_gradients)
        losses = goal(NetworkOutput(*student(batch, taps=True)), batch.label, out)
        (losses.total - losses.terms["seg"]).backward()
        assert student.stem.weight.grad.abs().sum() > 0, name
        assert all(p.grad is None for p in teacher.parameters()), name


def test_no_pass_more_than_needed() -> None:
    batch = random_batch(2)
    for weights, student_passes, teacher_passes in (
        ({"lambda_topo": 0.0, "lambda_grad": 0.0, "lambda_kd": 0.0}, 1, 0),
        ({"lambda_grad": 0.0}, 1, 0),
        ({}, 2, 1),
    ):
        student, teacher, goal = Network(6), freeze(Network(10)), objective(**weights)
        out = None
        if goal.needs_teacher:
            out = run_teacher(teacher, batch, gradients=goal.needs_teacher_gradients)
            assert out.logits.requires_grad == goal.needs_teacher_gradients
        goal(NetworkOutput(*student(batch, taps=True)), batch.label, out).total.backward()
        assert (len(student.passes), len(teacher.passes)) == (student_passes, teacher_passes)


def test_a_missing_teacher_is_an_error_only_where_a_term_needs_one() -> None:
    batch = random_batch(3)
    out = NetworkOutput(*Network(6)(batch, taps=True))
    with pytest.raises(ValueError, match="topo, grad, kd need a teacher"):
        objective()(out, batch.label)
    losses = objective(lambda_topo=0.0, lambda_grad=0.0, lambda_kd=0.0)(out, batch.label)
    assert list(losses.terms) == ["seg"]


def test_rows_of_a_point_transformer_meet_under_shuffled_orders() -> None:
    """One network run twice with other curve orders: matched rows nearly agree, unmatched ones do not."""
    torch.manual_seed(0)
    network = build_model("ptv3-tiny", in_channels=4, num_classes=CLASSES).train()  # shuffles while it trains
    batch = random_batch(4, (400, 300))
    runs = []
    for seed in range(6):
        torch.manual_seed(seed)
        runs.append(network(batch, taps=True)[1])
    first = runs[0]
    for generator, other in enumerate(runs[1:]):
        for tap_t, tap_s in zip(other[:3], first[:3], strict=True):  # the last stages have a row or two here
            tap_t = shuffled(tap_t, torch.Generator().manual_seed(generator))  # whatever order this version keeps
            matched = tap_t.feat[match_rows(tap_t, tap_s)]
            assert (matched - tap_s.feat).norm() < 0.5 * (tap_t.feat - tap_s.feat).norm()


def shuffled(tap: Tap, generator: torch.Generator) -> Tap:
    """The rows of each cloud in another order."""
    ends = tap.offsets.tolist()
    parts = [a + torch.randperm(b - a, generator=generator) for a, b in zip([0, *ends], ends, strict=False)]
    index = torch.cat(parts)
    return Tap(tap.feat[index], tap.grid_coord[index], tap.offsets)

"""Published losses of other authors against their formulas, written out in NumPy one number at a time."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray

from topokd.distillation import (
    AffinityLoss,
    AttentionTransferLoss,
    ChannelLoss,
    CorrelationLoss,
    DecoupledLoss,
    DistillationObjective,
    HintLoss,
    LabelSmoothingLoss,
    LogitLoss,
    NetworkOutput,
    RelationLoss,
    SegmentationLoss,
    SimilarityLoss,
    StandardizedLogitLoss,
)
from topokd.distillation.affinity import supervoxels

seeds = given(st.integers(0, 2**31))
few = settings(max_examples=15, deadline=None)


def clouds(seed: int, same_width: bool = False) -> tuple[ndarray, ndarray, list[int]]:
    """Rows of student and teacher, and where two or three clouds end."""
    rng = np.random.default_rng(seed)
    ends = np.cumsum(rng.integers(3, 8, rng.integers(2, 4))).tolist()
    width = int(rng.integers(3, 6))
    return rng.normal(size=(ends[-1], width)), rng.normal(size=(ends[-1], width if same_width else width + 2)), ends


def split(x: ndarray, ends: list[int]) -> list[ndarray]:
    return np.split(x, ends[:-1])


def tensors(*arrays: ndarray) -> list[torch.Tensor]:
    return [torch.tensor(array) for array in arrays]


def softmax(z: ndarray, axis: int = -1) -> ndarray:
    e = np.exp(z - z.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def kl(p: ndarray, q: ndarray) -> float:
    return float(sum(a * np.log(a / b) for a, b in zip(p.reshape(-1), q.reshape(-1), strict=True)))


@few
@seeds
def test_standardised_logits_follow_their_formula(seed: int) -> None:
    student, teacher, _ = clouds(seed, same_width=True)
    total = 0.0
    for s, t in zip(student, teacher, strict=True):
        z_s, z_t = ((z - z.mean()) / z.std() / 3 for z in (s, t))
        total += 9 * kl(softmax(z_t), softmax(z_s))
    loss = StandardizedLogitLoss(temperature=3.0)(*tensors(student, teacher))
    assert loss.item() == pytest.approx(total / len(student), rel=1e-5)


def test_logits_that_are_all_equal_have_a_finite_gradient() -> None:
    student = torch.zeros(3, 4, requires_grad=True)
    StandardizedLogitLoss()(student, torch.randn(3, 4)).backward()
    assert bool(student.grad.isfinite().all())


@few
@seeds
def test_decoupled_distillation_follows_its_formula(seed: int) -> None:
    student, teacher, _ = clouds(seed, same_width=True)
    label = np.random.default_rng(seed).integers(-1, student.shape[1], len(student))
    label[0] = 0
    losses = []
    for s, t, y in zip(student, teacher, label, strict=True):
        if y < 0:
            continue
        p_s, p_t = softmax(s / 2), softmax(t / 2)
        target = kl(np.array([p_t[y], 1 - p_t[y]]), np.array([p_s[y], 1 - p_s[y]]))
        others = kl(*(np.delete(p, y) / np.delete(p, y).sum() for p in (p_t, p_s)))
        losses.append(4 * (0.5 * target + 3 * others))
    loss = DecoupledLoss(2.0, alpha=0.5, beta=3.0)(*tensors(student, teacher), torch.tensor(label))
    assert loss.item() == pytest.approx(np.mean(losses), rel=1e-6)


@few
@seeds
def test_decoupled_with_hintons_weights_is_hintons_loss(seed: int) -> None:
    student, teacher, _ = clouds(seed, same_width=True)
    for s, t in zip(student, teacher, strict=True):  # one row, whose beta is 1 - p_y
        beta = 1 - softmax(t / 2)[0]
        ours = DecoupledLoss(2.0, 1.0, float(beta))(*tensors(s[None], t[None]), torch.tensor([0]))
        assert ours.item() == pytest.approx(LogitLoss(2.0)(*tensors(s[None], t[None])).item(), rel=1e-6, abs=1e-9)


def test_without_labels_there_is_nothing_to_decouple() -> None:
    student = torch.randn(4, 3, requires_grad=True)
    loss = DecoupledLoss()(student, torch.randn(4, 3), torch.full((4,), -1))
    loss.backward()
    assert loss.item() == 0 and torch.equal(student.grad, torch.zeros(4, 3))


@few
@seeds
def test_correlation_follows_its_formula(seed: int) -> None:
    student, teacher, ends = clouds(seed, same_width=True)
    p_s, p_t = softmax(student / 2), softmax(teacher / 2)
    inter = np.mean([1 - np.corrcoef(a, b)[0, 1] for a, b in zip(p_s, p_t, strict=True)])
    intra = [
        np.mean([1 - np.corrcoef(a, b)[0, 1] for a, b in zip(s.T, t.T, strict=True)])
        for s, t in zip(split(p_s, ends), split(p_t, ends), strict=True)
    ]
    loss = CorrelationLoss(2.0, beta=3.0, gamma=0.5)(*tensors(student, teacher), ends)
    assert loss.item() == pytest.approx(4 * (3 * inter + 0.5 * np.mean(intra)), rel=1e-4)


@few
@seeds
def test_hints_follow_their_formula(seed: int) -> None:
    student, teacher, ends = clouds(seed)
    loss = HintLoss()
    loss(*tensors(student, teacher), ends)  # makes the projector
    weight = np.random.default_rng(seed).normal(size=(teacher.shape[1], student.shape[1]))
    loss.projector.weight.data = torch.tensor(weight)
    total = sum(((t - weight @ s) ** 2).sum() for s, t in zip(student, teacher, strict=True))
    assert loss(*tensors(student, teacher)).item() == pytest.approx(total / teacher.size)


def test_a_projector_learns_a_linear_map() -> None:
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(200, 4, generator=generator)
    teacher = student @ torch.randn(4, 9, generator=generator)
    loss = HintLoss()
    optimizer = torch.optim.Adam(loss.parameters(), lr=0.05)  # before the first call
    first = loss(student, teacher).item()
    for _ in range(200):
        optimizer.zero_grad()
        loss(student, teacher).backward()
        optimizer.step()
    assert loss(student, teacher).item() < 1e-3 * first


def test_a_projector_is_restored_before_its_first_call() -> None:
    loss = HintLoss()
    loss(torch.randn(5, 3), torch.randn(5, 4))
    with torch.no_grad():
        loss.projector.weight.add_(1)
    fresh = HintLoss()
    fresh.load_state_dict(loss.state_dict())
    assert torch.equal(fresh(torch.ones(5, 3), torch.ones(5, 4)), loss(torch.ones(5, 3), torch.ones(5, 4)))
    with pytest.raises(ValueError, match="one loss per pair of layers"):
        loss(torch.randn(5, 6), torch.randn(5, 4))


@pytest.mark.parametrize("kind", [HintLoss, ChannelLoss])
def test_a_projector_whose_first_call_is_one_of_inference_learns_afterwards(kind: type[torch.nn.Module]) -> None:
    loss, student, teacher = kind(), torch.randn(5, 3), torch.randn(5, 4)
    with torch.inference_mode():
        first = loss(student, teacher)
    loss(student, teacher).backward()
    assert loss.projector.weight.grad is not None and torch.equal(loss(student, teacher), first)


def test_a_projector_saved_before_its_first_call_holds_no_weights(tmp_path: Path) -> None:
    torch.save(HintLoss().state_dict(), tmp_path / "loss.pt")
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        torch.load(tmp_path / "loss.pt", weights_only=True)


@few
@seeds
def test_attention_transfer_follows_its_formula(seed: int) -> None:
    student, teacher, ends = clouds(seed)
    losses = []
    for s, t in zip(split(student, ends), split(teacher, ends), strict=True):
        q_s, q_t = ((x**2).sum(1) for x in (s, t))
        losses.append(((q_t / np.linalg.norm(q_t) - q_s / np.linalg.norm(q_s)) ** 2).sum())
    assert AttentionTransferLoss()(*tensors(student, teacher), ends).item() == pytest.approx(np.mean(losses))


@few
@seeds
def test_channelwise_distillation_follows_its_formula(seed: int) -> None:
    student, teacher, ends = clouds(seed, same_width=True)  # the projector begins as the identity
    losses = []
    for s, t in zip(split(student, ends), split(teacher, ends), strict=True):
        channels = [kl(softmax(b / 4), softmax(a / 4)) for a, b in zip(s.T, t.T, strict=True)]
        losses.append(16 * np.mean(channels))
    assert ChannelLoss(4.0)(*tensors(student, teacher), ends).item() == pytest.approx(np.mean(losses), rel=1e-6)


@few
@seeds
def test_similarity_follows_its_formula(seed: int) -> None:
    student, teacher, ends = clouds(seed)
    losses = []
    for s, t in zip(split(student, ends), split(teacher, ends), strict=True):
        g_s, g_t = (x @ x.T for x in (s, t))
        g_s, g_t = (g / np.linalg.norm(g, axis=1, keepdims=True) for g in (g_s, g_t))
        losses.append(((g_t - g_s) ** 2).sum() / len(s) ** 2)
    assert SimilarityLoss()(*tensors(student, teacher), ends).item() == pytest.approx(np.mean(losses))


@few
@seeds
def test_affinity_follows_its_formula(seed: int) -> None:
    student, teacher, ends = clouds(seed)
    losses = []
    for s, t in zip(split(student, ends), split(teacher, ends), strict=True):
        total = 0.0
        for n in range(len(s)):
            for m in range(len(s)):
                cosine = [x[n] @ x[m] / np.linalg.norm(x[n]) / np.linalg.norm(x[m]) for x in (s, t)]
                total += (cosine[0] - cosine[1]) ** 2
        losses.append(total / len(s) ** 2)
    assert AffinityLoss()(*tensors(student, teacher), ends).item() == pytest.approx(np.mean(losses))


@few
@seeds
def test_supervoxels_are_cubes_of_one_cloud(seed: int) -> None:
    rng = np.random.default_rng(seed)
    grid, ends = torch.tensor(rng.integers(-9, 9, (40, 3))), torch.tensor([15, 40])
    order, bounds = supervoxels(SimpleNamespace(feat=grid, grid_coord=grid, offsets=ends), 4)
    low = grid.div(4, rounding_mode="floor")
    keys = [(int(row >= 15), *low[row].tolist()) for row in order.tolist()]
    parts = [set(keys[a:b]) for a, b in zip([0, *bounds.tolist()], bounds.tolist(), strict=False)]
    assert all(len(part) == 1 for part in parts) and len(set().union(*parts)) == len(parts)
    assert sorted(order.tolist()) == list(range(40))


def huber(a: float, b: float) -> float:
    d = abs(a - b)
    return 0.5 * d * d if d < 1 else d - 0.5


@few
@seeds
def test_relations_follow_their_formula(seed: int) -> None:
    student, teacher, ends = clouds(seed)

    def distances(x: ndarray) -> ndarray:
        pairs = [(i, j) for i in range(len(x)) for j in range(i)]
        lengths = np.array([np.linalg.norm(x[i] - x[j]) for i, j in pairs])
        return lengths / lengths.mean()

    def angle(x: ndarray, i: int, j: int, k: int) -> float:
        a, b = x[i] - x[j], x[k] - x[j]
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b) if i != j and k != j else 0.0

    losses = []
    for s, t in zip(split(student, ends), split(teacher, ends), strict=True):
        n = range(len(s))
        d = np.mean([huber(a, b) for a, b in zip(distances(s), distances(t), strict=True)])
        a = np.mean([huber(angle(s, i, j, k), angle(t, i, j, k)) for i in n for j in n for k in n])
        losses.append(3 * d + 0.5 * a)
    loss = RelationLoss(distance=3.0, angle=0.5)(*tensors(student, teacher), ends)
    assert loss.item() == pytest.approx(np.mean(losses), rel=1e-6)


def test_clouds_of_one_point_or_of_equal_points_have_no_relations() -> None:
    student = torch.ones(6, 3, requires_grad=True)
    loss = RelationLoss()(student, torch.ones(6, 4), [1, 6])
    loss.backward()
    assert loss.item() == 0 and torch.equal(student.grad, torch.zeros(6, 3))


@few
@seeds
def test_smoothed_labels_equal_those_of_cross_entropy(seed: int) -> None:
    """(1 - epsilon) (CE + lambda L) is cross-entropy with smoothed labels, less a constant."""
    logits, _, _ = clouds(seed)
    label = torch.arange(len(logits)) % logits.shape[1]
    z, epsilon = torch.tensor(logits), 0.2
    smooth = torch.nn.functional.cross_entropy(z, label, label_smoothing=epsilon)
    ours = SegmentationLoss()(z, label) + epsilon / (1 - epsilon) * LabelSmoothingLoss()(z, label)
    assert (1 - epsilon) * ours.item() + epsilon * np.log(z.shape[1]) == pytest.approx(smooth.item(), rel=1e-6)


def test_label_smoothing_needs_no_teacher() -> None:
    objective = DistillationObjective({"label_smoothing": {}})
    assert not objective.needs_teacher
    student = torch.randn(6, 4, requires_grad=True)
    objective(NetworkOutput(student, ()), torch.arange(6) % 4).total.backward()
    with pytest.raises(ValueError, match="kd need a teacher"):
        DistillationObjective({"kd": {}, "label_smoothing": {}})(NetworkOutput(student, ()), torch.arange(6) % 4)

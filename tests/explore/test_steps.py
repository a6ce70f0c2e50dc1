"""The loss taken apart is the loss, and its gradient goes down."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from topokd.errors import ParameterError
from topokd.explore.matching import match_points, match_teacher
from topokd.explore.steps import GradientSteps
from topokd.topology import GRADIENTS, TopologicalLoss, precision_term, recall_term


def diagram(rng: np.random.Generator, k: int) -> np.ndarray:
    birth = rng.integers(0, 4, k) / 4 if rng.random() < 0.5 else rng.random(k)
    return np.stack([birth, birth + 0.01 + rng.random(k)], axis=1).reshape(k, 2)


@settings(max_examples=60, deadline=None)
@given(m=st.integers(0, 8), k=st.integers(0, 8), seed=st.integers(0, 10_000), scale=st.sampled_from([1.0, 0.5]))
def test_matches_add_up_to_the_terms_of_the_loss(m: int, k: int, seed: int, scale: float):
    rng = np.random.default_rng(seed)
    teacher, student = diagram(rng, m), diagram(rng, k)
    p, q = torch.from_numpy(teacher), torch.from_numpy(student)
    recall, precision = match_teacher(teacher, student, scale), match_points(student, teacher, scale)
    assert recall.total == pytest.approx(recall_term(p, q, match_scale=scale).item(), abs=1e-12)
    assert precision.total == pytest.approx(precision_term(p, q, match_scale=scale).item(), abs=1e-12)
    for match, own in ((recall, teacher), (precision, student)):
        to_diagonal = match.index < 0
        squared = ((own - match.target) ** 2).sum(axis=1)
        np.testing.assert_allclose(match.cost, np.where(to_diagonal, 1.0, scale) * squared, atol=1e-12)


@pytest.fixture
def steps() -> GradientSteps:
    rng = np.random.default_rng(3)
    teacher = rng.normal(size=(60, 8))
    return GradientSteps(teacher + rng.normal(0, 0.4, teacher.shape), teacher, 40, "l2")


def test_the_parts_are_the_loss_of_training(steps: GradientSteps):
    loss = steps.scene()["loss"]
    expected = TopologicalLoss(40, normalize="l2")(steps.start, steps.teacher, torch.tensor([60])).item()
    assert loss["value"] == pytest.approx(expected, rel=1e-12)
    assert sum(p["recall"] + p["precision"] for p in loss["parts"]) == pytest.approx(expected, rel=1e-9)


def test_steps_lower_the_loss_and_can_be_undone(steps: GradientSteps):
    first = steps.value
    for _ in range(5):
        steps.step(0.01)
    assert steps.value < 0.9 * first and len(steps.history) == 6
    moved = (steps.features - steps.start).norm(dim=1).max().item()
    assert moved <= 5 * 0.01 * steps.size * (1 + 1e-9)
    steps.reset()
    assert steps.value == first and steps.history == [first]


def test_arrows_point_where_the_drawn_points_go():
    rng = np.random.default_rng(4)
    teacher = rng.normal(size=(40, 6))
    steps = GradientSteps(teacher + rng.normal(0, 0.4, teacher.shape), teacher, 40, "none")
    before = steps.scene()
    arrows, drawn = before["loss"]["arrows"].astype(float), before["clouds"][0]["positions"].astype(float)
    steps.step(0.05)
    move = steps.changes()["student"]["positions"] - drawn
    factor = (move * arrows).sum() / (arrows**2).sum()
    assert factor > 0
    np.testing.assert_allclose(move, factor * arrows, atol=1e-5)


@pytest.mark.parametrize("size", [0.0, -1.0, 2.0])
def test_a_step_has_a_possible_size(steps: GradientSteps, size: float):
    with pytest.raises(ParameterError, match=r"share of the cloud's size in \(0, 1\]"):
        steps.step(size)


def test_every_way_of_the_gradient_makes_a_step(steps: GradientSteps):
    moved = {}
    for way in GRADIENTS:
        steps.reset()
        steps.step(0.01, way)
        moved[way] = int((steps.gradient.norm(dim=1) > 0).sum())
    assert set(moved) >= {"critical", "diffeomorphic"} and moved["critical"] <= moved["diffeomorphic"]


def test_a_step_that_fails_moves_nothing(steps: GradientSteps, monkeypatch: pytest.MonkeyPatch):
    steps.step(0.02)
    features, history = steps.features, steps.history

    def fail(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("topokd.explore.steps.persistence_of", fail)
        for act in (lambda: steps.step(0.02, "diffeomorphic"), steps.reset):
            with pytest.raises(MemoryError):
                act()
    assert steps.features is features and steps.history == history and steps.way is None

"""Fragments of objects and calibration, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from topokd.data import IGNORE
from topokd.errors import DataError, ParameterError
from topokd.evaluation.calibration import Calibration
from topokd.evaluation.fragments import Fragments, components

pytestmark = pytest.mark.unit


def flooded(xyz: np.ndarray, cell: float) -> list[int]:
    """Components by flood fill over pairs of points whose cells touch: the definition."""
    grid = np.floor(xyz / cell).astype(int)
    component, number = [-1] * len(xyz), 0
    for start in range(len(xyz)):
        if component[start] >= 0:
            continue
        stack = [start]
        while stack:
            here = stack.pop()
            if component[here] < 0:
                component[here] = number
                stack += np.flatnonzero(np.abs(grid - grid[here]).max(1) <= 1).tolist()
        number += 1
    return component


@pytest.mark.parametrize("seed", range(8))
def test_components_are_those_of_a_flood_fill(seed: int) -> None:
    rng = np.random.default_rng(seed)
    xyz = rng.uniform(-4, 4, (int(rng.integers(1, 150)), 3))
    cell = float(rng.uniform(0.2, 1.5))
    assert components(xyz, cell).tolist() == flooded(xyz, cell)


def test_components_of_nothing_and_of_the_far_away() -> None:
    assert components(np.zeros((0, 3)), 0.4).tolist() == []
    for bad in (1e9, np.nan):
        with pytest.raises(DataError, match="million|1,048,576"):
            components(np.full((1, 3), bad), 0.4)


def line(start: float, count: int) -> np.ndarray:
    return np.stack([start + 0.3 * np.arange(count), np.zeros(count), np.zeros(count)], 1)


def test_an_object_is_whole_broken_or_missed() -> None:
    xyz = np.concatenate([line(0, 10), line(50, 10), line(100, 10), line(200, 3)])  # the last is too small
    truth = np.ones(33, np.int64)
    prediction = np.concatenate([np.ones(10), [1, 1, 1, 0, 0, 0, 0, 1, 1, 1], np.zeros(10), np.ones(3)]).astype(
        np.int64
    )
    counts = Fragments([1, 2])
    counts.update(xyz, truth, prediction)
    assert counts.objects.tolist() == [3, 0] and counts.per_object() == 1.5
    assert counts.missed() == pytest.approx(1 / 3)
    assert np.isnan(counts.per_object([2])) and np.isnan(counts.missed([2]))


def test_right_points_of_another_class_do_not_join_fragments() -> None:
    xyz = line(0, 12)
    truth = np.array([1] * 5 + [2] * 5 + [1] * 2)
    counts = Fragments([1, 2], least=2)
    counts.update(xyz, truth, truth)
    assert counts.objects.tolist() == [2, 1] and counts.per_object() == 1.0


@pytest.mark.parametrize("seed", range(4))
def test_the_calibration_error_equals_its_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    probability = rng.dirichlet(np.ones(4), 300)
    truth = rng.integers(-1, 4, 300)
    assert IGNORE == -1
    whole = Calibration()
    for part in np.array_split(np.arange(300), 3):
        whole.update(probability[part], truth[part])
    known = truth >= 0
    confidence, right = probability[known].max(1), probability[known].argmax(1) == truth[known]
    expected = 0.0
    for low in np.arange(15) / 15:
        inside = (confidence > low) & (confidence <= low + 1 / 15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert whole.error() == pytest.approx(expected)
    assert np.isnan(Calibration().error())


@pytest.mark.invalid_arguments
@pytest.mark.parametrize("cell", [0, -0.4, float("nan"), float("inf"), "0.4", None])
def test_a_cell_has_a_size(cell):
    with pytest.raises(ParameterError, match="cell is"):
        components(np.zeros((2, 3)), cell)
    with pytest.raises(ParameterError, match="cell is"):
        Fragments([0], cell)


@pytest.mark.invalid_arguments
def test_impossible_counts_are_rejected():
    for wrong in (
        lambda: Calibration(0),
        lambda: Calibration(2.5),
        lambda: Fragments([0], least=0),
        lambda: Fragments([-1]),
    ):
        with pytest.raises(ParameterError):
            wrong()
    with pytest.raises(DataError, match="3 points, 2 true and 3 predicted classes"):
        Fragments([0]).update(np.zeros((3, 3)), np.zeros(2, np.int64), np.zeros(3, np.int64))


@pytest.mark.invalid_arguments
@pytest.mark.parametrize("value", [float("nan"), 3.0, -0.5])
def test_scores_are_not_taken_for_probabilities(value):
    with pytest.raises(DataError, match="outside 0..1: give the softmax"):
        Calibration().update(np.array([[0.4, value]]), np.zeros(1, np.int64))
    with pytest.raises(DataError, match="give .n, c. and .n,."):
        Calibration().update(np.full((2, 2), 0.5), np.zeros(3, np.int64))

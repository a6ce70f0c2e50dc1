"""Gradients at ties, as documented."""

from __future__ import annotations

import numpy as np
import torch

from tests.topology.functions.diagrams import GRID, diagram
from topokd.topology import functions as F


def gradient(function, points: list[list[float]]) -> list[list[float]]:  # type: ignore[no-untyped-def]
    a = torch.tensor(points, dtype=torch.float64, requires_grad=True)
    function(a).backward()
    assert a.grad is not None
    return a.grad.tolist()


def test_at_equal_coordinates_of_a_pair_each_has_half_of_the_gradient() -> None:
    b = torch.tensor([[0.0, 4.0]], dtype=torch.float64)
    for distance in (F.wasserstein_distance, F.bottleneck_distance):
        assert gradient(lambda a, d=distance: d(a, b), [[0.5, 4.5]]) == [[0.5, 0.5]]


def test_pairs_that_tie_for_the_bottleneck_share_its_gradient() -> None:
    b = torch.tensor([[0.0, 4.0], [10.0, 14.0]], dtype=torch.float64)
    assert gradient(lambda a: F.bottleneck_distance(a, b), [[0.0, 4.5], [10.0, 14.5]]) == [[0, 0.5], [0, 0.5]]


def test_the_first_of_equal_tents_has_the_gradient_of_the_first_landscape() -> None:
    slopes = gradient(lambda a: F.landscape(a, [0.5], k=2)[0, 0] / 2**0.5, [[0.0, 4.0], [0.0, 4.0]])
    assert np.allclose(slopes, [[-1, 0], [0, 0]])


def test_birth_and_death_share_the_gradient_at_the_top_of_a_tent() -> None:
    slopes = gradient(lambda a: F.landscape(a, [2.0], k=1)[0, 0] / 2**0.5, [[0.0, 4.0]])
    assert np.allclose(slopes, [[-0.5, 0.5]])
    assert gradient(lambda a: F.landscape(a, [0.0, 4.0, 5.0], k=1).sum(), [[0.0, 4.0]]) == [[0, 0]]


def test_points_on_the_diagonal_have_no_gradient_in_entropy_and_powers_of_persistence() -> None:
    for function in (F.persistence_entropy, lambda a: F.total_persistence(a, 0.5)):
        slopes = gradient(function, [[0.0, 1.0], [0.0, 2.0], [3.0, 3.0]])
        assert slopes[2] == [0, 0] and slopes[0] != [0, 0]


def test_a_smoothed_betti_curve_tends_to_the_curve() -> None:
    a = diagram(10, 0)
    torch.testing.assert_close(F.betti_curve(a, GRID, width=1e-5), F.betti_curve(a, GRID))

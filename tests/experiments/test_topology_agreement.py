"""Agreement of engines, Proposition 1, Lemma 1 and Figure 7, and stability of diagrams."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from topokd.experiments.log_weights import loop_and_noise, measure_dampening, measure_lemma1
from topokd.experiments.proposition1 import measure_proposition1, worst_share_of_bound
from topokd.experiments.shapes import PRIMITIVES
from topokd.experiments.topology_agreement import measure_agreement
from topokd.topology import bottleneck_distance, vietoris_rips


def test_engines_agree_on_the_shapes_of_figure_eight() -> None:
    rows, diagrams = measure_agreement(n=24, seed=3)
    assert max(row["bottleneck"] for row in rows) < 1e-12
    assert sorted(diagrams) == sorted(PRIMITIVES) and sum(row["pairs"] for row in rows) > 100


@pytest.mark.parametrize("seed", range(3))
def test_proposition_one_bounds_the_sampled_diagrams(seed: int) -> None:
    rows = measure_proposition1(n=150, sizes=(10, 40), seed=seed)
    for row in rows:
        assert max(row["bottleneck"]) <= row["bound"] + 1e-12, row
    assert 0 < worst_share_of_bound(rows) <= 1 + 1e-12


def test_diagrams_are_stable() -> None:
    """Moving every point by at most delta moves a diagram by at most 2 delta (bottleneck)."""
    rng = np.random.default_rng(0)
    for make in PRIMITIVES.values():
        points = make(100, rng)
        moved = points + rng.normal(size=points.shape) * 0.01
        delta = np.linalg.norm(points - moved, axis=1).max()
        for a, b in zip(vietoris_rips(points).diagrams, vietoris_rips(moved).diagrams, strict=True):
            assert bottleneck_distance(a, b) <= 2 * delta


def test_diagrams_do_not_change_under_rigid_motions() -> None:
    rng = np.random.default_rng(1)
    points = rng.normal(size=(80, 5))
    moved = points[rng.permutation(80)] @ np.linalg.qr(rng.normal(size=(5, 5)))[0] + 3.0
    for a, b in zip(vietoris_rips(points).diagrams, vietoris_rips(moved).diagrams, strict=True):
        assert bottleneck_distance(a, b) < 1e-12


def test_lemma_one_the_contribution_vanishes_at_least_linearly() -> None:
    rows = measure_lemma1()
    for row in rows:
        assert 0 <= row["with_diagonal"] <= row["contribution"] * (1 + 1e-9) <= row["bound"] * (1 + 1e-6)
    steps = [b["contribution"] / a["contribution"] for a, b in pairwise(rows[2:])]
    np.testing.assert_allclose(steps, 0.1, rtol=0.05)


def test_log_weights_dampen_noise() -> None:
    dampening = measure_dampening(seed=2)
    weighted = np.array(dampening["weighted"])
    order = np.argsort(dampening["persistence"])
    loop, noise = loop_and_noise(dampening)
    assert loop == weighted[order[-1]] > 5
    assert noise < 1 and noise == pytest.approx(weighted[order[:-1]].mean())
    torch.testing.assert_close(
        torch.tensor(dampening["plain"]).median(), torch.tensor(dampening["plain"])[0], rtol=0.1, atol=0.1
    )

"""What the paper proves, measured."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch

from topokd.experiments.shapes import PRIMITIVES
from topokd.experiments.topology_agreement import agreement, dampening, lemma_one, proposition_one
from topokd.topology import vietoris_rips
from topokd.topology.bottleneck import bottleneck_distance


def test_engines_agree_on_the_shapes_of_figure_eight() -> None:
    rows, found = agreement(n=24, seed=3)
    assert max(row["bottleneck"] for row in rows) < 1e-12
    assert sorted(found) == sorted(PRIMITIVES) and sum(row["pairs"] for row in rows) > 100


def test_proposition_one_bounds_the_sampled_diagrams() -> None:
    for seed in range(3):
        for row in proposition_one(n=150, sizes=(10, 40), seed=seed):
            assert max(row["bottleneck"]) <= row["bound"] + 1e-12, row


def test_diagrams_are_stable() -> None:
    """Moving every point by at most delta moves a diagram by at most 2 delta (bottleneck)."""
    rng = np.random.default_rng(0)
    for make in PRIMITIVES.values():
        points = make(100, rng)
        moved = points + rng.normal(size=points.shape) * 0.01
        delta = np.linalg.norm(points - moved, axis=1).max()
        for a, b in zip(vietoris_rips(points).diagrams, vietoris_rips(moved).diagrams, strict=True):
            assert bottleneck_distance(a.numpy(), b.numpy()) <= 2 * delta


def test_diagrams_do_not_see_rigid_motions() -> None:
    rng = np.random.default_rng(1)
    points = rng.normal(size=(80, 5))
    moved = points[rng.permutation(80)] @ np.linalg.qr(rng.normal(size=(5, 5)))[0] + 3.0
    for a, b in zip(vietoris_rips(points).diagrams, vietoris_rips(moved).diagrams, strict=True):
        assert bottleneck_distance(a.numpy(), b.numpy()) < 1e-12


def test_lemma_one_the_contribution_vanishes_at_least_linearly() -> None:
    rows = lemma_one()
    for row in rows:
        assert 0 <= row["with_diagonal"] <= row["contribution"] * (1 + 1e-9) <= row["bound"] * (1 + 1e-6)
    steps = [b["contribution"] / a["contribution"] for a, b in pairwise(rows[2:])]
    np.testing.assert_allclose(steps, 0.1, rtol=0.05)


def test_log_weights_dampen_noise() -> None:
    found = dampening(seed=2)
    persistence, weighted = np.array(found["persistence"]), np.array(found["weighted"])
    order = np.argsort(persistence)
    assert weighted[order[-1]] > 5 and weighted[order[: len(order) // 2]].max() < 1
    torch.testing.assert_close(
        torch.tensor(found["plain"]).median(), torch.tensor(found["plain"])[0], rtol=0.1, atol=0.1
    )

"""Terms that compare a summary of the diagrams, against their formulas written out in NumPy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy import ndarray

from tests.distillation.loss_tester import Networks
from topokd import topology
from topokd.distillation import TERMS

GRID = np.linspace(0, 2, 100)


def persistence(d: ndarray) -> ndarray:
    return d[:, 1] - d[:, 0]


def entropy(d: ndarray) -> float:
    share = persistence(d) / persistence(d).sum() if len(d) else np.ones(1)
    return -float((share * np.log(share)).sum())


def tents(d: ndarray) -> ndarray:
    rising, falling = GRID - d[:, :1], d[:, 1:] - GRID
    return 2**0.5 * np.maximum(0, np.minimum(rising, falling))


def betti(d: ndarray) -> ndarray:
    born, died = (1 / (1 + np.exp(-(GRID - end) / 0.05)) for end in (d[:, :1], d[:, 1:]))
    return (born - died).sum(0)


def landscapes(d: ndarray) -> ndarray:
    return np.sort(np.concatenate([tents(d), np.zeros((5, 100))]), axis=0)[::-1][:5]


def silhouette(d: ndarray) -> ndarray:
    weight = persistence(d)
    return weight @ tents(d) / weight.sum() if len(d) else np.zeros(100)


FORMULAS: dict[str, tuple[Callable[[ndarray], float | ndarray], float]] = {
    "total_persistence": (lambda d: float(persistence(d).sum()), 1.0),
    "persistence_entropy": (entropy, 1.0),
    "betti_curve": (betti, GRID[1]),
    "landscape": (landscapes, GRID[1]),
    "silhouette": (silhouette, GRID[1]),
}


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("seed", range(4))
def test_a_term_is_the_squared_difference_of_its_summary(name: str, seed: int) -> None:
    pair = Networks(seed).pair(2, 12)
    summary, spacing = FORMULAS[name]
    total = 0.0
    for k in range(2):
        rows = slice(12 * k, 12 * (k + 1))
        clouds = [
            torch.nn.functional.normalize(output.taps[4].feat[rows], dim=1) for output in (pair.student, pair.teacher)
        ]
        own, known = (topology.vietoris_rips(cloud.detach()).diagrams for cloud in clouds)
        for degree in (0, 1):
            difference = np.subtract(summary(own[degree].numpy()), summary(known[degree].numpy()))
            total += spacing * float((difference**2).sum())
    assert TERMS[name]()(pair.step).item() == pytest.approx(total / 2, rel=1e-9)


@pytest.mark.parametrize("name", [*FORMULAS, "bottleneck", "rtd"])
def test_gradient_descent_on_a_term_brings_the_networks_nearer(name: str) -> None:
    networks = Networks(0)
    x, x_teacher = networks.points(2, 12)
    term, x = TERMS[name](), x.requires_grad_()
    optimizer, losses = torch.optim.Adam([x], lr=0.02), []
    for _ in range(40):
        loss = term(networks.pair(2, 12, points=(x, x_teacher)).step)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert min(losses[-5:]) < 0.75 * losses[0]

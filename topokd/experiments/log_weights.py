"""Figure 7 and Lemma 1: logarithmic weights dampen noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from topokd.experiments.shapes import circle
from topokd.topology.chamfer import recall_term
from topokd.topology.persistence import vietoris_rips

SHIFT = 0.002
"""By how much the student's diagram of Figure 7 (a) is off: births move down and deaths up."""
DELTAS = tuple(10.0**-k for k in range(7))
"""Persistences of the noise pair of Figure 7 (b)."""
DISTANCE = 0.3
"""Distance of the noise pair to its nearest match."""


def measure_dampening(n: int = 240, seed: int = 0) -> dict[str, list[float]]:
    """Figure 7 (a): gradient of each H1 pair of a noisy circle for a student whose diagram is off by `SHIFT`.

    Args:
        n: number of points of the circle.
        seed: seed of the circle.

    Returns:
        Lists over the pairs of the teacher: ``persistence``, ``weighted`` (length of the gradient under Eq. 2) and
        ``plain`` (all pairs weighted equally), the last two divided by their mean over the pairs.
    """
    teacher = vietoris_rips(circle(n, np.random.default_rng(seed), noise=0.12)).diagrams[1]
    persistence = teacher[:, 1] - teacher[:, 0]
    far = persistence > 2 * SHIFT  # a pair nearer to the diagonal is matched to it, and the student gets no gradient
    student = (teacher + torch.tensor([-SHIFT, SHIFT])).requires_grad_(True)
    (gradient,) = torch.autograd.grad(recall_term(teacher, student), student)
    weighted = gradient.norm(dim=1)
    match = (teacher - student).square().sum(dim=1).minimum(persistence.square() / 2).mean()
    (gradient,) = torch.autograd.grad(match, student)
    plain = gradient.norm(dim=1)
    return {
        "persistence": persistence[far].tolist(),
        "weighted": (weighted / weighted.mean())[far].tolist(),
        "plain": (plain / plain.mean())[far].tolist(),
    }


def loop_and_noise(gradients: Mapping[str, Sequence[float]]) -> tuple[float, float]:
    """Gradient of the most persistent pair, the loop, and mean gradient of all other pairs, of Figure 7 (a)."""
    weighted = np.array(gradients["weighted"])
    loop = int(np.argmax(gradients["persistence"]))
    return weighted[loop], np.delete(weighted, loop).mean()


def measure_lemma1() -> list[dict[str, float]]:
    """Figure 7 (b), Lemma 1: what one noise pair of persistence delta adds to the recall term.

    Returns:
        Rows ``delta``; ``contribution`` of Eq. 11 (no diagonal); ``with_diagonal`` of Eq. 2; ``bound``, the middle of
        Eq. 15, d^2 delta / w_T, above the contribution because log(1 + delta) <= delta.
    """
    signal = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    rows = []
    for delta in DELTAS:
        noise = torch.tensor([[2.0, 2.0 + delta]], dtype=torch.float64)
        student = torch.cat([signal, noise - torch.tensor([[DISTANCE, 0.0]], dtype=torch.float64)])
        teacher = torch.cat([signal, noise])
        normaliser = float(torch.log1p(teacher[:, 1] - teacher[:, 0]).sum()) + 1e-6
        share = float(torch.log1p(torch.tensor(delta, dtype=torch.float64))) / normaliser
        rows.append(
            {
                "delta": delta,
                "contribution": share * DISTANCE**2,
                "with_diagonal": float(recall_term(teacher, student)),
                "bound": delta * DISTANCE**2 / normaliser,
            }
        )
    return rows

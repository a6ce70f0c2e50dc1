"""Figure 7 and Lemma 1: logarithmic weights dampen noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from topokd.experiments.shapes import circle
from topokd.topology.chamfer import recall_term
from topokd.topology.persistence import vietoris_rips


def measure_dampening(n: int = 240, shift: float = 0.002, seed: int = 0) -> dict[str, list[float]]:
    """Figure 7 (a): gradient of each H1 pair of a noisy circle for a student whose diagram is off by ``shift``.

    Args:
        n: number of points of the circle.
        shift: births move down and deaths move up by this much.
        seed: seed of the circle.

    Returns:
        Lists over the pairs of the teacher: ``persistence``, ``weighted`` (length of the gradient under Eq. 2) and
        ``plain`` (all pairs weighted equally), the last two divided by their mean over the pairs.
    """
    teacher = vietoris_rips(circle(n, np.random.default_rng(seed), noise=0.12)).diagrams[1]
    persistence = teacher[:, 1] - teacher[:, 0]
    far = persistence > 2 * shift  # a pair nearer to the diagonal is matched to it, and the student gets no gradient
    student = (teacher + torch.tensor([-shift, shift])).requires_grad_(True)
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


def measure_lemma1(
    deltas: Sequence[float] = tuple(10.0**-k for k in range(7)), distance: float = 0.3
) -> list[dict[str, float]]:
    """Figure 7 (b), Lemma 1: what one noise pair of persistence delta adds to the recall term.

    Args:
        deltas: persistences of the noise pair.
        distance: distance to its nearest match.

    Returns:
        Rows ``delta``; ``contribution`` of Eq. 11 (no diagonal); ``with_diagonal`` of Eq. 2; ``bound``, right side of
        Eq. 12 with the measured normaliser in place of epsilon.
    """
    signal = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    rows = []
    for delta in deltas:
        noise = torch.tensor([[2.0, 2.0 + delta]], dtype=torch.float64)
        student = torch.cat([signal, noise - torch.tensor([[distance, 0.0]], dtype=torch.float64)])
        teacher = torch.cat([signal, noise])
        normaliser = float(torch.log1p(teacher[:, 1] - teacher[:, 0]).sum()) + 1e-6
        share = float(torch.log1p(torch.tensor(delta, dtype=torch.float64))) / normaliser
        rows.append(
            {
                "delta": delta,
                "contribution": share * distance**2,
                "with_diagonal": float(recall_term(teacher, student)),
                "bound": delta * distance**2 / normaliser,
            }
        )
    return rows

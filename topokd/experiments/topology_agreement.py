"""The theory measured: agreement of engines (Figure 8), Proposition 1, Lemma 1 (Figure 7)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from topokd.experiments.shapes import PRIMITIVES, circle
from topokd.topology.bottleneck import bottleneck_distance
from topokd.topology.chamfer import recall_term
from topokd.topology.persistence import Engine, Persistence, vietoris_rips
from topokd.topology.sampling import covering_radius, farthest_point_sampling

MEASURED: tuple[Engine, ...] = ("reference", "reduced")  # compared with giotto-ph, a Ripser


def agreement(n: int = 36, seed: int = 0) -> tuple[list[dict[str, Any]], dict[str, dict[str, Persistence]]]:
    """Figure 8: bottleneck distances of our engines to giotto-ph on each primitive, and all the diagrams.

    Rows: ``shape``, ``engine``, ``dim``, ``pairs``, ``bottleneck`` (0: equal multisets, giotto-ph's edges read in
    float64).
    """
    rows: list[dict[str, Any]] = []
    found: dict[str, dict[str, Persistence]] = {}
    for shape, make in PRIMITIVES.items():
        points = make(n, np.random.default_rng(seed))
        engines: tuple[Engine, ...] = ("giotto-ph", *MEASURED)
        found[shape] = {engine: vietoris_rips(points, engine=engine) for engine in engines}
        for engine in MEASURED:
            for dim in (0, 1):
                own, other = (found[shape][e].diagrams[dim].numpy() for e in (engine, "giotto-ph"))
                distance = bottleneck_distance(own, other)
                rows.append({"shape": shape, "engine": engine, "dim": dim, "pairs": len(own), "bottleneck": distance})
    return rows, found


def proposition_one(n: int = 400, sizes: tuple[int, ...] = (25, 50, 100, 200), seed: int = 0) -> list[dict[str, Any]]:
    """Proposition 1: bottleneck distance between the diagrams of a cloud and of its TPS sample; bound: 2 epsilon.

    Rows: ``shape``, ``points``, ``kept``, ``epsilon``, ``bound``, ``bottleneck`` per dimension (list).
    """
    rows = []
    for shape, make in PRIMITIVES.items():
        points = make(n, np.random.default_rng(seed))
        whole = vietoris_rips(points)
        for kept in sizes:
            sample = farthest_point_sampling(points, kept)
            epsilon = float(covering_radius(points, sample))
            part = vietoris_rips(points[sample.numpy()])
            distances = [
                bottleneck_distance(a.numpy(), b.numpy()) for a, b in zip(whole.diagrams, part.diagrams, strict=True)
            ]
            rows.append(
                {
                    "shape": shape,
                    "points": n,
                    "kept": kept,
                    "epsilon": epsilon,
                    "bound": 2 * epsilon,
                    "bottleneck": distances,
                }
            )
    return rows


def dampening(n: int = 240, shift: float = 0.002, seed: int = 0) -> dict[str, list[float]]:
    """Figure 7: the gradient that each H1 point of a noisy circle sends to a student that is off by ``shift``.

    Lists over teacher's points: ``persistence``, ``weighted`` (gradient's length under Eq. 2) and ``plain`` (every
    point counted alike), both divided by the mean over points, so that 1 is an equal share.
    """
    teacher = vietoris_rips(circle(n, np.random.default_rng(seed), noise=0.12)).diagrams[1]
    persistence = teacher[:, 1] - teacher[:, 0]
    far = persistence > 2 * shift  # nearer to the diagonal the cost is the point's own, and student feels nothing
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


def lemma_one(
    deltas: tuple[float, ...] = tuple(10.0**-k for k in range(7)), distance: float = 0.3
) -> list[dict[str, float]]:
    """Lemma 1: what a teacher point of persistence delta adds to the recall term, its match ``distance`` off.

    Rows: ``delta``; ``contribution`` of Eq. 11 (no diagonal); ``with_diagonal`` of Eq. 2; ``bound``, right side of Eq.
    12 with the measured normaliser in place of epsilon.
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

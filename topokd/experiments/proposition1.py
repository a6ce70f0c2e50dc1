"""Proposition 1: how far is the diagram of a farthest-point sample from the diagram of the whole cloud?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from topokd.experiments.shapes import PRIMITIVES
from topokd.topology import bottleneck_distance
from topokd.topology.persistence import vietoris_rips
from topokd.topology.sampling import covering_radius, farthest_point_sampling


def measure_proposition1(
    n: int = 400, sizes: Sequence[int] = (25, 50, 100, 200), seed: int = 0
) -> list[dict[str, Any]]:
    """Bottleneck distances between the diagrams of a cloud X and of its sample S, and the bound of Proposition 1.

    d_B(D(X), D(S)) <= 2 epsilon, with epsilon the covering radius of S.

    Args:
        n: number of points of each shape.
        sizes: numbers of points kept by farthest point sampling (Alg. 5).
        seed: seed of each shape.

    Returns:
        Rows ``{shape, points, kept, epsilon, bound, bottleneck}``, the last one a list over dimensions.
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
                float(bottleneck_distance(a.double(), b.double()))
                for a, b in zip(whole.diagrams, part.diagrams, strict=True)
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


def worst_share_of_bound(rows: Sequence[dict[str, Any]]) -> float:
    """Largest ratio of a distance to its bound; Proposition 1 holds if it is at most 1."""
    return max(max(row["bottleneck"]) / row["bound"] for row in rows)

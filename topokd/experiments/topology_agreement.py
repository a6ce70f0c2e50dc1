"""Figure 8: do the engines that compute persistence diagrams agree?"""

from __future__ import annotations

from typing import Any

import numpy as np

from topokd.experiments.shapes import PRIMITIVES
from topokd.topology.engines import ENGINES
from topokd.topology.functions import bottleneck_distance
from topokd.topology.persistence import Persistence, vietoris_rips

INDEPENDENT = "giotto-ph"  # an implementation of Ripser that is not ours
COMPARED = tuple(name for name in reversed(ENGINES) if name != INDEPENDENT)


def measure_agreement(n: int = 36, seed: int = 0) -> tuple[list[dict[str, Any]], dict[str, dict[str, Persistence]]]:
    """Bottleneck distances between the diagrams of our engines and of giotto-ph, on each primitive shape.

    Args:
        n: number of points of each shape.
        seed: seed of each shape.

    Returns:
        Rows ``{shape, engine, dim, pairs, bottleneck}``, where a distance of 0 means equal multisets (edges of
        giotto-ph read in float64); and all persistences by shape and engine.
    """
    rows: list[dict[str, Any]] = []
    found: dict[str, dict[str, Persistence]] = {}
    for shape, make in PRIMITIVES.items():
        points = make(n, np.random.default_rng(seed))
        found[shape] = {engine: vietoris_rips(points, engine=engine) for engine in (INDEPENDENT, *COMPARED)}
        for engine in COMPARED:
            for dim in (0, 1):
                ours, other = (found[shape][e].diagrams[dim].double() for e in (engine, INDEPENDENT))
                distance = bottleneck_distance(ours, other).item()
                rows.append({"shape": shape, "engine": engine, "dim": dim, "pairs": len(ours), "bottleneck": distance})
    return rows, found

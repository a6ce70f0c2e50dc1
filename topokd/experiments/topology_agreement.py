"""Figure 8: do the engines that compute persistence diagrams agree?"""

from __future__ import annotations

from typing import Any

import numpy as np

from topokd.experiments.shapes import PRIMITIVES
from topokd.topology import bottleneck_distance
from topokd.topology.engines import ENGINES
from topokd.topology.persistence import Persistence, vietoris_rips
from topokd.topology.sampling import farthest_point_sampling

INDEPENDENT = "giotto-ph"  # an independent implementation: Ripser
COMPARED = tuple(name for name in reversed(ENGINES) if name != INDEPENDENT)
SURFACE_POINTS = 160  # of the torus: fewer do not show its two loops
MAX_REFERENCE_POINTS = 60  # the textbook reduction in plain torch is too slow for more


def measure_agreement(n: int = 36, seed: int = 0) -> tuple[list[dict[str, Any]], dict[str, dict[str, Persistence]]]:
    """Bottleneck distances between the diagrams of our engines and of giotto-ph, on each primitive shape.

    Args:
        n: number of points of each shape; the torus has `SURFACE_POINTS`, the farthest ones of a dense sample.
        seed: seed of each shape.

    Returns:
        Rows ``{shape, engine, dim, pairs, bottleneck}``, where a distance of 0 means equal multisets (edges of
        giotto-ph read in float64); and all persistences by shape and engine.
    """
    rows: list[dict[str, Any]] = []
    diagrams: dict[str, dict[str, Persistence]] = {}
    for shape, make in PRIMITIVES.items():
        points = make(n, np.random.default_rng(seed))
        if shape == "torus":
            dense = make(3000, np.random.default_rng(seed))
            points = dense[farthest_point_sampling(dense, SURFACE_POINTS).numpy()]
        compared = [name for name in COMPARED if name != "reference" or len(points) <= MAX_REFERENCE_POINTS]
        diagrams[shape] = {engine: vietoris_rips(points, engine=engine) for engine in (INDEPENDENT, *compared)}
        for engine in compared:
            for dim in (0, 1):
                ours, other = (diagrams[shape][e].diagrams[dim].double() for e in (engine, INDEPENDENT))
                distance = float(bottleneck_distance(ours, other))
                rows.append({"shape": shape, "engine": engine, "dim": dim, "pairs": len(ours), "bottleneck": distance})
    return rows, diagrams

"""How the sides of a street are divided: stretches between the side roads, lots, and the ground of each lot."""

from __future__ import annotations

import numpy as np

from topokd.synthetic import ground as G

LOTS = ("house", "row", "park", "parking", "field", "plaza")
STYLES = {  # probability of each kind of lot
    "urban": (0.12, 0.36, 0.14, 0.08, 0.06, 0.24),
    "residential": (0.55, 0.08, 0.17, 0.06, 0.11, 0.03),
    "green": (0.14, 0.03, 0.28, 0.04, 0.47, 0.04),
}


def free_stretches(plan: G.StreetPlan, side: int) -> list[tuple[float, float]]:
    """The intervals of one side that lie between the side roads."""
    spans, low = [], plan.start
    for crossing in plan.crossings:
        if crossing.side in (0, side):
            spans.append((low, crossing.x - crossing.half_width - 2.5))
            low = crossing.x + crossing.half_width + 2.5
    spans.append((low, plan.end))
    return [(low, high) for low, high in spans if high - low > 4]


def cut_lots(rng: np.random.Generator, low: float, high: float, weights: np.ndarray) -> list[tuple[G.StreetSide, str]]:
    """Divide an interval into lots, each with its section of the roadside.

    Args:
        rng: source of all random numbers.
        low: start of the interval in metres along the street.
        high: its end.
        weights: (6,) probability of each kind in `LOTS`.
    """
    lots = []
    bay, verge = float(rng.choice((0.0, 2.2), p=(0.7, 0.3))), float(rng.choice((0.0, 1.8), p=(0.45, 0.55)))
    sidewalk = float(rng.uniform(1.4, 3.6))
    bay_kind = G.PARKING if rng.random() < 0.65 else G.ROAD
    while high - low > 1:
        length = min(float(rng.uniform(13, 30)), high - low)
        length = high - low if high - low - length < 9 else length
        kind = LOTS[rng.choice(len(LOTS), p=weights)]
        lot = {"row": G.SIDEWALK, "parking": G.PARKING, "plaza": G.OTHER}.get(kind, G.TERRAIN)
        if kind == "plaza" and rng.random() < 0.4:
            lot = G.SIDEWALK
        slope = {"house": rng.uniform(-0.05, 0.03), "park": rng.uniform(-0.08, 0.05), "field": rng.uniform(-0.14, 0.08)}
        walk = sidewalk if kind != "field" or rng.random() < 0.5 else float(rng.choice((0.0, 1.3)))
        section = G.StreetSide(low, low + length, bay, bay_kind, verge, walk, lot, float(slope.get(kind, 0.0)))
        lots.append((section, kind))
        low += length
    return lots


def lot_patches(
    rng: np.random.Generator, plan: G.StreetPlan, section: G.StreetSide, kind: str, side: int
) -> list[G.Patch]:
    """Driveways, paths and the area behind a lot: patches of another kind of ground.

    Args:
        rng: source of all random numbers.
        plan: the street's course.
        section: section of the lot.
        kind: a name in `LOTS`.
        side: 1 for the left side, -1 for the right.
    """
    edge = lot_edge(plan, section)
    patches = []
    if kind == "house":  # a driveway
        x = section.start + 2.2
        patches.append(G.Patch(x - 1.6, x + 1.6, edge, edge + 9, side, G.PARKING))
    if kind == "park" and rng.random() < 0.6:  # a path
        x = float(rng.uniform(section.start + 2, section.end - 2))
        patches.append(G.Patch(x - 1.0, x + 1.0, edge, edge + 25, side, G.SIDEWALK if rng.random() < 0.6 else G.OTHER))
    if kind == "row" and rng.random() < 0.3:  # a strip of grass or gravel before the facade
        patches.append(
            G.Patch(section.start, section.end, edge, edge + 1.5, side, int(rng.choice((G.TERRAIN, G.OTHER))))
        )
    if kind == "parking":  # beyond the lot
        patches.append(G.Patch(section.start, section.end, edge + 17, 200, side, G.TERRAIN))
    if kind == "plaza":
        patches.append(G.Patch(section.start, section.end, edge + 14, 200, side, G.TERRAIN))
    return patches


def lot_edge(plan: G.StreetPlan, section: G.StreetSide) -> float:
    """Distance from the centre line at which a lot begins."""
    return plan.half_width + section.bay + section.verge + section.sidewalk

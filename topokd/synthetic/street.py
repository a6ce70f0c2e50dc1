"""A street generated from a seed: ground, static objects and moving objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from topokd.synthetic import ground as G
from topokd.synthetic import vehicles as V
from topokd.synthetic.lots import Builder, place_on
from topokd.synthetic.parcels import LOTS, STYLES, cut_lots, free_stretches, lot_patches
from topokd.synthetic.people import person
from topokd.synthetic.shapes import Pose, Shapes

SPACING = 12.0
"""Metres between consecutive scans."""
INTERVAL = 1.5
"""Seconds between consecutive scans."""
REACH = 75.0
"""Extent of the world around the car, in metres."""


@dataclass(frozen=True)
class Street:
    """Ground, static solids, and the moving objects with their start and speed."""

    plan: G.StreetPlan
    ground: G.Ground
    solids: Shapes
    movers: tuple[tuple[str, float, float, float, int], ...]  # kind, x at time 0, distance from the centre, speed, seed

    def place(self, x: float, d: float, yaw: float = 0.0) -> Pose:
        """On the ground, ``d`` metres left of the centre line, heading along the street plus ``yaw``."""
        return place_on(self.plan, self.ground, x, d, yaw)

    def pose(self, frame: int, height: float) -> Float[np.ndarray, "4 4"]:
        """Pose of the sensor in the world at a frame: in the right lane, with slight pitch and roll."""
        lane = -self.plan.half_width / 2
        x = SPACING * frame
        ahead, here, behind = (self.place(x + offset, lane) for offset in (1.4, 0.0, -1.4))
        rng = np.random.default_rng([int(1e6 * (1 + self.plan.kerb)), frame])
        pitch = -np.arctan2(ahead.z - behind.z, 2.8) + np.deg2rad(0.25) * rng.standard_normal()
        roll, yaw = np.deg2rad(0.35) * rng.standard_normal(), here.yaw + np.deg2rad(1.0) * rng.standard_normal()
        cy, sy, cp, sp, cr, sr = (f(angle) for angle in (yaw, pitch, roll) for f in (np.cos, np.sin))
        pose = np.eye(4)
        pose[:3, :3] = (
            np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
            @ np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
            @ np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
        )
        pose[:3, 3] = here.x, here.y, here.z + height
        return pose

    def at_time(self, frame: int) -> Shapes:
        """All solids at a frame: the static ones, then the moving ones at their current place."""
        shapes = self.solids.copy()
        makers = {"car": V.car, "truck": V.truck, "bus": V.bus, "person": person}
        for kind, x0, d, speed, seed in self.movers:
            rng = np.random.default_rng(seed)  # the same appearance in every frame
            place = self.place(x0 + speed * INTERVAL * frame, d, 0.0 if speed >= 0 else np.pi)
            if kind in makers:
                makers[kind](shapes, place, rng, moving=True)
            elif kind == "bicyclist":
                V.bicycle(shapes, place, rng, ridden=True)
            else:
                V.motorcycle(shapes, place, rng, ridden=True)
        return shapes


def build_street(seed: int, sequence: int, frames: int) -> Street:
    """The street of a sequence; depends only on the arguments.

    Args:
        seed: seed of the world.
        sequence: number of the street.
        frames: scans along it, which determine its length.
    """
    rng = np.random.default_rng([seed, sequence])
    start, end = -REACH - 10, SPACING * (frames - 1) + REACH + 10
    plan = G.StreetPlan(
        start=start,
        end=end,
        reach=REACH,
        half_width=float(rng.uniform(3.0, 4.6)),
        kerb=float(rng.uniform(0.06, 0.15)),
        bend=(float(rng.uniform(0, 7)), float(rng.uniform(160, 300)), float(rng.uniform(0, 6.3))),
        hill=(float(rng.uniform(0, 0.8)), float(rng.uniform(120, 300)), float(rng.uniform(0, 6.3))),
        roughness=float(rng.uniform(0.08, 0.22)),
    )
    x = start + float(rng.uniform(40, 90))
    while x < end - 20:
        plan.crossings.append(G.Crossing(x, float(rng.uniform(2.6, 3.8)), int(rng.integers(-1, 2))))
        x += float(rng.uniform(55, 120))
    lots = []
    for side in (1, -1):
        sections = plan.left if side > 0 else plan.right
        for low, high in free_stretches(plan, side):
            style = tuple(STYLES)[rng.choice(3, p=(0.15, 0.4, 0.45))]
            weights = 0.7 * np.array(STYLES[style]) + 0.3 * rng.dirichlet(np.ones(len(LOTS)))
            for section, kind in cut_lots(rng, low, high, weights):
                sections.append(section)
                lots.append((section, kind, side))
    for section, kind, side in lots:
        plan.patches += lot_patches(rng, plan, section, kind, side)
    ground = G.build_ground(plan, rng)
    builder = Builder(plan, ground, rng, Shapes())
    for section, kind, side in lots:
        builder.fill(section, kind, side)
    for crossing in plan.crossings:
        builder.crossing(crossing)
    builder.horizon()
    builder.rarities(SPACING * (frames - 1))
    return Street(plan, ground, builder.shapes, _movers(rng, plan, start, end))


def _movers(
    rng: np.random.Generator, plan: G.StreetPlan, start: float, end: float
) -> tuple[tuple[str, float, float, float, int], ...]:
    """Traffic: cars ahead and behind at the speed of the sensor, oncoming cars, cyclists, pedestrians."""
    pace, lane = SPACING / INTERVAL, plan.half_width / 2
    movers = []

    def seed() -> int:
        return int(rng.integers(1 << 31))

    for direction in (1, -1):  # ahead, a little faster; behind, a little slower
        x = direction * float(rng.uniform(12, 40))
        while abs(x) < REACH:
            kind = str(rng.choice(("car", "truck", "bus", "motorcyclist"), p=(0.85, 0.03, 0.02, 0.1)))
            movers.append((kind, x, -lane, pace * (1 + direction * float(rng.uniform(0.0, 0.15))), seed()))
            x += direction * float(rng.uniform(20, 70))
    # Oncoming traffic. The sensor meets those that start within twice its drive: put some of the rare kinds there.
    drive = end - start - 2 * REACH
    places = np.cumsum(rng.uniform(30, 100, size=int(4 * drive / 30) + 8)) - REACH
    met = np.flatnonzero((places > 10) & (places < 2 * drive))
    kinds = ["truck" if rng.random() < 0.03 else "car" for _ in places]
    rare = ["motorcyclist", *rng.permutation(["truck", "bus"]).tolist()]
    for index, kind in zip(rng.permutation(met), rare, strict=False):
        kinds[index] = kind
    for kind, place in zip(kinds, places, strict=True):
        movers.append((kind, float(place), lane, -pace * float(rng.uniform(0.98, 1.02)), seed()))
    for _ in range(int((end - start) / 45)):
        x, direction = float(rng.uniform(start, end)), int(rng.choice((-1, 1)))
        movers.append(
            ("bicyclist", x, -direction * (plan.half_width - 0.5), direction * float(rng.uniform(3, 6)), seed())
        )
    for _ in range(int((end - start) / 35)):
        x, side = float(rng.uniform(start, end)), int(rng.choice((-1, 1)))
        away = plan.half_width + float(rng.uniform(2.3, 4.5))
        movers.append(("person", x, side * away, float(rng.choice((-1, 1)) * rng.uniform(0.8, 1.6)), seed()))
    for crossing in plan.crossings:
        movers.append(
            (
                "person",
                crossing.x - crossing.half_width - 1.5,
                float(rng.uniform(-1, 1)) * plan.half_width,
                0.001,
                seed(),
            )
        )
    return tuple(movers)

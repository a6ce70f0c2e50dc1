"""Objects along a street: on lots of six kinds, along the kerb, at side roads and on the horizon."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from topokd.synthetic import ground as G
from topokd.synthetic import surroundings as S
from topokd.synthetic import vehicles as V
from topokd.synthetic.parcels import lot_edge
from topokd.synthetic.people import person
from topokd.synthetic.shapes import Pose, Shapes


def place_on(plan: G.StreetPlan, ground: G.Ground, x: float, d: float, yaw: float = 0.0) -> Pose:
    """On the ground, ``d`` metres left of the centre line, heading along the street plus ``yaw``.

    Args:
        plan: the street's course.
        ground: its height.
        x: metres along the street.
        d: metres left of the centre line.
        yaw: Radians.
    """
    px, py = plan.point(x, d)
    return Pose(px, py, ground.at(px, py), float(plan.heading(x)) + yaw)


@dataclass
class Builder:
    """Places solids on the ground; all methods draw from one generator in a fixed order."""

    plan: G.StreetPlan
    ground: G.Ground
    rng: np.random.Generator
    shapes: Shapes

    def put(self, x: float, d: float, yaw: float = 0.0) -> Pose:
        """A place on the ground ``d`` metres left of the centre line."""
        return place_on(self.plan, self.ground, x, d, yaw)

    def beside(self, x: float, away: float, side: int) -> Pose:
        """A place with its x axis along the street and its y axis away from it."""
        return self.put(x, side * away, 0.0 if side > 0 else np.pi)

    def uniform(self, low: float, high: float) -> float:
        """A uniform random number."""
        return float(self.rng.uniform(low, high))

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return bool(self.rng.random() < probability)

    def fill(self, section: G.StreetSide, kind: str, side: int) -> None:
        """Build one lot and the kerbside in front of it."""
        self.kerbside(section, side)
        getattr(self, kind)(section, side, lot_edge(self.plan, section), (section.start + section.end) / 2)

    def kerbside(self, section: G.StreetSide, side: int) -> None:
        """Add parked cars, trees, lamps, signs and people along the sidewalk."""
        plan, rng = self.plan, self.rng
        if section.bay > 0:
            x = section.start + 3.5
            while x < section.end - 2.5:
                if self.chance(0.45):
                    self.parked(x, side * (plan.half_width + section.bay / 2 + self.uniform(-0.1, 0.15)))
                x += self.uniform(5.6, 7.0)
        strip = plan.half_width + section.bay + (section.verge / 2 if section.verge else 0.45)
        if section.verge or section.sidewalk > 2.2:
            x = section.start + self.uniform(1, 8)
            while x < section.end - 1 and self.chance(0.6):
                S.tree(self.shapes, self.put(x, side * strip), rng, self.uniform(4.0, 8.5))
                x += self.uniform(6, 13)
        if self.chance(0.55):
            place = self.put(self.uniform(section.start, section.end), side * strip, -side * np.pi / 2)
            S.lamp(self.shapes, place, rng)
        if self.chance(0.5):
            S.pole(self.shapes, self.put(self.uniform(section.start, section.end), side * (strip + 0.1)), rng)
        if self.chance(0.5):
            facing = np.pi if side < 0 else 0.0  # towards the drivers who come along this side
            S.sign(self.shapes, self.put(self.uniform(section.start, section.end), side * (strip + 0.15), facing), rng)
        if self.chance(0.45):
            x = self.uniform(section.start + 1, section.end - 1)
            S.clutter(self.shapes, self.beside(x, lot_edge(plan, section) - 0.6, side), rng)
        for _ in range(int(rng.poisson(0.2)) if section.sidewalk else 0):
            x, away = (
                self.uniform(section.start, section.end),
                lot_edge(plan, section) - self.uniform(0.3, section.sidewalk),
            )
            person(self.shapes, self.put(x, side * away, self.uniform(0, 6.3)), rng)
        if section.sidewalk and self.chance(0.2):
            self.two_wheelers(self.uniform(section.start + 2, section.end - 2), lot_edge(plan, section) - 0.7, side)

    def parked(self, x: float, d: float, yaw: float = 0.0) -> None:
        """Add a parked car, occasionally a truck or a trailer; some face the wrong way."""
        turn = yaw + (0.0 if (d < 0) != self.chance(0.1) else np.pi) + self.rng.normal() * 0.02
        kind = self.rng.choice(4, p=(0.88, 0.05, 0.04, 0.03))
        place = self.put(x, d, float(turn))
        if kind == 1:
            V.truck(self.shapes, place, self.rng)
        elif kind == 2:
            V.trailer(self.shapes, place, self.rng)
        else:
            V.car(self.shapes, place, self.rng)

    def two_wheelers(self, x: float, away: float, side: int, motor: bool | None = None) -> None:
        """Add a short row of bicycles, or one or two motorcycles; random if ``motor`` is None."""
        motor = self.chance(0.35) if motor is None else motor
        for step in range(int(self.rng.integers(1, 3 if motor else 6))):
            place = self.put(x + step * (1.1 if motor else 0.6), side * away, self.uniform(1.2, 1.9))
            (V.motorcycle if motor else V.bicycle)(self.shapes, place, self.rng)

    def boundary(self, low: float, high: float, away: float, side: int) -> None:
        """Add a hedge, a fence or nothing along the street."""
        if high - low < 1.5:
            return
        place = self.beside((low + high) / 2, away, side)
        choice = self.rng.random()
        if choice < 0.3:
            S.fence(self.shapes, place, self.rng, high - low)
        elif choice < 0.75:
            S.hedge(self.shapes, place, self.rng, high - low, self.uniform(0.7, 2.0))

    def divider(self, x: float, near: float, far: float, side: int) -> None:
        """Add a hedge or a fence perpendicular to the street."""
        place = self.beside(x, (near + far) / 2, side)
        place = replace(place, yaw=place.yaw + np.pi / 2)
        if self.chance(0.5):
            S.fence(self.shapes, place, self.rng, far - near)
        else:
            S.hedge(self.shapes, place, self.rng, far - near, self.uniform(0.9, 2.2))

    def greens(self, section: G.StreetSide, side: int, near: float, far: float, trees: float, bushes: float) -> None:
        """Scatter trees and bushes over a rectangle.

        Args:
            section: the side of the street; the rectangle is as long.
            side: 1 for the left, -1 for the right.
            near: metres from the centre line to the near edge.
            far: metres to the far edge.
            trees: trees per 100 square metres.
            bushes: bushes per 100 square metres, before a factor of 1.6.
        """
        area = (section.end - section.start) * (far - near) / 100
        for _ in range(int(self.rng.poisson(trees * area))):
            x, away = self.uniform(section.start, section.end), self.uniform(near, far)
            S.tree(self.shapes, self.put(x, side * away), self.rng, self.uniform(3.5, 11.0))
        for _ in range(int(self.rng.poisson(1.6 * bushes * area))):
            x, away = self.uniform(section.start, section.end), self.uniform(near, far)
            S.bush(self.shapes, self.put(x, side * away), self.rng, self.uniform(0.5, 1.8))

    def house(self, section: G.StreetSide, side: int, edge: float, middle: float) -> None:
        """Add a house in a garden behind a hedge or a fence, with a driveway."""
        garden = self.uniform(4.0, 10.0)
        self.boundary(section.start + 4.0, section.end, edge + 0.3, side)
        width = max(section.end - section.start - self.uniform(5, 9), 6.0)
        place = self.beside(middle + 1.5, edge + garden, side)
        S.building(self.shapes, place, self.rng, width, self.uniform(8, 11), self.uniform(4, 7), True)
        if self.chance(0.6):
            away = edge + self.uniform(2.8, 5)
            V.car(self.shapes, self.put(section.start + 2.2, side * away, np.pi / 2), self.rng)
        self.divider(section.start + 0.2, edge + 0.5, edge + garden + self.uniform(4, 16), side)
        self.greens(section, side, edge + 1, edge + garden - 1, 0.8, 4.0)
        self.greens(section, side, edge + garden + 12, edge + garden + 26, 0.8, 3.0)

    def row(self, section: G.StreetSide, side: int, edge: float, middle: float) -> None:
        """Add a facade at the sidewalk."""
        gap = self.uniform(0.1, 2.0)
        place = self.beside(middle, edge + gap, side)
        length = section.end - section.start
        S.building(self.shapes, place, self.rng, length, self.uniform(9, 14), self.uniform(7, 15), self.chance(0.6))
        if self.chance(0.3):
            self.two_wheelers(self.uniform(section.start + 1, section.end - 4), edge - 0.2, side)

    def park(self, section: G.StreetSide, side: int, edge: float, middle: float) -> None:
        """Add a park: grass with trees and people."""
        if self.chance(0.5):
            self.boundary(section.start, section.end, edge + 0.3, side)
        self.greens(section, side, edge + 1.5, edge + 30, 0.9, 1.6)
        for _ in range(int(self.rng.poisson(0.5))):
            x, away = self.uniform(section.start, section.end), edge + self.uniform(1, 15)
            person(self.shapes, self.put(x, side * away, self.uniform(0, 6.3)), self.rng)
        if self.chance(0.5):
            S.clutter(self.shapes, self.beside(middle, edge + 2, side), self.rng)

    def parking(self, section: G.StreetSide, side: int, edge: float, middle: float) -> None:
        """Add a car park: two rows of vehicles, a lamp, plants behind."""
        if self.chance(0.4):
            self.boundary(section.start + 5, section.end, edge + 0.3, side)
        for away in (edge + 3.4, edge + 13.2):
            x = section.start + 2.0
            while x < section.end - 1.5:
                if self.chance(0.6):
                    self.parked(x, side * away, np.pi / 2)
                x += 2.7
        self.divider(section.end - 0.3, edge + 0.5, edge + 16, side)
        place = self.beside(middle, edge + 17.2, side)
        S.hedge(self.shapes, place, self.rng, section.end - section.start, self.uniform(0.8, 1.8))
        S.lamp(self.shapes, self.beside(middle, edge + 8, side), self.rng)
        self.greens(section, side, edge + 19, edge + 40, 0.8, 3.0)

    def field(self, section: G.StreetSide, side: int, edge: float, middle: float) -> None:
        """Add open grass and a wood behind it, with a guard rail or another fence in front."""
        if self.chance(0.45):
            place = self.beside(middle, edge + 0.8, side)
            S.fence(self.shapes, place, self.rng, section.end - section.start)
        wood = edge + self.uniform(6, 22)
        self.greens(section, side, edge + 1.5, wood, 0.25, 2.0)
        self.greens(section, side, wood, wood + 14, 2.0, 7.0)
        if self.chance(0.2):
            S.signboard(self.shapes, self.put(middle, side * (edge + 0.6), 0.0 if side > 0 else np.pi), self.rng)
        if self.chance(0.4):
            S.pole(self.shapes, self.put(middle, side * (edge + 1.5)), self.rng)

    def plaza(self, section: G.StreetSide, side: int, edge: float, middle: float) -> None:
        """Add a paved forecourt with people and two-wheelers in front of a building."""
        back = edge + self.uniform(6, 13)
        length = section.end - section.start
        S.building(self.shapes, self.beside(middle, back, side), self.rng, length, 12, self.uniform(5, 12), False)
        for _ in range(int(self.rng.poisson(1.5))):
            x, away = self.uniform(section.start, section.end), self.uniform(edge, back - 0.5)
            person(self.shapes, self.put(x, side * away, self.uniform(0, 6.3)), self.rng)
        if self.chance(0.6):
            self.two_wheelers(self.uniform(section.start + 1, section.end - 4), edge + self.uniform(0.5, 3), side)
        if self.chance(0.4):
            self.parked(middle, side * (edge + 3), self.uniform(-0.2, 0.2))
        for _ in range(int(self.rng.integers(0, 3))):
            x, away = self.uniform(section.start, section.end), self.uniform(edge, back - 2)
            S.tree(self.shapes, self.put(x, side * away), self.rng, self.uniform(4, 8))
        if self.chance(0.5):
            self.boundary(section.start, middle, edge + 0.4, side)

    def crossing(self, crossing: G.Crossing) -> None:
        """Add signs and lights at the corners of a side road, and cars and trees along it."""
        plan = self.plan
        for side in (1, -1):
            if crossing.side not in (0, side):
                continue
            for end in (-1, 1):
                x = crossing.x + end * (crossing.half_width + 1.2)
                away = plan.half_width + self.uniform(0.8, 1.6)
                choice = self.rng.random()
                if choice < 0.45:
                    S.sign(
                        self.shapes,
                        self.put(x, side * away, int(self.rng.integers(4)) * np.pi / 2),
                        self.rng,
                    )
                elif choice < 0.7:
                    S.pole(self.shapes, self.put(x, side * away), self.rng)
                for far in np.arange(plan.half_width + 10, 55, 6.5).tolist():
                    if self.chance(0.35):
                        x_car = crossing.x + end * (crossing.half_width - 1.0)
                        self.parked(x_car, side * far, np.pi / 2)
                for far in np.arange(plan.half_width + 8, 60, 11).tolist():
                    if self.chance(0.5):
                        S.tree(self.shapes, self.put(x + end * 1.4, side * far), self.rng, self.uniform(4, 9))

    def rarities(self, drive: float) -> None:
        """Add two-wheelers and a trailer somewhere along the drive, so that every street has them."""
        plan = self.plan
        for motor in (True, False):
            side, x = int(self.rng.choice((-1, 1))), self.uniform(0, drive + 8)
            self.two_wheelers(x, plan.half_width + self.uniform(0.8, 2.5), side, motor)
        V.trailer(self.shapes, self.put(self.uniform(0, drive + 8), plan.half_width + self.uniform(3.5, 6.0)), self.rng)

    def horizon(self) -> None:
        """Add buildings and woods behind the lots, so that low beams hit something."""
        for side in (1, -1):
            x = self.plan.start
            while x < self.plan.end:
                length = self.uniform(10, 26)
                clear = all(
                    abs(x + length / 2 - c.x) > c.half_width + length / 2 + 3 or c.side == -side
                    for c in self.plan.crossings
                )
                if clear and self.chance(0.4):
                    place = self.beside(x + length / 2, self.uniform(42, 55), side)
                    S.building(self.shapes, place, self.rng, length, 10, self.uniform(5, 14), self.chance(0.5))
                else:
                    for _ in range(3):
                        place = self.put(x + self.uniform(0, length), side * self.uniform(40, 62))
                        S.tree(self.shapes, place, self.rng, self.uniform(7, 14))
                    for _ in range(int(length / 2)):
                        place = self.put(x + self.uniform(0, length), side * self.uniform(38, 52))
                        S.bush(self.shapes, place, self.rng, self.uniform(1.5, 3.5))
                x += length + self.uniform(0, 8)

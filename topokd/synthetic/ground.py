"""The ground as a raster of kinds and heights."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int64, UInt8

from topokd.compiled.jit import jit, jit_no_refcount

CELL = 0.1
"""Metres."""

ROAD, MARKING, PARKING, SIDEWALK, OTHER, TERRAIN = range(6)

RAW = np.array([40, 60, 44, 48, 49, 72])
"""Raw class id of each kind of ground."""
ALBEDO = np.array([0.32, 0.62, 0.42, 0.41, 0.43, 0.49])
ALBEDO_SPREAD = np.array([0.05, 0.08, 0.05, 0.05, 0.06, 0.05])
"""Standard deviation of the albedo of one kind between streets."""
GRAIN = np.array([0.20, 0.15, 0.22, 0.20, 0.24, 0.24])
"""Relative spread of the albedo from point to point."""
_SOFT = np.array([0.08, 0.08, 0.12, 0.15, 0.4, 1.0])
"""Factor on the roughness of the plan."""
BLADES = np.array([0.0, 0.0, 0.002, 0.003, 0.006, 0.035])
"""Mean height of gravel or grass, in metres."""


@dataclass(frozen=True)
class StreetSide:
    """One side of the street over an interval; widths in metres, from the carriageway outwards."""

    start: float
    end: float
    bay: float = 0.0  # strip for parked cars
    bay_kind: int = PARKING  # PARKING, or ROAD where cars simply stand at the kerb
    verge: float = 0.0  # grass between carriageway and sidewalk
    sidewalk: float = 0.0
    lot: int = TERRAIN  # kind of ground beyond the sidewalk
    slope: float = 0.0  # of the lot


@dataclass(frozen=True)
class Crossing:
    """A side road along y at ``x``: to the left (+1), the right (-1) or both (0)."""

    x: float
    half_width: float
    side: int


@dataclass(frozen=True)
class Patch:
    """A rectangle of another kind of ground: intervals along the street and from its centre."""

    start: float
    end: float
    near: float
    far: float
    side: int
    kind: int


@dataclass
class StreetPlan:
    """All parameters of the ground of a street."""

    start: float
    end: float
    reach: float  # metres to both sides
    half_width: float  # of the carriageway
    kerb: float
    bend: tuple[float, float, float]  # amplitude in metres, wave length in metres, phase of the centre line
    hill: tuple[float, float, float]  # the same for the height along the street
    roughness: float
    left: list[StreetSide] = field(default_factory=list)
    right: list[StreetSide] = field(default_factory=list)
    crossings: list[Crossing] = field(default_factory=list)
    patches: list[Patch] = field(default_factory=list)

    def centre(self, x: Float[np.ndarray, " ..."] | float) -> np.ndarray | np.floating:
        """y of the centre line of the street."""
        amplitude, wave, phase = self.bend
        return amplitude * np.sin(2 * np.pi * np.asarray(x) / wave + phase)

    def heading(self, x: Float[np.ndarray, " ..."] | float) -> np.ndarray | np.floating:
        """Direction of the street in radians."""
        amplitude, wave, phase = self.bend
        rate = 2 * np.pi / wave
        return np.arctan(amplitude * rate * np.cos(rate * np.asarray(x) + phase))

    def point(self, x: float, d: float) -> tuple[float, float]:
        """World (x, y) of the point ``d`` metres to the left of the centre line."""
        angle = float(self.heading(x))
        return x - d * np.sin(angle), float(self.centre(x)) + d * np.cos(angle)


@dataclass(frozen=True)
class Ground:
    """``kind`` and ``height`` per cell; ``corner`` is the world (x, y) of the corner of the first cell."""

    kind: UInt8[np.ndarray, "nx ny"]
    height: Float[np.ndarray, "nx ny"]
    corner: Float[np.ndarray, " 2"]

    def at(self, x: float, y: float) -> float:
        """Height at a point; outside the raster, that of the nearest cell."""
        i, j = (
            int(np.clip((v - c) / CELL, 0, n - 1)) for v, c, n in zip((x, y), self.corner, self.kind.shape, strict=True)
        )
        return float(self.height[i, j])


def build_ground(plan: StreetPlan, rng: np.random.Generator) -> Ground:
    """Rasterize a plan."""
    x = np.arange(plan.start, plan.end, CELL) + CELL / 2  # (nx,)
    y = np.arange(-plan.reach, plan.reach, CELL) + CELL / 2  # (ny,)
    edges, slopes, codes = [], [], []
    for sections in (plan.left, plan.right):
        widths = np.zeros((3, len(x)))  # bay, verge, sidewalk at every x
        slope = np.zeros(len(x))
        code = np.full((2, len(x)), TERRAIN)  # of bay and lot
        for section in sections:
            inside = slice(*np.searchsorted(x, (section.start, section.end)))
            widths[:, inside] = np.array([[section.bay], [section.verge], [section.sidewalk]])
            code[:, inside] = np.array([[section.bay_kind], [section.lot]])
            slope[inside] = section.slope
        edges.append(plan.half_width + np.cumsum(widths, axis=0))  # where bay, verge and sidewalk end
        codes.append(code)
        slopes.append(
            np.convolve(np.pad(slope, 40, mode="edge"), np.full(81, 1 / 81), mode="valid")
        )  # smoothed over 8 m
    amplitude, wave, phase = plan.hill
    waves = []
    for size, length in ((1.0, 23.0), (0.7, 13.0), (0.5, 6.1), (0.3, 3.3), (0.15, 1.4)):
        angle = rng.uniform(0, 2 * np.pi)
        k = 2 * np.pi / length
        waves.append((size * rng.uniform(0.5, 1.0), k * np.cos(angle), k * np.sin(angle), rng.uniform(0, 2 * np.pi)))
    size, kx, ky, shift = np.array(waves).T[..., None]  # (5, 1) each
    kind = np.zeros((len(x), len(y)), np.uint8)
    height = np.zeros(kind.shape)
    _rasterize(
        x,
        y,
        plan.centre(x),
        np.cos(plan.heading(x)),
        plan.half_width,
        plan.kerb,
        np.array(edges),
        np.array(slopes),
        np.array(codes),
        np.array([(p.start, p.end, p.near, p.far, p.side, p.kind) for p in plan.patches]).reshape(-1, 6),
        np.array([(c.x, c.half_width, c.side) for c in plan.crossings]).reshape(-1, 3),
        amplitude * np.sin(2 * np.pi * x / wave + phase),
        # sin(kx x + ky y + shift) from its parts, so that no cell needs a sine
        plan.roughness * size * np.stack((np.sin(kx * x + shift), np.cos(kx * x + shift))),
        np.stack((np.cos(ky * y), np.sin(ky * y))),
        kind,
        height,
    )
    return Ground(kind, height, np.array([plan.start, -plan.reach]))


@jit
def _rasterize(
    x: Float[np.ndarray, " nx"],
    y: Float[np.ndarray, " ny"],
    centre: Float[np.ndarray, " nx"],
    cos: Float[np.ndarray, " nx"],
    half_width: float,
    kerb: float,
    edges: Float[np.ndarray, "2 3 nx"],
    slopes: Float[np.ndarray, "2 nx"],
    codes: Int64[np.ndarray, "2 2 nx"],
    patches: Float[np.ndarray, "p 6"],
    crossings: Float[np.ndarray, "c 3"],
    hill: Float[np.ndarray, " nx"],
    waves_x: Float[np.ndarray, "2 5 nx"],
    waves_y: Float[np.ndarray, "2 5 ny"],
    kind: UInt8[np.ndarray, "nx ny"],
    height: Float[np.ndarray, "nx ny"],
) -> None:
    """Fill ``kind`` and ``height`` cell by cell."""
    for i in range(len(x)):
        for j in range(len(y)):
            d = (y[j] - centre[i]) * cos[i]
            away = abs(d)
            side = 0 if d >= 0 else 1
            cell, rise = _cross_section(i, side, away, half_width, kerb, edges, slopes, codes)
            if away >= edges[side, 0, i]:  # beyond the bay
                cell = _patched(cell, x[i], away, side, patches)
            cell, rise, lines = _at_crossings(cell, rise, x[i], d, side, half_width, kerb, crossings)
            if lines and _on_line(x[i], away, half_width):
                cell = MARKING
            waves = 0.0
            for w in range(waves_x.shape[1]):
                waves += waves_x[0, w, i] * waves_y[0, w, j] + waves_x[1, w, i] * waves_y[1, w, j]
            kind[i, j] = cell
            height[i, j] = (
                rise - 0.02 * min(away, half_width) + hill[i] + _SOFT[cell] * waves * min(1.0, 0.3 + away / 30)
            )


@jit_no_refcount
def _cross_section(
    i: int,
    side: int,
    away: float,
    half_width: float,
    kerb: float,
    edges: Float[np.ndarray, "2 3 nx"],
    slopes: Float[np.ndarray, "2 nx"],
    codes: Int64[np.ndarray, "2 2 nx"],
) -> tuple[int, float]:
    """Kind of the ground and its height above the road: road, bay, verge, sidewalk, lot, outwards."""
    if away < half_width:
        return ROAD, 0.0
    if away < edges[side, 0, i]:
        return codes[side, 0, i], 0.0
    if away < edges[side, 1, i]:
        return TERRAIN, kerb
    if away < edges[side, 2, i]:
        return SIDEWALK, kerb
    return codes[side, 1, i], kerb + (away - edges[side, 2, i]) * slopes[side, i]


@jit_no_refcount
def _patched(cell: int, x: float, away: float, side: int, patches: Float[np.ndarray, "p 6"]) -> int:
    """The kind of the last patch that covers a place; ``cell`` if there is none."""
    for p in range(len(patches)):
        start, end, near, far, of, other = patches[p]
        if start <= x < end and near <= away < far and (of > 0) == (side == 0):
            cell = int(other)
    return cell


@jit_no_refcount
def _at_crossings(
    cell: int,
    rise: float,
    x: float,
    d: float,
    side: int,
    half_width: float,
    kerb: float,
    crossings: Float[np.ndarray, "c 3"],
) -> tuple[int, float, bool]:
    """Kind and height with the side roads, their sidewalks and zebra crossings; whether lines may be painted here."""
    away = abs(d)
    lines = away < half_width
    for c in range(len(crossings)):
        offset = abs(x - crossings[c, 0]) - crossings[c, 1]
        if offset < 3.5:
            lines = False
        if away >= half_width and offset < 2.2 and (crossings[c, 2] == 0 or (crossings[c, 2] > 0) == (side == 0)):
            cell = ROAD if offset < 0 else SIDEWALK
            rise = 0.0 if offset < 0 else min(rise, kerb)
        if away < half_width and 0.6 < offset < 3.2 and d % 1.0 < 0.5:  # a zebra crossing
            cell = MARKING
    return cell, rise, lines


@jit_no_refcount
def _on_line(x: float, away: float, half_width: float) -> bool:
    """Whether a place on the road is on the dashed line in the middle or, on wide roads, the line at the edge."""
    middle = away < 0.09 and x % 6.0 < 3.0
    edge = half_width > 3.8 and abs(away - half_width + 0.35) < 0.08
    return middle or edge

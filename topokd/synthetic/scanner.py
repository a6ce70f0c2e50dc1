"""Simulate a LiDAR that drives down a street."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int64

from topokd import params
from topokd.data.scan import Scan
from topokd.datasets.semantickitti.files import class_of_raw
from topokd.synthetic import ground as G
from topokd.synthetic.raycast import cast_ground, cast_solids, windows
from topokd.synthetic.sensor import SENSORS, Sensor, directions
from topokd.synthetic.shapes import CYLINDER, Pose, Shapes
from topokd.synthetic.street import INTERVAL, Street, build_street

street_of = functools.lru_cache(maxsize=1)(build_street)
"""Caches the last street, because the scans of a sequence are generated in a row."""


def sequence_poses(
    synthetic: params.Synthetic, sequence: int, frames: int
) -> tuple[Float[np.ndarray, "f 4 4"], list[float]]:
    """LiDAR poses (sensor to world) and times in seconds of a sequence.

    Args:
        synthetic: the parameters of the world.
        sequence: number of the street.
        frames: number of scans.
    """
    street = street_of(synthetic.seed, sequence, frames)
    height = SENSORS[synthetic.sensor].height
    return np.stack([street.pose(frame, height) for frame in range(frames)]), [INTERVAL * f for f in range(frames)]


def scan_sequence_frame(
    synthetic: params.Synthetic, sequence: int, frame: int, frames: int
) -> tuple[Scan, Int64[np.ndarray, " n"]]:
    """One scan and its raw class ids; depends only on the arguments.

    Args:
        synthetic: the parameters of the world.
        sequence: number of the street.
        frame: number of the scan.
        frames: scans of the sequence.
    """
    street = street_of(synthetic.seed, sequence, frames)
    rng = np.random.default_rng([synthetic.seed, sequence, frame, 1])
    sensor = SENSORS[synthetic.sensor]
    xyz, intensity, raw, instance = scan(street, frame, sensor, synthetic.azimuths, rng)
    name = f"{sequence:02d}/{frame:06d}"
    return Scan(xyz, intensity, class_of_raw(raw), instance, name), raw


@dataclass(frozen=True)
class Measurement:
    """The n points of one revolution.

    Attributes:
        xyz: (n, 3) metres, in the frame of the sensor.
        intensity: (n,) in 0..1.
        raw: (n,) SemanticKITTI class ids.
        instance: (n,) number of the object; 0 for none.
        row: (n,) row of the beam.
        column: (n,) column of the beam.
        distance: (n,) metres along the ray.
    """

    xyz: Float32[np.ndarray, "n 3"]
    intensity: Float32[np.ndarray, " n"]
    raw: Int64[np.ndarray, " n"]
    instance: Int64[np.ndarray, " n"]
    row: Int64[np.ndarray, " n"]
    column: Int64[np.ndarray, " n"]
    distance: Float[np.ndarray, " n"]


def scan(
    street: Street, frame: int, sensor: Sensor, azimuths: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The points of one revolution, see `measure`.

    Args:
        street: the world.
        frame: number of the scan.
        sensor: the LiDAR.
        azimuths: number of columns.
        rng: source of all random numbers.

    Returns:
        xyz (n, 3) metres in the frame of the sensor, intensity (n,), raw class id (n,), instance (n,).
    """
    measured = measure(street, frame, sensor, azimuths, rng)
    return measured.xyz, measured.intensity, measured.raw, measured.instance


def measure(
    street: Street, frame: int, sensor: Sensor, azimuths: int, rng: np.random.Generator, tilt: float = 0.0
) -> Measurement:
    """Simulate one revolution of a sensor.

    The returned light is ``albedo cos(incidence)``. The probability of a return depends on that over the squared range;
    the measured range has Gaussian noise.

    Args:
        street: the world.
        frame: number of the scan.
        sensor: the LiDAR.
        azimuths: number of columns.
        rng: source of all random numbers.
        tilt: radians added to the elevation of every beam (towards the edge of its footprint).
    """
    pose = street.pose(frame, sensor.height)
    rays, _ = directions(sensor, azimuths, rng, tilt)
    shapes = street.at_time(frame)
    _own_roof(shapes, pose)
    solids = _within(shapes.arrays(), pose[:3, 3], sensor.max_range)
    distance, hit, cosine = _cast(street.ground, solids, rays, pose, sensor.max_range, int(rng.integers(1 << 31)))

    seen = hit != -1
    row, column = np.nonzero(seen)
    rays, distance, hit, cosine = rays[seen], distance[seen], hit[seen], cosine[seen]  # (n, ...)
    surface = _surface(street, solids, hit, rng)
    # gravel and grass are hit before the ground
    distance = distance - np.minimum(surface.blade / np.maximum(-rays[:, 2], 0.03), 0.6)
    chance = _chance_of_return(surface, cosine, distance, sensor.sensitivity)
    measured = distance + sensor.range_noise * rng.standard_normal(len(hit))
    kept = (rng.random(len(hit)) < chance) & (measured > sensor.min_range) & (measured < sensor.max_range)
    stray = rng.random(len(hit)) < 0.0004  # dust, rain, multiple reflections: an outlier somewhere before the surface
    measured = np.where(stray, sensor.min_range + (measured - sensor.min_range) * rng.random(len(hit)), measured)
    raw, instance = np.where(stray, 1, surface.raw), np.where(stray, 0, surface.instance)
    # Receivers compensate for range but not for incidence, of which about the square root of the cosine remains.
    bright = surface.albedo * (0.35 + 0.65 * np.sqrt(cosine)) + 0.03 * rng.standard_normal(len(hit))
    intensity = np.round(np.clip(bright, 0, 0.99), 2)  # 100 steps, as in KITTI files
    xyz = (rays * measured[:, None])[kept].astype(np.float32)
    return Measurement(
        xyz, intensity[kept].astype(np.float32), raw[kept], instance[kept], row[kept], column[kept], measured[kept]
    )


def _cast(
    ground: G.Ground,
    solids: dict[str, np.ndarray],
    rays: Float[np.ndarray, "rows cols 3"],
    pose: Float[np.ndarray, "4 4"],
    reach: float,
    seed: int,
) -> tuple[Float[np.ndarray, "rows cols"], Int64[np.ndarray, "rows cols"], Float[np.ndarray, "rows cols"]]:
    """Distance, what was hit (`cast_solids`, `cast_ground`; -1 for nothing) and cosine of the incidence, per ray."""
    origin, world = pose[:3, 3], np.ascontiguousarray(rays @ pose[:3, :3].T)
    distance = np.full(rays.shape[:2], reach)
    hit = np.full(distance.shape, -1)
    cosine = np.zeros(distance.shape)
    corners = (
        np.stack(np.meshgrid(*[(-1.0, 1.0)] * 3, indexing="ij"), -1).reshape(8, 3) * solids["half"][:, None]
    )  # (p, 8, 3)
    local = solids["centre"] - origin
    boxes = (np.einsum("pij,pkj->pki", solids["rotation"], corners) + local[:, None]) @ pose[:3, :3]
    radius = np.sqrt((solids["half"] ** 2).sum(axis=1))
    elevation = np.arcsin(np.clip(rays[:, 0, 2], -1, 1))
    window = windows(local @ pose[:3, :3], radius, boxes, elevation, rays.shape[1])
    names = ("kind", "centre", "half", "rotation", "fill", "density")
    cast_solids(origin, world, *(solids[name] for name in names), window, seed, distance, hit, cosine)
    cast_ground(origin, world, ground.height, ground.corner, G.CELL, distance, hit, cosine)
    return distance, hit, cosine


class _Surface(NamedTuple):
    """Hits of n rays: class, object, share of the light reflected and lost, height of blades of grass in metres."""

    raw: Int64[np.ndarray, " n"]
    instance: Int64[np.ndarray, " n"]
    albedo: Float[np.ndarray, " n"]
    loss: Float[np.ndarray, " n"]
    blade: Float[np.ndarray, " n"]


def _surface(
    street: Street, solids: dict[str, np.ndarray], hit: Int64[np.ndarray, " n"], rng: np.random.Generator
) -> _Surface:
    """Look up what was hit, with a random grain for each ray."""
    on_ground = hit < -1
    kind = street.ground.kind.reshape(-1)[np.where(on_ground, -2 - hit, 0)].astype(np.int64)
    solid = np.where(on_ground, 0, hit)
    looks = np.random.default_rng(int(1e9 * street.plan.roughness))
    tone = G.ALBEDO + G.ALBEDO_SPREAD * looks.standard_normal(len(G.ALBEDO))

    def pick(of_ground: np.ndarray | float, of_solid: np.ndarray) -> np.ndarray:
        return np.where(on_ground, of_ground, of_solid[solid])

    grain = np.where(on_ground, G.GRAIN[kind], 0.28)
    albedo = pick(tone[kind], solids["albedo"]) * np.exp(grain * rng.standard_normal(len(hit)) - grain**2 / 2)
    blade = np.where(on_ground, G.BLADES[kind] * rng.exponential(size=len(hit)), 0.0)
    return _Surface(
        raw=pick(G.RAW[kind], solids["raw"]),
        instance=pick(0, solids["instance"]),
        albedo=albedo,
        loss=pick(0.0, solids["loss"]),
        blade=blade,
    )


def _chance_of_return(
    surface: _Surface, cosine: Float[np.ndarray, " n"], distance: Float[np.ndarray, " n"], sensitivity: float
) -> Float[np.ndarray, " n"]:
    """Probability that the sensor detects the light: 1 - 2^(-albedo cos (s / r)^2 / 4), without what is lost."""
    back = surface.albedo * cosine
    chance = 1 - np.exp(-np.log(2) * back * (sensitivity / np.maximum(distance, 1.0)) ** 2 / 4)
    chance *= 1 - surface.loss
    chance *= 0.99  # returns lost at random
    return chance


def _own_roof(shapes: Shapes, pose: Float[np.ndarray, "4 4"]) -> None:
    """Add the roof of the car under the sensor; hits on it are nearer than ``min_range`` and are dropped."""
    x, y, z = pose[:3, 3].tolist()
    place = Pose(x, y, z, float(np.arctan2(pose[1, 0], pose[0, 0])))
    shapes.add(CYLINDER, place, (-0.4, 0.0, -0.5), (1.7, 1.2, 0.3), 1, 0.1)


def _within(solids: dict[str, np.ndarray], origin: np.ndarray, reach: float) -> dict[str, np.ndarray]:
    """Solids within the range of the sensor."""
    radius = np.sqrt((solids["half"] ** 2).sum(axis=1))
    near = np.sqrt(((solids["centre"] - origin) ** 2).sum(axis=1)) - radius < reach
    return {name: np.ascontiguousarray(value[near]) for name, value in solids.items()}

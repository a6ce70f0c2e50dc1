"""Spinning LiDARs: beam directions and measurement limits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Sensor:
    """One spinning LiDAR on a car.

    Attributes:
        elevation_deg: elevations of the beams, from top to bottom.
        height: metres above the road.
        max_range: metres.
        min_range: metres.
        range_noise: standard deviation in metres.
        sensitivity: range in metres at which a perfect retroreflector is detected half of the time.
        on_grid: beams point exactly at the pixel centres of a range image, without offsets and jitter.
    """

    elevation_deg: tuple[float, ...]
    height: float
    max_range: float = 80.0
    min_range: float = 2.6
    range_noise: float = 0.02
    sensitivity: float = 240.0
    on_grid: bool = False


def _table(*blocks: tuple[float, float, int]) -> tuple[float, ...]:
    """Elevations of blocks of (first, last, number) equally spaced beams."""
    return tuple(round(float(angle), 4) for first, last, number in blocks for angle in np.linspace(first, last, number))


SENSORS = {
    # Velodyne HDL-64E as on the KITTI car: an upper block of 32 beams 1/3 degree apart, a lower one 1/2 degree apart.
    "hdl64": Sensor(_table((2.0, -8.33, 32), (-8.83, -24.8, 32)), height=1.73),
    # Velodyne HDL-32E as on the nuScenes cars: 32 beams 1.33 degrees apart.
    "hdl32": Sensor(_table((10.67, -30.67, 32)), height=1.84, max_range=70.0, min_range=1.5, sensitivity=180.0),
    # The TOP lidar of the Waymo cars: 64 beams, denser around the horizon, stored as a range image.
    "waymo64": Sensor(_table((2.4, -4.0, 32), (-4.4, -17.6, 32)), height=2.18, max_range=75.0, on_grid=True),
}


def directions(
    sensor: Sensor, azimuths: int, rng: np.random.Generator, tilt: float = 0.0
) -> tuple[Float[np.ndarray, "rows cols 3"], Float[np.ndarray, "rows cols"]]:
    """Beam directions of one revolution.

    Azimuths are spread evenly, with a fixed offset per beam (the lasers of a block are mounted side by side) and a
    small encoder jitter.

    Args:
        sensor: the LiDAR.
        azimuths: number of columns.
        rng: source of the jitter.
        tilt: radians added to all elevations.

    Returns:
        Unit vectors in the frame of the sensor, and their azimuths in radians, falling from pi to -pi.
    """
    rows = len(sensor.elevation_deg)
    step = 2 * np.pi / azimuths
    azimuth = np.pi - step * (np.arange(azimuths)[None, :] + 0.5) + np.zeros((rows, 1))
    spread = 0.0 if sensor.on_grid else 1.0
    azimuth += (
        spread * step * (0.25 * np.sin(2.4 * np.arange(rows))[:, None] + 0.05 * rng.standard_normal((rows, azimuths)))
    )
    elevation = np.deg2rad(np.array(sensor.elevation_deg))[:, None] + spread * np.deg2rad(0.02) * rng.standard_normal(
        (rows, 1)
    )
    if tilt:
        elevation = elevation + tilt
    level = np.cos(elevation)
    return (
        np.stack((level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation) + 0 * azimuth), axis=-1),
        azimuth,
    )

"""The extent of a cloud, by which units and axes other than metres and z up are recognised."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from topokd.data.formats.table import Note

_AXES = ("x", "y", "z")


def check_extent(xyz: Float64[ndarray, "n 3"], notes: list[Note]) -> None:
    """Check the coordinates ``xyz`` (n, 3): units other than metres, or an axis other than z that points up, add to
    ``notes``."""
    if len(xyz) < 100:
        return
    if _are_degrees(xyz):
        notes.append(
            Note(
                "degrees instead of metres",
                f"x and y look like longitude and latitude in degrees, around ({np.median(xyz[:, 0]):.4f}, "
                f"{np.median(xyz[:, 1]):.4f}): project them to metres (UTM)",
            )
        )
        return
    if _are_angles(xyz):
        notes.append(
            Note(
                "angles instead of coordinates",
                "two of its columns look like angles and one like a distance: convert them to x, y, z in metres",
            )
        )
        return
    low, high = np.quantile(xyz, [0.1, 0.9], axis=0)
    extent = high - low
    widest = float(extent.max())
    if widest > 2000 or widest < 0.5:
        unit = (
            "millimetres or centimetres (--scale 0.001 or 0.01)"
            if widest > 2000
            else "another unit than metres (--scale)"
        )
        notes.append(Note("unit of coordinates", f"most of its points span {widest:.3g} m: are coordinates in {unit}?"))
    elif (xyz == np.floor(xyz)).all():
        notes.append(
            Note(
                "coordinates in whole numbers",
                f"its coordinates are whole numbers, most of them within {widest:.0f}: they were rounded to metres, or "
                "are in another unit (--scale)",
            )
        )
    flat = int(extent.argmin())
    if flat != 2 and extent[flat] < 0.5 * extent[2]:
        notes.append(
            Note(
                "z does not point up",
                f"its points span {extent[0]:.3g} x {extent[1]:.3g} x {extent[2]:.3g} m, least along "
                f"{_AXES[flat]}: z "
                "does not seem to point up (--frame names the axes)",
            )
        )


def _are_angles(xyz: Float64[ndarray, "n 3"]) -> bool:
    """Whether the columns are an azimuth, an elevation and a distance, in degrees or radians and the usual orders."""
    low, high, middle = xyz.min(0), xyz.max(0), np.quantile(xyz, [0.25, 0.75], axis=0)
    for turn in (360.0, 2 * np.pi):
        for azimuth, elevation, distance in ((0, 1, 2), (1, 2, 0), (2, 1, 0)):
            ends = low[azimuth], high[azimuth]
            around = 0.95 * turn < ends[1] - ends[0] <= 1.001 * turn and -0.501 * turn <= ends[0] < ends[1]
            half = (middle[1] - middle[0])[azimuth] / turn  # 0.5 where points lie in all directions
            upright = -0.251 * turn <= low[elevation] and high[elevation] <= 0.501 * turn
            around &= ends[1] <= 1.001 * turn and (distance == 2 or 0.35 < half < 0.65)
            if around and upright and low[distance] >= 0 and high[distance] > 5:
                return True
    return False


def _are_degrees(xyz: Float64[ndarray, "n 3"]) -> bool:
    """Whether x and y are a place on the Earth in degrees, within kilometres, and z a height in metres."""
    low, high = np.quantile(xyz, [0.01, 0.99], axis=0)
    extent = high - low
    far = min(abs(low[:2]).max(), abs(high[:2]).max()) > 1  # from the place where both are 0
    inside = np.abs(xyz[:, :2]).max() <= 180 and min(np.abs(xyz[:, 0]).max(), np.abs(xyz[:, 1]).max()) <= 90
    return bool(far and inside and extent[:2].max() < 0.1 and extent[2] > 50 * extent[:2].max())

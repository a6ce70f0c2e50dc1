"""One cloud as read from a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int64, Integer

from topokd.checks import real_tensor, require_finite
from topokd.errors import DataError

IGNORE = -1
"""Label of points that are ignored in training and evaluation; classes are 0..C-1."""
MAX_CLASSES = 1 << 16
"""Bound of C: compiled loops count the points of each class in an array of this length at most."""


@dataclass(frozen=True)
class Scan:
    """A cloud of n points; validated when it is created.

    Args:
        xyz: (n, 3) metres, in the frame of the data set: x forward, y left, z up in SemanticKITTI and Waymo; x right,
            y forward, z up in nuScenes (the LiDAR frame).
        intensity: (n,) in 0..1.
        label: (n,) class or `IGNORE`; None without ground truth.
        instance: (n,) number of the object, 0 for none; None without ground truth.
        name: name of the scan, for messages.

    Raises:
        DataError: names the scan, for an empty cloud, arrays of unequal length, coordinates or intensities that are not
            finite, intensities outside 0..1, and labels that are neither `IGNORE` nor below `MAX_CLASSES`.

    Examples:
        >>> scan = Scan(np.zeros((2, 3), np.float32), np.zeros(2, np.float32), np.array([0, IGNORE]), name="08/000004")
        >>> len(scan), scan.name
        (2, '08/000004')
    """

    xyz: Float[np.ndarray, "n 3"]
    intensity: Float[np.ndarray, " n"]
    label: Integer[np.ndarray, " n"] | None = None
    instance: Integer[np.ndarray, " n"] | None = None
    name: str = ""

    def __post_init__(self) -> None:
        where = f"scan {self.name or '(unnamed)'}"
        object.__setattr__(self, "xyz", _float32(self.xyz, f"{where}: xyz", most=0.01))
        object.__setattr__(self, "intensity", _float32(self.intensity, f"{where}: intensity"))
        if self.xyz.ndim != 2 or self.xyz.shape[1] != 3:
            raise DataError(f"{where}: xyz has shape {self.xyz.shape}, expected (n, 3)")
        n = len(self.xyz)
        if n == 0:
            raise DataError(f"{where}: no points; remove it, or set data.on_bad_scan of a profile to skip")
        for field in ("intensity", "label", "instance"):
            value = getattr(self, field)
            if value is None:
                continue
            if field != "intensity":
                value = _whole_numbers(value, f"{where}: {field}")
                object.__setattr__(self, field, value)
            if value.shape != (n,):
                raise DataError(f"{where}: {field} has shape {value.shape}, but there are {n} points")
        for field in ("xyz", "intensity"):
            require_finite(
                getattr(self, field),
                f"{where}: {field}",
                "write the scan without them, or set data.on_bad_scan of a profile to skip",
            )
        low, high = float(self.intensity.min()), float(self.intensity.max())
        if low < 0 or high > 1:
            raise DataError(
                f"{where}: intensity runs from {low:g} to {high:g}, expected 0..1; divide it by its full scale"
            )

        if self.label is not None and not IGNORE <= self.label.min() <= self.label.max() < MAX_CLASSES:
            raise DataError(
                f"{where}: label runs from {self.label.min()} to {self.label.max()}, expected {IGNORE} (ignored) to "
                f"{MAX_CLASSES - 1}; map raw ids to classes first"
            )

    def __len__(self) -> int:
        return len(self.xyz)


def _float32(values: Any, name: str, most: float = np.inf) -> Float[np.ndarray, ...]:
    """``values`` as float32. Raises DataError if they are not real numbers, or one changes by more than ``most``."""
    if isinstance(values, np.ndarray) and type(values) is np.ndarray and values.dtype == np.float32:
        return values
    given = real_tensor(values, name).detach().cpu()
    array: np.ndarray = (given.float() if given.is_floating_point() and given.element_size() < 4 else given).numpy()
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = array.astype(np.float32)
        lost = (
            np.abs(rounded.astype(np.float64) - array) if most < np.inf and array.dtype != np.float32 else np.zeros(0)
        )
    typical = float(np.quantile(lost, 0.5, method="lower")) if lost.size else 0.0  # of most points, not of a stray one
    if typical > most:
        raise DataError(
            f"{name} reaches {float(np.abs(array).max()):.3g}, where float32 loses {typical:.2g} m: "
            "subtract the position of the sensor"
        )
    return rounded


def _whole_numbers(values: Any, name: str) -> Int64[np.ndarray, " n"]:
    """``values`` as int64. Raises DataError for fractions, NaN, text, and numbers that int64 cannot hold."""
    if isinstance(values, np.ma.MaskedArray):
        raise DataError(f"{name} is a masked array, whose mask would be lost: pass values.filled(-1)")
    array = np.asarray(values)
    if array.dtype.kind not in "iubf":
        raise DataError(f"{name} holds {array.dtype} values: give whole numbers")
    if array.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            whole = np.isfinite(array) & (array == np.floor(array)) & (np.abs(array) <= 2.0**53)
        if not whole.all():
            place = int((~whole).argmax())
            raise DataError(f"{name} is {array.flat[place]} at point {place}: give whole numbers")
    elif array.dtype == np.uint64 and array.size and int(array.max()) >= 1 << 63:
        raise DataError(f"{name} goes up to {int(array.max())}: give numbers below 2^63")
    return array.astype(np.int64)

"""Statistics of scans: their ranges over a network's training scans, and how another scan differs from them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np

from topokd.data.formats.table import Note
from topokd.data.scan import Scan
from topokd.errors import DataError


@dataclass(frozen=True)
class Measure:
    """One number of a scan.

    Attributes:
        title: its name in messages.
        unit: unit of the number.
        factor: how many times smaller or larger than in training a positive number may be; 0: only ``margin`` counts.
        margin: how far below or above the training scans it may be.
        advice: what the user should check.
    """

    title: str
    unit: str = ""
    factor: float = 0.0
    margin: float = 0.0
    advice: str = ""


MEASURES = {
    "ground": Measure(
        "height of the ground", " m", margin=0.5, advice="is the origin at the sensor? (--origin 0,0,HEIGHT moves it)"
    ),
    "near": Measure(
        "distance of the nearest points from the origin", " m", factor=1.6, margin=0.5,
        advice="is the origin at the sensor? (--origin X,Y,Z)",
    ),
    "reach": Measure(
        "distance that 95 % of the points stay within", " m", factor=2.5, advice="another sensor, or unit (--scale)"
    ),
    "coverage": Measure("share of the full turn that has points", "", margin=0.25, advice="another field of view"),
    "heading": Measure(
        "direction of the centre of the field of view", " degrees", margin=45.0,
        advice="are the axes those of training? (--frame y,-x,z makes a file with y forward one with x forward)",
    ),
    "points": Measure("number of points", "", factor=1.7, advice="a sensor with another number of beams or columns"),
    "beams": Measure("rows of points over the height", "", factor=1.8, advice="a sensor with another number of beams"),
    "intensity_median": Measure(
        "median of the intensities", "", factor=4.0, margin=0.02, advice="another scale (--intensity-scale), or sensor"
    ),
    "intensity_high": Measure(
        "intensity that 99 % of the points stay below", "", factor=4.0, margin=0.05,
        advice="another scale (--intensity-scale), or sensor",
    ),
}  # fmt: skip
"""The numbers that are compared."""


def describe(scan: Scan) -> dict[str, float]:
    """The measures of one scan; those that it has too few points for are left out.

    Args:
        scan: n points around the sensor.

    Returns:
        Name of a measure to its value.

    Examples:
        >>> circle = np.linspace(0, 2 * np.pi, 720, endpoint=False)
        >>> xyz = np.column_stack([10 * np.cos(circle), 10 * np.sin(circle), np.full(720, -1.7)])
        >>> measured = describe(Scan(xyz, np.full(720, 0.5)))
        >>> round(measured["ground"], 1), round(measured["near"]), round(measured["coverage"], 1), "heading" in measured
        (-1.7, 10, 1.0, False)
    """
    xyz = scan.xyz.astype(np.float64)
    distance = np.hypot(xyz[:, 0], xyz[:, 1])
    measured = {
        "ground": _ground(xyz[:, 2]),
        "near": float(np.quantile(distance, 0.01)),
        "reach": float(np.quantile(distance, 0.95)),
        "points": float(len(xyz)),
        "intensity_median": float(np.median(scan.intensity)),
        "intensity_high": float(np.quantile(scan.intensity, 0.99)),
    }
    azimuth = np.arctan2(xyz[:, 1], xyz[:, 0])
    counts = np.histogram(azimuth, 72, (-math.pi, math.pi))[0]
    seen = counts > 0.1 * np.median(counts[counts > 0])
    measured["coverage"] = float(seen.mean())
    if measured["coverage"] < 0.75:
        centres = (np.arange(72) + 0.5) / 72 * 2 * math.pi - math.pi
        measured["heading"] = math.degrees(math.atan2(np.sin(centres[seen]).sum(), np.cos(centres[seen]).sum()))
    far = distance > 3
    if far.sum() >= 1000:
        elevation = np.degrees(np.arctan2(xyz[far, 2], distance[far]))
        rows = np.histogram(elevation, 720, (-45, 45))[0]  # bins of an eighth of a degree
        measured["beams"] = float((rows > 0.25 * np.median(rows[rows > 0])).sum())
    return measured


def _ground(z: np.ndarray) -> float:
    """The fullest layer of 0.3 m in the lower half of the points."""
    low = z[z <= np.median(z)]
    bottom = float(np.quantile(low, 0.01))
    top = min(float(low.max()) + 0.31, bottom + 250)  # 2000 layers and a few: damaged points are kilometres high
    counts, edges = np.histogram(low, np.arange(bottom - 0.3, top, 0.1)[:2000])
    if len(counts) < 3:
        return float(np.median(low))
    layers = np.convolve(counts, np.ones(3), "valid")
    start = edges[int(layers.argmax())]
    return float(np.median(low[(low >= start) & (low <= start + 0.3)]))


@dataclass(frozen=True)
class ScanProfile:
    """The range of each measure over the scans that a network was trained on.

    Attributes:
        low: smallest value of each measure.
        high: largest value.
        scans: how many were measured.
    """

    low: dict[str, float]
    high: dict[str, float]
    scans: int

    @classmethod
    def of(cls, scans: Iterable[Scan]) -> ScanProfile:
        """The ranges over some scans; a measure that one of them lacks is left out."""
        measured = [describe(scan) for scan in scans]
        names = [name for name in MEASURES if all(name in values for values in measured)]
        low = {name: round(min(values[name] for values in measured), 4) for name in names}
        high = {name: round(max(values[name] for values in measured), 4) for name in names}
        return cls(low, high, len(measured))

    def to_json(self) -> str:
        """As one line, for the metadata of a checkpoint."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ScanProfile:
        """Read what `to_json` wrote.

        Raises:
            DataError: it is damaged.
        """
        try:
            tree = json.loads(text)
            low = {str(name): float(value) for name, value in tree["low"].items()}
            high = {str(name): float(value) for name, value in tree["high"].items()}
            values = [*low.values(), *high.values()]
            if low.keys() != high.keys() or not all(math.isfinite(value) for value in values):
                raise ValueError("the ranges are incomplete")
            if not (isinstance(tree["scans"], int) and tree["scans"] >= 0):
                raise ValueError(f"the number of scans is {str(tree['scans'])[:40]}")
            return cls(low, high, tree["scans"])
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise DataError(f"the description of training scans cannot be read: {error}") from error

    def differences(self, measured: dict[str, float]) -> list[Note]:
        """A note for each measure of a scan that is well outside its range in training."""
        notes = []
        for name, measure in MEASURES.items():
            if name not in measured or name not in self.low:
                continue
            value, low, high = measured[name], self.low[name], self.high[name]
            lowest, highest = low - measure.margin, high + measure.margin
            if measure.factor:
                lowest, highest = min(lowest, low / measure.factor), max(highest, high * measure.factor)
            if name == "intensity_median":  # at most 1: not the value but value / (1 - value) may grow by the factor
                highest = max(high + measure.margin, measure.factor * high / (1 + (measure.factor - 1) * high))
            if name == "heading" and 360 - abs(value - (low + high) / 2) < abs(value - (low + high) / 2):
                continue  # the other way round is nearer: both look backwards
            if not lowest <= value <= highest:
                kind = "intensities" if name.startswith("intensity") else measure.title
                advice = measure.advice
                if name == "ground" and low - measure.margin <= -value <= high + measure.margin:
                    advice = "z seems to point down (--frame x,-y,-z turns the scan over)"
                if name == "intensity_median" and value > highest and 1 - value >= lowest:
                    advice = "are bright points stored as small values? Save the full scale minus them"
                notes.append(
                    Note(
                        f"{kind} unlike in training",
                        f"{measure.title} {value:.3g}{measure.unit}, in training {low:.3g} to {high:.3g}"
                        f"{measure.unit}: {advice}",
                    )
                )
        return notes

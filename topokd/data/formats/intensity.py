"""The rule for the field that holds the intensities, and for their full scale.

1. The field: the one that the user names, or the first present of `FIELDS`. A calibrated reflectivity comes before a
   raw signal strength, which has no full scale. One with negative values (decibels, or another zero) is skipped if
   there is another, and rejected otherwise; one that is the same everywhere, or not finite, is skipped too. Without
   any, the only field that has one of these words in its name, as ``lidar_intensity`` and ``pcloud_attr.reflectance``,
   is used with a note; otherwise intensities are 0.
2. The full scale: what the user says, or 255 for a field of bytes. Otherwise that of other scans of the sensor, if it
   is known (`topokd.data.formats.common_scale` guesses it from a sample); 255 for five columns without names, as in
   nuScenes, unless they exceed it or are fractions; 1 for fractions; the smallest of `SCALES` that is not exceeded, or
   the one below, if the values reach less than a hundredth of it and at most a tenth of the points exceed the lower
   one. A scale that the values hardly support is reported as an assumption.
3. Values above it: at most one point in a thousand (`RARE`), a retroreflector say, is clipped. More than that is an
   error if the user gave the scale. A guess never is: up to a tenth of the points (`SOME`) is clipped; if more exceed
   the scale of the other scans, or the values are fractions and the others are not, the scan has its own scale.
   Both are reported with numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from topokd.data.formats.intensity_field import RARE, choose_field, negative_cause
from topokd.data.formats.table import Note, PointTable
from topokd.errors import DataError

SCALES = (1.0, 255.0, 1023.0, 4095.0, 65535.0)
"""Full scales found in practice."""
SOME = 0.1
"""Share of points that are clipped at the scale of other scans, if it was guessed."""
UNLIKE = "intensities unlike those of other scans"
"""Kind of the note on a scan whose values do not fit the scale of the others."""
_DARK = 0.01
"""Share of the full scale that some point of a scan reaches."""


@dataclass(frozen=True)
class Intensities:
    """Intensities of the points used, in 0..1.

    Attributes:
        values: (m,) in 0..1.
        field: its name; None: there is none, and the values are 0.
        scale: full scale that the field was divided by.
        guessed: whether that scale follows from the values only.
    """

    values: Float64[ndarray, " m"]
    field: str | None
    scale: float
    guessed: bool


def intensities(
    path: Path,
    table: PointTable,
    used: Bool[ndarray, " n"],
    wanted: str | None,
    given_scale: float | None,
    sensor_scale: float | None,
) -> Intensities:
    """The intensities of a file's points; what was assumed is added to ``table.notes``.

    Args:
        path: the file.
        table: its fields.
        used: which points have a return.
        wanted: name of the field, "none" for zeros; None: the rule above.
        given_scale: full scale; None: the rule above.
        sensor_scale: full scale of other scans of this sensor, if known.

    Raises:
        DataError: the field does not exist, or its values have no scale.
    """
    name = choose_field(path, table, used, wanted)
    if name is None:
        return Intensities(np.zeros(int(used.sum())), None, 1.0, False)
    column = table.fields[name]
    values = _clean(path, name, np.asarray(column, np.float64)[used], table)
    if not values.any():
        table.notes.append(
            Note("all intensities are 0", f"all values of {name} are 0, as if there were no intensities")
        )
        return Intensities(values, name, given_scale or 1.0, False)
    if len(values) > 1000 and values.min() == values.max():
        table.notes.append(
            Note(
                "all intensities are equal",
                f"all values of {name} are {values[0]:g}, as if there were no intensities (--intensity none takes 0)",
            )
        )
    fixed = given_scale or (255.0 if column.dtype == np.uint8 else None)
    scale = fixed or _suggested(name, values, sensor_scale, table)
    guessed = scale is None
    if scale is None:
        scale = _guess(path, name, values, table)
    above = values > scale
    if fixed is not None and above.mean() > RARE:
        raise DataError(
            f"{path}: {name} goes up to {float(values.max()):g}, above the scale {scale:g}; give the sensor's full "
            "scale (--intensity-scale 1, 255 or 65535), or leave intensities out (--intensity none)"
        )
    if 0 < above.mean() <= (SOME if guessed else RARE):
        table.notes.append(
            Note(
                "intensities above the scale",
                f"{int(above.sum())} of {len(values)} values of {name} exceed the scale {scale:g} (up to "
                f"{values.max():g}) and are clipped (--intensity-scale sets it)",
            )
        )
    if len(values) > 1000 and values.max() < _DARK * scale:
        table.notes.append(
            Note(
                "intensities far below the scale",
                f"{name} only goes up to {values.max():g}, of a full scale of {scale:g}: the network sees next to 0 "
                "(--intensity-scale sets the full scale)",
            )
        )
    return Intensities(np.minimum(values, scale) / scale, name, scale, guessed)


def _clean(path: Path, name: str, values: ndarray, table: PointTable) -> ndarray:
    """Values with the few that are negative or not finite set to 0."""
    bad = ~np.isfinite(values)
    if bad.mean() > RARE:
        raise DataError(
            f"{path}: {name} holds NaN or infinity at {int(bad.sum())} of {len(values)} points, first at point "
            f"{int(bad.argmax())} of those with a return: remove such points, or leave intensities out "
            "(--intensity none)"
        )
    bad |= np.where(bad, 0.0, values) < 0
    if bad.mean() > RARE:
        raise DataError(
            f"{path}: {name} goes down to {float(values.min()):g}; values must run from 0 to a full scale. Negative "
            f"ones are {negative_cause(table.fields[name])}: leave them out (--intensity none), or name another field"
        )
    if bad.any():
        table.notes.append(
            Note(
                "invalid intensities",
                f"{int(bad.sum())} values of {name} are negative or not finite: 0 is used",
            )
        )
    return np.where(bad, 0.0, values)


def _suggested(name: str, values: ndarray, sensor_scale: float | None, table: PointTable) -> float | None:
    """The scale of other scans, or the one that the form of the file suggests, if the values can be of it."""
    fractions = _are_fractions(values)
    if sensor_scale is not None:
        share = float((values > sensor_scale).mean())
        own = share > SOME or (fractions and sensor_scale > 1)
        if own or share > RARE:
            how = f"{100 * share:.1f} % of the values of {name} exceed it" if share else f"{name} holds fractions"
            what = "this scan gets a separate scale" if own else "they are clipped"
            table.notes.append(
                Note(
                    UNLIKE,
                    f"other scans seem to have intensities of 0 to {sensor_scale:g}, but {how} (up to "
                    f"{values.max():g}): {what} (--intensity-scale sets the full scale of all)",
                )
            )
        if not own:
            return sensor_scale
    form = table.usual_scale
    return None if form is None or fractions or (values > form).mean() > RARE else form


def _are_fractions(values: ndarray) -> bool:
    """Whether all but a few values lie in 0..1, some of them between."""
    inside = values <= 1
    return bool((~inside).mean() <= RARE and (values[inside] != np.floor(values[inside])).any())


def _guess(path: Path, name: str, values: ndarray, table: PointTable) -> float:
    """The full scale by the values alone."""
    if _are_fractions(values):
        return 1.0
    fitting = [scale for scale in SCALES if (values > scale).mean() <= RARE]
    if not fitting:
        raise DataError(
            f"{path}: {name} goes up to {values.max():g}; give the sensor's full scale (--intensity-scale), or leave "
            "intensities out (--intensity none)"
        )
    scale = fitting[0]
    lower = max((other for other in SCALES if other < scale), default=scale)
    if values.max() < _DARK * scale and (values > lower).mean() <= SOME:
        scale = lower  # a few reflectors: a scale that includes them would push all other values towards 0
    whole = bool((values == np.floor(values)).all())
    high = float(values[values <= scale].max())
    if not (whole and scale == 255 and high > 127):
        table.notes.append(
            Note(
                f"intensities divided by {scale:g}",
                f"{name} goes up to {high:g} in {'whole numbers' if whole else 'fractions'}: "
                f"divided by {scale:g}, a guess (--intensity-scale sets the full scale)",
            )
        )
    return scale

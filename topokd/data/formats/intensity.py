"""The rule for the field that holds the intensities, and for their full scale.

1. The field: the one that the user names, or the first present of `FIELDS`. A calibrated reflectivity comes before a
   raw signal strength, which has no full scale. One with negative values (decibels, or another zero) is skipped if
   there is another, and rejected otherwise. Without any, the only field that has one of these words in its name, as
   ``lidar_intensity`` and ``pcloud_attr.reflectance``, is used with a note; otherwise intensities are 0.
2. The full scale: what the user says, or 255 for a field of bytes. Otherwise that of other scans of the sensor, if it
   is known (`topokd.data.formats.common_scale` guesses it from a sample); 255 for five columns without names, as in
   nuScenes, unless they exceed it or are fractions; 1 for fractions; the smallest of `SCALES` that is not exceeded. A
   scale that the values hardly support is reported as an assumption.
3. Values above it: at most one point in a thousand (`RARE`), a retroreflector say, is clipped. More than that is an
   error if the user gave the scale. A guess never is: up to a tenth of the points (`SOME`) is clipped; if more exceed
   the scale of the other scans, or the values are fractions and the others are not, the scan has its own scale.
   Both are reported with numbers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from topokd.data.formats.table import Note, Table, plain_name
from topokd.errors import DataError

FIELDS = ("reflectivity", "reflectance", "remission", "intensity", "intensities", "i", "amplitude", "strength")
"""Names of intensities, the preferred first."""
SCALES = (1.0, 255.0, 1023.0, 4095.0, 65535.0)
"""Full scales found in practice."""
NONE = "none"
RARE = 0.001
"""Share of points whose intensities may lie outside a scale that fits."""
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
    table: Table,
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
    name = _field(path, table, used, wanted)
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
    if 0 < above.mean() <= RARE:
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


def _field(path: Path, table: Table, used: ndarray, wanted: str | None) -> str | None:
    """The name of the field to use, or None for zeros."""
    if wanted is not None:
        name = plain_name(wanted)
        if name in table.fields:
            return name
        if name == NONE:
            return None
        raise DataError(
            f"{path} has no field {wanted!r} for intensities; it has "
            f"{', '.join(table.fields) or 'none besides x, y, z'} (--intensity none leaves them out)"
        )
    present = [name for name in FIELDS if name in table.fields] or _by_words(table)
    if not present:
        if not any("instead of intensities" in note.kind for note in table.notes):
            among = f" among {', '.join(table.fields)}" if table.fields else ""
            table.notes.append(
                Note(
                    "no intensities",
                    f"has no intensities (looked for {', '.join(FIELDS[:4])}{among}): 0 is used "
                    "(--intensity FIELD names one)",
                )
            )
        return None
    negative = {name: _lowest(table.fields[name][used]) for name in present}
    usable = [name for name in present if negative[name] >= 0]
    if not usable:
        name = present[0]
        _check_first_column(path, table, used, negative[name])
        raise DataError(
            f"{path}: {name} goes down to {negative[name]:g}; values must run from 0 to a full scale. "
            f"Negative ones are {_cause(table.fields[name])}: leave them out (--intensity none), or name another "
            f"field (--intensity {' or '.join(n for n in table.fields if n not in present) or 'FIELD'})"
        )
    others = [name for name in present if name != usable[0]]
    if others:
        why = "".join(f"; {name} goes down to {negative[name]:g}" for name in others if name not in usable)
        table.notes.append(
            Note(
                f"{usable[0]} is used, not {', '.join(others)}",
                f"{usable[0]} is used, not {', '.join(others)}{why} (--intensity names the field)",
            )
        )
    return usable[0]


def _by_words(table: Table) -> list[str]:
    """The field, if it is the only one, with a word of its name or the plural in `FIELDS`; noted in the table."""
    known = {name + end for name in FIELDS if len(name) > 1 for end in ("", "s")}
    named = [name for name in table.fields if known & set(re.split(r"[^a-z]+", name))]
    if len(named) == 1:
        text = f"{named[0]} is taken for the intensities, by its name (--intensity names the field)"
        table.notes.append(Note(f"{named[0]} is used", text))
    return named if len(named) == 1 else []


def _cause(column: ndarray) -> str:
    """What negative intensities may be."""
    if column.dtype.kind == "i" and column.dtype.itemsize <= 2 and column.min() < np.iinfo(column.dtype).min / 2:
        return f"above the half of their scale and lost it when they were stored as {column.dtype}, or decibels"
    return "decibels, or have another zero"


def _check_first_column(path: Path, table: Table, used: Bool[ndarray, " n"], lowest: float) -> None:
    """Raise `DataError` if columns without names seem to begin with another value than x, so that the fourth is z."""
    first = table.xyz[used, 0]
    if table.columns < 4 or len(first) < 100:
        return
    beyond = np.column_stack([table.xyz[used, 1], table.xyz[used, 2], table.fields["intensity"][used]])
    if (np.abs(np.linalg.norm(beyond, axis=1) - first) <= 0.01 + 0.01 * first).mean() > 0.9:
        likely = "the distance of the point"
    elif first.min() >= 0 and first.max() < 256 and (first == np.floor(first)).all():
        likely = "a ring, a return number or an intensity"
    elif first.min() >= 0 and first.max() <= 1:
        likely = "an intensity or a time"
    elif first[0] < first[-1] and (np.diff(first) >= 0).all():
        likely = "a time"
    else:
        return
    names = ["_", "x", "y", "z", "intensity", *["_"] * table.columns][: table.columns]
    raise DataError(
        f"{path}: the fourth of {table.columns} columns goes down to {lowest:g}, so it holds no intensities, and the "
        f"first looks like {likely}: name the columns, such as --columns {','.join(names)}"
    )


def _lowest(values: ndarray) -> float:
    """The smallest value, but 0 if at most one point in a thousand is negative."""
    with np.errstate(all="ignore"):  # signalling NaN in a damaged file
        finite = np.asarray(values, np.float64)
    finite = finite[np.isfinite(finite)]
    return float(finite.min()) if len(finite) and (finite < 0).mean() > RARE else 0.0


def _clean(path: Path, name: str, values: ndarray, table: Table) -> ndarray:
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
            f"ones are {_cause(table.fields[name])}: leave them out (--intensity none), or name another field"
        )
    if bad.any():
        table.notes.append(
            Note(
                "invalid intensities",
                f"{int(bad.sum())} values of {name} are negative or not finite: 0 is used",
            )
        )
    return np.where(bad, 0.0, values)


def _suggested(name: str, values: ndarray, sensor_scale: float | None, table: Table) -> float | None:
    """The scale of other scans, or the one that the form of the file suggests, if the values can be of it."""
    fractions = _are_fractions(values)
    if sensor_scale is not None:
        share = float((values > sensor_scale).mean())
        own = share > SOME or (fractions and sensor_scale > 1)
        if own or share > RARE:
            how = f"{100 * share:.1f} % of the values of {name} exceed it" if share else f"{name} holds fractions"
            what = "this scan gets a scale of its own" if own else "they are clipped"
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


def _guess(path: Path, name: str, values: ndarray, table: Table) -> float:
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

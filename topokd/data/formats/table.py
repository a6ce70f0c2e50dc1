"""The result of a reader of one format: coordinates, named fields, and its assumptions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy import ndarray

from topokd.errors import DataError

_AXES = ("x", "y", "z")
CLOUD_NAMES = (
    "points", "xyz", "position", "pcd", "pc", "cloud", "point_cloud", "coord", "coords", "pos",
    "lidar", "scan", "data", "arr_0",
)  # fmt: skip
"""Of an array or a field that holds the points, the likeliest first."""
_COORDINATE = re.compile(
    r"(?:(p|pt|points?|pos|position|coords?|coordinates?|cartesian|lidar|local)[_.:-]?)?([xyz])"
    r"(?:[_.:-]?(m|meters|metres|coord|coordinate|pos|position))?"
)
"""Names of coordinates, with what stands before and after the axis."""
_ANGLES = {
    *("azimuth", "elevation", "range", "distance", "theta", "phi"),
    *("latitude", "longitude", "lat", "lon", "sphericalazimuth", "sphericalrange"),
}


@dataclass(frozen=True)
class Note:
    """Something about a file that was assumed or looks odd.

    Attributes:
        kind: a few words that are equal for equal notes on other files.
        text: with the numbers of this file, and the option that overrules the assumption.

    Examples:
        >>> str(Note("intensities are divided by 255", "intensities are divided by 255: the largest is 254"))
        'intensities are divided by 255: the largest is 254'
    """

    kind: str
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass
class PointTable:
    """The points of one file, as in the file.

    Attributes:
        xyz: (n, 3) coordinates.
        fields: (n,) values by plain name (`plain_name`), in the order of the file.
        notes: what was assumed.
        usual_scale: full scale of intensities that the form of the file suggests; None if it suggests none.
        columns: number of columns whose meaning was assumed; 0 if the file or the user named them.
        withheld: (n,) points that the file marks as not to be used; None: it marks none.
        decibels: fields that the file describes as such, which have no full scale.
    """

    xyz: ndarray
    fields: dict[str, ndarray] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    usual_scale: float | None = None
    columns: int = 0
    withheld: ndarray | None = None
    decibels: tuple[str, ...] = ()


def plain_name(name: str) -> str:
    """A field's name without case, spaces, and the ``scalar_`` of CloudCompare.

    Examples:
        >>> plain_name("scalar_Reflectance"), plain_name("//X"), plain_name("Near IR")
        ('reflectance', 'x', 'near_ir')
    """
    return name.strip().lstrip("/").lower().removeprefix("scalar_").strip().replace(" ", "_")


def surplus_note(counted: int, surplus: int, question: str) -> Note:
    """A note on a body that holds more points than its header counts."""
    return Note(
        "more points than the header counts",
        f"its header counts {counted:,} points, and there is room for {surplus:,} more after them, which are ignored: "
        f"{question}",
    )


def plain_number_words(text: bytes) -> bytes:
    """The text with ``nan`` in place of Windows' spellings of it, such as ``-nan(ind)`` and ``1.#QNAN``.

    Examples:
        >>> plain_number_words(b"1.5 -1.#IND 2")
        b'1.5 nan 2'
    """
    return re.sub(rb"[+-]?(?:nan\([^)\s]*\)|1\.#\w+)", b"nan", text)


def separate_axes(fields: dict[str, ndarray]) -> dict[str, ndarray]:
    """The fields with x, y and z apart, if they are one field of three numbers under one of `CLOUD_NAMES`.

    Args:
        fields: (n,) or (n, k) values by name.

    Examples:
        >>> list(separate_axes({"xyz": np.zeros((2, 3)), "intensity": np.zeros((2, 1))}))
        ['intensity', 'x', 'y', 'z']
    """
    plain = {plain_name(name): name for name in reversed(fields)}
    joined = [plain[name] for name in CLOUD_NAMES if name in plain and fields[plain[name]].shape[1:] == (3,)]
    if not joined or set(_AXES) <= set(plain):
        return fields
    others = {name: values for name, values in fields.items() if name != joined[0]}
    return others | dict(zip(_AXES, fields[joined[0]].T, strict=True))


def table_of(path: Path, names: Iterable[str], column: Callable[[str], ndarray]) -> PointTable:
    """The table of a file whose fields have names; fields that are not one number per point are left out.

    Args:
        path: the file.
        names: its fields.
        column: gives the values of one field.

    Raises:
        DataError: x, y or z is missing.
    """
    known: dict[str, str] = {}
    for name in names:
        known.setdefault(plain_name(name), name)
    missing = [axis for axis in _AXES if axis not in known]
    axes = _other_names(known) if missing else _AXES
    if not axes:
        widths = {plain: np.shape(column(name))[1:] for plain, name in known.items()}
        has = [f"{plain} ({width[0]} values each)" if width > (1,) else plain for plain, width in widths.items()]
        kind = "angles or distances" if set(known) & _ANGLES else "coordinates"
        advice = f": convert its {kind} to fields x, y, z in metres" if known else ""
        raise DataError(f"{path} lacks the field {', '.join(missing)}; it has {', '.join(has) or 'none'}{advice}")
    stored = [np.asarray(column(known[axis])) for axis in axes]
    for axis, values in zip(_AXES, stored, strict=True):
        if values.dtype.kind not in "fiu":
            raise DataError(f"{path}: {axis} holds {values.dtype} values, not numbers: convert them to float32")
    with np.errstate(invalid="ignore"):  # signalling NaN in a damaged file
        places = [values.astype(np.float64).reshape(-1) for values in stored]
    if len({len(values) for values in places}) > 1:
        lengths = ", ".join(f"{axis} {len(values)}" for axis, values in zip(_AXES, places, strict=True))
        raise DataError(f"{path}: the numbers of values differ ({lengths}): it is damaged, or of several clouds")
    check_sign(path, [values.reshape(-1) for values in stored])
    xyz = np.stack(places, axis=1)
    others = {plain: np.asarray(column(name)) for plain, name in known.items() if plain not in axes}
    numbers = {plain: v.reshape(-1) for plain, v in others.items() if v.size == len(xyz) and v.dtype.kind in "fiub"}
    table = PointTable(xyz, numbers)
    if missing:
        named = ", ".join(axes)
        table.notes.append(Note(f"{named} are x, y, z", f"{named} are taken for x, y, z, by their names"))
    return table


def _other_names(known: Iterable[str]) -> tuple[str, ...]:
    """The fields that are x, y and z by other names, as ``px``, ``position_x`` and ``cartesianX``; () if unclear.

    Normals (``nx``), velocities (``vx``) and offsets are none.
    """
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for name in known:
        if match := _COORDINATE.fullmatch(name):
            before, axis, after = match.groups()
            found.setdefault((before or "", after or ""), {})[axis] = name
    whole = [tuple(names[axis] for axis in _AXES) for names in found.values() if set(names) == set(_AXES)]
    return whole[0] if len(whole) == 1 else ()


def table_of_rows(path: Path, rows: ndarray, names: tuple[str, ...] | None) -> PointTable:
    """The table of rows without field names: x, y, z, intensity and unnamed ones, unless ``names`` says otherwise.

    Args:
        path: the file.
        rows: (n, c) values.
        names: names of the columns, from the user; `_` for one that does not matter.

    Raises:
        DataError: there are not as many names as columns.
    """
    count = rows.shape[1]
    if names is not None:
        if len(names) != count:
            raise DataError(f"{path} has {count} columns, but --columns names {len(names)}: {', '.join(names)}")
        where = {name: k for k, name in enumerate(names)}
        return table_of(path, [name for name in names if name != "_"], lambda name: rows[:, where[name]])
    check_sign(path, list(rows[:, :3].T))
    table = PointTable(rows[:, :3].astype(np.float64), columns=count)
    if count >= 6 and _are_colours(rows[:, 3:6]):
        table.notes.append(
            Note(
                "colours instead of intensities",
                "columns 4 to 6 hold whole numbers in 0..255 that look like colours: intensities are taken as 0 "
                "(--columns x,y,z,intensity,_,_ if the fourth is one)",
            )
        )
        return table
    if count >= 6 and _are_normals(rows[:, 3:6]):
        table.notes.append(
            Note(
                "normals instead of intensities",
                "columns 4 to 6 hold vectors of length 1, normals probably: intensities are taken as 0 "
                "(--columns x,y,z,_,_,_,intensity names another column)",
            )
        )
        return table
    if count > 3:
        table.fields["intensity"] = rows[:, 3]
        table.fields |= {f"column{k + 1}": rows[:, k] for k in range(4, count)}
        if _are_times(rows[:, 3]):
            table.notes.append(
                Note(
                    "fourth column may be a time",
                    f"the fourth column grows from {rows[0, 3]:g} to {rows[-1, 3]:g} in the order of the points, as a "
                    "time or a number of the point does: name the columns (--columns x,y,z,_) or leave intensities "
                    "out (--intensity none)",
                )
            )
        elif _are_labels(rows[:, 3]):
            table.notes.append(
                Note(
                    "fourth column may be a label",
                    f"the fourth column holds only {len(np.unique(rows[:, 3]))} whole numbers up to "
                    f"{rows[:, 3].max():g}: if it is a label or a ring, name the columns (--columns x,y,z,_) or "
                    "leave intensities out (--intensity none)",
                )
            )
    return table


def check_sign(path: Path, columns: list[ndarray]) -> None:
    """Reject coordinates x, y, z of 16 or 32 bits that were negative before they were stored without a sign.

    Raises:
        DataError: they are near 0 and near the largest number of their type, and almost never in between.
    """
    for axis, values in zip(_AXES, columns, strict=True):
        if values.dtype.kind != "u" or values.dtype.itemsize < 2 or len(values) < 100:
            continue
        most = float(np.iinfo(values.dtype).max)
        share = np.histogram(values, [0, most / 4, 3 * most / 4, most])[0] / len(values)
        if min(share[0], share[2]) > 0.05 and share[1] < 0.01:
            signed = f"int{8 * values.dtype.itemsize}"
            raise DataError(
                f"{path}: {axis} is stored as {values.dtype}, with values near 0 and near {most:.0f} and none in "
                f"between: negative ones lost their sign; convert it, x.view('{signed}')"
            )


def _are_normals(values: ndarray) -> bool:
    """Whether three columns are vectors of length 1, apart from a few, with negative parts."""
    with np.errstate(all="ignore"):
        length = np.sqrt((values.astype(np.float64) ** 2).sum(1))
    return bool((np.abs(length - 1) < 0.01).mean() > 0.9 and (values < 0).any())


def _are_times(values: ndarray) -> bool:
    """Whether a column grows from point to point as the time of a measurement does; most intensities go up and down."""
    finite = values[np.isfinite(values)].astype(np.float64)
    if len(finite) < 1000 or not finite[0] < finite[-1]:
        return False
    middle = float(np.median(finite))
    return bool(
        finite.min() < middle < finite.max() and (np.diff(finite) < 0).mean() < 0.001 and len(np.unique(finite)) > 64
    )


def _whole(values: ndarray) -> bool:
    return bool(np.isfinite(values).all() and (values == np.floor(values)).all())


def _are_colours(values: ndarray) -> bool:
    """Whether three columns can only be 8-bit colours: whole numbers in 0..255, each reaching beyond 1."""
    return (
        _whole(values) and float(values.min()) >= 0 and float(values.max()) <= 255 and bool((values.max(0) > 1).all())
    )


def _are_labels(values: ndarray) -> bool:
    """Whether a column looks like classes or rings: few distinct small whole numbers on many points."""
    return len(values) > 1000 and _whole(values) and 1 < len(np.unique(values)) <= 64 and float(values.max()) <= 64

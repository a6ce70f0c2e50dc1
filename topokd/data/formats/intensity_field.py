"""The field of a file that holds the intensities; the rule is in `topokd.data.formats.intensity`."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from topokd.data.formats.table import Note, PointTable, plain_name
from topokd.errors import DataError

FIELDS = ("reflectivity", "reflectance", "remission", "intensity", "intensities", "i", "amplitude", "strength")
"""Names of intensities, the preferred first."""
NONE = "none"
RARE = 0.001
"""Share of points whose intensities may lie outside a scale that fits."""


def choose_field(path: Path, table: PointTable, used: ndarray, wanted: str | None) -> str | None:
    """The name of the field with the intensities; None for zeros.

    Args:
        path: the file, for messages.
        table: its fields; what was assumed is added to its notes.
        used: which points have a return.
        wanted: the name that the user gave, "none" for zeros; None: by rule.

    Raises:
        DataError: there is no such field, or none without negative values.
    """
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
    usable = [name for name in present if negative[name] >= 0 and name not in table.decibels]
    usable = [name for name in usable if not _says_nothing(table.fields[name][used])] or usable
    if not usable:
        name = present[0]
        if name in table.decibels:
            raise DataError(
                f"{path}: {name} is in decibels, by its description, and they have no full scale: leave them out "
                "(--intensity none), or name another field (--intensity FIELD)"
            )
        _check_first_column(path, table, used, negative[name])
        raise DataError(
            f"{path}: {name} goes down to {negative[name]:g}; values must run from 0 to a full scale. "
            f"Negative ones are {negative_cause(table.fields[name])}: leave them out (--intensity none), or name "
            f"another field (--intensity {' or '.join(n for n in table.fields if n not in present) or 'FIELD'})"
        )
    others = [name for name in present if name != usable[0]]
    if others:
        why = "".join(
            f"; {name} is in decibels"
            if name in table.decibels
            else f"; {name} goes down to {negative[name]:g}"
            if negative[name] < 0
            else f"; {name} is the same everywhere"
            for name in others
            if name not in usable
        )
        table.notes.append(
            Note(
                f"{usable[0]} is used, not {', '.join(others)}",
                f"{usable[0]} is used, not {', '.join(others)}{why} (--intensity names the field)",
            )
        )
    return usable[0]


def _by_words(table: PointTable) -> list[str]:
    """The field, if it is the only one, with a word of its name or the plural in `FIELDS`; noted in the table."""
    known = {name + end for name in FIELDS if len(name) > 1 for end in ("", "s")}
    named = [name for name in table.fields if known & set(re.split(r"[^a-z]+", name))]
    if len(named) == 1:
        text = f"{named[0]} is taken for the intensities, by its name (--intensity names the field)"
        table.notes.append(Note(f"{named[0]} is used", text))
    return named if len(named) == 1 else []


def negative_cause(column: ndarray) -> str:
    """What the negative values of a column of intensities may be."""
    if column.dtype.kind == "i" and column.dtype.itemsize <= 2 and column.min() < np.iinfo(column.dtype).min / 2:
        return f"above the half of their scale and lost it when they were stored as {column.dtype}, or decibels"
    finite = column[np.isfinite(column)] if column.dtype.kind == "f" else column
    if (finite[finite < 0] == -1).all():
        return "all -1, which may mark points without a value"
    return "decibels, or have another zero"


def _check_first_column(path: Path, table: PointTable, used: Bool[ndarray, " n"], lowest: float) -> None:
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


def _says_nothing(column: ndarray) -> bool:
    """Whether a column is the same everywhere, or not finite at more points than a few."""
    with np.errstate(all="ignore"):  # signalling NaN in a damaged file
        values = np.asarray(column, np.float64)
    finite = np.isfinite(values)
    return bool((~finite).mean() > RARE or values[finite].min() == values[finite].max())


def _lowest(values: ndarray) -> float:
    """The smallest value, but 0 if at most one point in a thousand is negative."""
    with np.errstate(all="ignore"):  # signalling NaN in a damaged file
        finite = np.asarray(values, np.float64)
    finite = finite[np.isfinite(finite)]
    return float(finite.min()) if len(finite) and (finite < 0).mean() > RARE else 0.0

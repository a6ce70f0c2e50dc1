"""Files of bare numbers (.bin): which number type, which byte order, how many columns.

Such a file has no header, but its values reveal its layout. Read as the wrong type, many values are implausible: larger
than any coordinate, or tiny but not zero. Read with the wrong number of columns c, every column is a mixture of all
fields, so the columns no longer differ: with u = log(|v| + 1 mm) per value v,

    eta^2(c) = Var(mean of u per column) / Var(u)

is near 0 for wrong c and largest for the right one (and its multiples), whatever the order of the points.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy import ndarray

from topokd.data.formats.table import Note, PointTable, table_of_rows
from topokd.errors import DataError

DTYPES = {
    "float32": "<f4",
    "float64": "<f8",
    "float16": "<f2",
    ">float32": ">f4",
    ">float64": ">f8",
    "int16": "<i2",
    "int32": "<i4",
    "uint16": "<u2",
}
"""Names of number types; `>` marks the byte order of big-endian machines."""
_RECOGNISED = ("float32", "float64", ">float32", ">float64")
_MOST_COLUMNS = 12
_SAMPLE = 60_000
_FEWEST = 600
"""With fewer values, the type and the number of columns are not inferred."""
_LONGEST_HEADER = 32
"""Rows at the beginning of a file that may be a header."""
_SEPARATE = 0.02
"""Smallest eta^2 at which a number of columns is accepted."""


def read_bin(path: Path, columns: int | tuple[str, ...] | None, dtype: str | None) -> PointTable:
    """Read rows of numbers.

    Args:
        path: the file.
        columns: values per point, or their names; None: recognised, 4 (KITTI) in case of doubt.
        dtype: a key of `DTYPES`; None: recognised, float32 in case of doubt.

    Raises:
        DataError: the size is not a whole number of rows, or no type makes the values plausible.
    """
    data = path.read_bytes()
    names = columns if isinstance(columns, tuple) else None
    given = len(names) if names else columns if isinstance(columns, int) else None
    notes: list[Note] = []
    chosen = dtype or _recognise_type(path, data, notes)
    size = np.dtype(DTYPES[chosen]).itemsize
    values = np.frombuffer(data[: len(data) // size * size], DTYPES[chosen])
    count = given or _recognise_columns(path, values, notes)
    if len(data) % (size * count):
        wanted = f"{given} columns" if given else "4 or 5 columns"
        raise DataError(
            f"{path} has {len(data)} bytes, not a multiple of {wanted} of {chosen}: it is truncated, or give --columns "
            "and --dtype"
        )
    rows = values.reshape(-1, count)
    _check_beginning(path, rows)
    table = table_of_rows(path, rows, names)
    table.notes[:0] = notes
    if given is None and count == 5:
        table.usual_scale = 255.0
    return table


def plausible_share(values: ndarray) -> float:
    """Share of values that a coordinate or an intensity may have: NaN, infinity, 0, or a size between 1e-8 and 1e7.

    If most of the larger ones are one number, several times in a row, it fills beams without a return, and counts too.

    Examples:
        >>> plausible_share(np.array([0.0, 12.5, -3.0, 1e-30, 1e30]))
        0.6
    """
    with np.errstate(invalid="ignore"):
        size = np.abs(values.astype(np.float64))
        usual = ~np.isfinite(size) | (size == 0) | ((size >= 1e-8) & (size <= 1e7))
    large = size[~usual & (size > 1)]
    numbers, times = np.unique(large, return_counts=True)
    if len(large) and times.max() > len(large) / 2:
        same = size == numbers[times.argmax()]
        if 2 * (same[1:] & same[:-1]).sum() > same.sum():  # x, y and z; a time is once in each row
            usual |= same
    return float(np.mean(usual))


def _check_beginning(path: Path, rows: ndarray) -> None:
    """Reject a file whose first rows are bytes of something else: a header that is as long as a few points.

    Whole numbers of 32 or 64 bits, and most letters, are numbers below 1e-30 or above 1e9 if they are read as floats.

    Raises:
        DataError: says how long the header seems to be, and how to drop it.
    """
    if rows.dtype.kind != "f" or len(rows) < _FEWEST // rows.shape[1]:
        return
    with np.errstate(invalid="ignore"):
        size = np.abs(rows.astype(np.float64))
        strange = ((size > 0) & (size < 1e-30) | (size > 1e9) & np.isfinite(size)).any(axis=1)
    header = int(strange[:_LONGEST_HEADER].nonzero()[0].max(initial=-1)) + 1
    if header and not strange[header:].any():
        length = header * rows.shape[1] * rows.dtype.itemsize
        raise DataError(
            f"{path}: its first {length} bytes or more do not look like numbers: a header? Save the file without "
            f"it, numpy.fromfile(path, '{rows.dtype.str}', offset={length}).tofile(new), or convert it"
        )


def _recognise_type(path: Path, data: bytes, notes: list[Note]) -> str:
    """float32, unless its values are implausible and those of another type are not."""

    def sampled(name: str) -> ndarray:
        size = np.dtype(DTYPES[name]).itemsize
        return np.frombuffer(data[: min(len(data) // size, _SAMPLE) * size], DTYPES[name])

    if len(data) < 4 * _FEWEST or plausible_share(sampled("float32")) > 0.95:
        return "float32"
    shares = {
        name: plausible_share(sampled(name)) for name in _RECOGNISED if len(data) % np.dtype(DTYPES[name]).itemsize == 0
    }
    best = max(shares, key=lambda name: shares[name], default="float32")
    if shares.get(best, 0) < 0.99:
        timed = next((name for name in _RECOGNISED if _has_times(sampled(name))), None)
        if timed:
            raise DataError(
                f"{path}: read as {timed}, some of its values are as large as times in seconds or nanoseconds: if it "
                f"has a column of times, name the columns and give the type, such as --columns x,y,z,intensity,_ "
                f"--dtype {timed}"
            )
        raise DataError(
            f"{path}: its bytes are not plausible as float32, float64, or either in the other byte order (endianness): "
            "if they are rows of numbers, give --dtype and --columns; if its columns differ in type (floats and whole "
            "numbers), read them with a NumPy dtype of records and save that as .npy; if the file has a header or "
            "another format, convert it"
        )
    notes.append(
        Note(
            f"read as {best}",
            f"its bytes are implausible as float32 but plausible as {_words(best)}: read as such (--dtype sets it)",
        )
    )
    return best


def _has_times(values: ndarray) -> bool:
    """Whether all values are plausible, except one of three to twelve that is as large as a time since 1970."""
    with np.errstate(invalid="ignore"):
        size = np.abs(values.astype(np.float64))
        large = (size > 1e7) & (size < 1e19)
    share = float(large.mean())
    return plausible_share(values[~large]) > 0.99 and 0.9 / _MOST_COLUMNS < share < 1.1 / 3


def _words(name: str) -> str:
    return f"{name[1:]} in big-endian byte order" if name.startswith(">") else name


def _recognise_columns(path: Path, values: ndarray, notes: list[Note]) -> int:
    """4 or 5 by the size, the name and the ring column, unless the values clearly indicate another number."""
    fitting = [count for count in (4, 5) if len(values) % count == 0]
    usual = fitting[0] if fitting else None
    named = path.name.endswith(".pcd.bin") and 5 in fitting
    if len(fitting) == 2 and (named or _is_ring(values.reshape(-1, 5)[:, 4])):
        usual = 5
    measured = None if named else recognise_period(values)
    if measured is None and (columns := _one_after_another(values)):
        raise DataError(
            f"{path}: its values look like {columns} columns one after another, all x first: save it point by point, "
            f"numpy.fromfile(path, 'f4').reshape({columns}, -1).T.tofile(new)"
        )
    if measured is None or measured == usual:
        if usual is None and measured is None:
            return 4  # the caller says what the size should be
        return usual or 4
    if len(values) % measured:
        raise DataError(
            f"{path} holds {len(values)} values that look like rows of {measured} columns, but {len(values)} is not a "
            f"multiple of {measured}: it is truncated or has a header; copy it again, convert it, or give --columns"
        )
    meaning = {3: "x, y, z without intensities", 4: "x, y, z, intensity", 5: "x, y, z, intensity and one more"}
    notes.append(
        Note(
            f"read as {measured} columns",
            f"its values look like rows of {measured} columns: read as "
            f"{meaning.get(measured, 'x, y, z, intensity and others')} (--columns sets it)",
        )
    )
    return measured


def recognise_period(values: ndarray) -> int | None:
    """The number of columns c of rows written one after another: the smallest that nearly maximises eta^2(c).

    Args:
        values: (n * c,) numbers.

    Returns:
        c in 3..12, or None if the values are too few or no c separates the columns.

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> rows = np.column_stack([rng.normal(0, 20, (500, 2)), rng.normal(-1, 1, 500), rng.random(500)])
        >>> recognise_period(rows.ravel()), recognise_period(rows[:, :3].ravel()), recognise_period(rng.random(2000))
        (4, 3, None)
    """
    if len(values) < _FEWEST:
        return None
    start = max(0, len(values) // 2 - _SAMPLE // 2) // 27720 * 27720  # a multiple of every count in 3..12
    sample = np.asarray(values[start : start + _SAMPLE], np.float64)
    with np.errstate(all="ignore"):
        u = np.log(np.abs(sample) + 1e-3)
    empty = sample == 0
    inner = empty[:-2] & empty[1:-1] & empty[2:]  # three zeros in a row: a point without a return
    for shift in range(3):
        u[shift : shift + len(inner)][inner] = np.nan
    u[~np.isfinite(u)] = np.nan
    if not np.isfinite(u).any() or not np.nanvar(u) > 0:
        return None
    total = np.nanvar(u)
    scores = {}
    for count in range(3, _MOST_COLUMNS + 1):
        rows = u[: len(u) // count * count].reshape(-1, count)
        known = np.isfinite(rows)
        means = np.where(known, rows, 0.0).sum(0) / np.maximum(known.sum(0), 1)
        columns = means[known.any(0)]
        scores[count] = float(np.var(columns) / total) if len(columns) else 0.0
    best = max(scores.values())
    if best < _SEPARATE:
        return None
    return next(count for count, score in scores.items() if score > 0.8 * best)


def _one_after_another(values: ndarray) -> int | None:
    """The number of columns of values stored column by column (x of all points, y of all points, ...), if they are.

    Then the blocks of n values differ most, by eta^2 as above, if n is the right one.
    """
    scores = {}
    for count in (4, 5, 3, 6):
        if len(values) % count == 0:
            blocks = np.log(np.abs(values.reshape(count, -1)[:, :_SAMPLE].astype(np.float64)) + 1e-3)
            scores[count] = float(np.var(blocks.mean(1)) / (np.var(blocks) or 1.0))
    if not scores or not max(scores.values()) > 0:
        return None
    best = max(scores, key=lambda count: scores[count])
    rows = np.ascontiguousarray(values.reshape(best, -1).T).reshape(-1)
    return best if recognise_period(rows) == best else None


def _is_ring(column: ndarray) -> bool:
    """Whether a column can only be the number of a laser: whole numbers below 256, more than one."""
    return bool(((column >= 0) & (column < 256) & (column == np.floor(column))).all() and len(np.unique(column)) > 1)

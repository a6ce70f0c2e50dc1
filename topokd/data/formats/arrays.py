"""NumPy files: .npy and .npz. Pickled objects in them are never loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy import ndarray

from topokd.checks import require_memory
from topokd.data.formats.intensity_field import FIELDS
from topokd.data.formats.table import (
    CLOUD_NAMES,
    Note,
    PointTable,
    plain_name,
    separate_axes,
    table_of,
    table_of_rows,
)
from topokd.errors import DataError

_MOST_COLUMNS = 16
"""Of an array without names; more are pixels as a rule."""
_LONGEST_LINE = 4096
_MOST_ARRAYS = 1000
"""Of an archive."""


def read_array_file(path: Path, columns: int | tuple[str, ...] | None) -> PointTable:
    """Read an array of shape (n, c), (c, n) or (h, w, c), an array of records, or an archive with one such array.

    Args:
        path: a .npy or .npz file.
        columns: names of the columns; a number must be that of the array.

    Raises:
        DataError: the file holds pickled objects, no array of points, or several.
    """
    try:
        with path.open("rb") as stream:
            content = np.load(stream, allow_pickle=False)
            if isinstance(content, ndarray):
                return _alone(path, content, columns, path.stat().st_size - stream.tell())
        with np.load(path, allow_pickle=False) as content:
            sizes = [entry.file_size for entry in content.zip.infolist()]
            require_memory(2 * sum(sizes), f"{path}: unpacked", "it is damaged, or made to fill the memory")
            if len(sizes) > _MOST_ARRAYS:  # NumPy looks each one up in a list
                raise DataError(f"{path} holds {len(sizes):,} arrays, a cloud has a few: save one array (n, 4)")
            arrays = {name: content[name] for name in content.files}
            return _archive(path, {name: x for name, x in arrays.items() if isinstance(x, ndarray)}, columns)
    except ValueError as error:
        if "pickle" in str(error) and not isinstance(error, DataError):
            if _is_text(path):
                raise DataError(
                    f"{path} is a table of text, not an array of NumPy: numpy.save(new, numpy.loadtxt(path, "
                    "delimiter=..., skiprows=...))"
                ) from None
            raise DataError(
                f"{path} holds pickled Python objects, which can run arbitrary code when loaded; it was not opened. "
                "Save a plain array of numbers (n, 4): numpy.save(path, xyz_and_intensity.astype('f4'))"
            ) from None
        raise


def _is_text(path: Path) -> bool:
    """Whether a file begins with a line of two or more numbers."""
    with path.open("rb") as stream:
        words = stream.readline(_LONGEST_LINE).replace(b",", b" ").replace(b";", b" ").split()
    try:
        return len([float(word) for word in words]) > 1
    except ValueError:
        return False


def _alone(path: Path, values: ndarray, columns: int | tuple[str, ...] | None, rest: int) -> PointTable:
    """The table of a .npy file, with a note on the bytes after its array."""
    table = _table(path, values, columns)
    if rest > 0:
        table.notes.append(
            Note(
                "more than one array",
                f"{rest:,} bytes after its array of shape {values.shape} are ignored: were several saved into it?",
            )
        )
    return table


def _archive(path: Path, arrays: dict[str, ndarray], columns: int | tuple[str, ...] | None) -> PointTable:
    """The table of an archive: arrays x, y, z and others, or one array of points and an array per further field."""
    lower = {name.lower(): name for name in arrays}
    if {"x", "y", "z"} <= set(lower):
        return table_of(path, arrays, lambda name: arrays[name])
    clouds = [name for name, array in arrays.items() if array.ndim >= 2 or array.dtype.names]
    named = [lower[name] for name in CLOUD_NAMES if name in lower and lower[name] in clouds]
    chosen = named[0] if named else clouds[0] if len(clouds) == 1 else None
    if chosen is None:
        raise DataError(
            f"{path} holds the arrays {', '.join(arrays) or 'none'}, none of which is clearly the points: save one "
            "array (n, 4) with numpy.save, or call it `points`"
        )
    table = _table(path, arrays[chosen], columns)
    for name, array in arrays.items():
        plain, row = plain_name(name), array.size == max(array.shape, default=0)  # (m,), (m, 1) or (1, m)
        if plain in FIELDS and row and array.size != len(table.xyz):
            raise DataError(
                f"{path}: {name} has {array.size} values for the {len(table.xyz)} points of {chosen}: it belongs to "
                "another cloud, or is damaged"
            )
        if name != chosen and row and array.size == len(table.xyz) and array.dtype.kind in "fiu":
            table.fields[name.lower()] = array.reshape(-1)
    return table


def _table(path: Path, values: ndarray, columns: int | tuple[str, ...] | None) -> PointTable:
    if values.dtype.names:
        return _records(path, values.reshape(-1))
    shape, notes = values.shape, []
    if values.dtype.kind not in "fiu":
        raise DataError(f"{path}: {values.dtype} of shape {shape}; expected numbers of shape (n, 3 or more)")
    if values.dtype.itemsize == 1:
        raise DataError(
            f"{path}: its array of shape {shape} holds single bytes ({values.dtype}), a picture or labels probably: "
            "coordinates are numbers of 16 bits or more"
        )
    if values.ndim == 3 and (3 <= shape[2] <= 12 or not 3 <= shape[0] <= 12):
        values = values.reshape(-1, shape[2])
        if shape[0] > 1:
            text = f"its array has the shape {shape}: read as one scan; clouds of several scans need a file each"
            notes.append(Note("array with three axes", text))
    elif values.ndim == 3:
        values = values.reshape(shape[0], -1)
    if values.ndim == 2 and 3 <= values.shape[0] <= 12 and values.shape[1] > 16:
        values = values.T
        notes.append(Note("transposed array", f"its array has the shape {shape}: read as one point per column"))
    if values.ndim != 2 or not values.shape[1] >= 3:
        flat = ": if rows were joined, reshape it, x.reshape(-1, 4)" if len(shape) == 1 else ""
        raise DataError(f"{path}: {values.dtype} of shape {shape}; expected numbers of shape (n, 3 or more){flat}")
    if _MOST_COLUMNS < values.shape[1] <= 64 and columns is None:
        raise DataError(
            f"{path}: its array has the shape {shape}, {values.shape[1]} values per point: if it is an image of "
            f"ranges, convert it to points; if the first three are x, y and z, give --columns {values.shape[1]}"
        )
    if values.shape[1] > 64:
        raise DataError(
            f"{path}: its array has the shape {shape}, {values.shape[1]} values per point; expected (n, 3 or more): "
            "reshape it"
        )
    if isinstance(columns, int) and columns != values.shape[1]:
        raise DataError(f"{path} has {values.shape[1]} columns, not {columns}: drop --columns")
    table = table_of_rows(path, values, columns if isinstance(columns, tuple) else None)
    table.notes[:0] = notes
    if values.dtype == np.float16:
        reach = float(np.nanmax(np.abs(table.xyz), initial=0.0, where=np.isfinite(table.xyz)))
        table.notes.append(
            Note(
                "float16 coordinates",
                f"coordinates are float16, which separates points no better than {np.spacing(np.float16(reach)):.2g} m "
                f"at {reach:.0f} m",
            )
        )
    return table


def _records(path: Path, values: ndarray) -> PointTable:
    """The table of an array of records; x, y and z may be one field of three numbers."""
    fields = separate_axes({name: values[name] for name in values.dtype.names or ()})
    return table_of(path, fields, lambda name: fields[name].reshape(len(values), -1 if len(values) else 1))

"""One file of any format as points around the sensor, in metres, with intensities 0..1."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from topokd.data.formats.arrays import read_array_file
from topokd.data.formats.binary import DTYPES, read_bin
from topokd.data.formats.content import format_of_content
from topokd.data.formats.extent import check_extent
from topokd.data.formats.intensity import intensities
from topokd.data.formats.libraries import read_las, read_ply
from topokd.data.formats.pcd import read_pcd
from topokd.data.formats.placement import (
    check_precision,
    has_return,
    near_origin,
    parse_frame,
    without_strays,
)
from topokd.data.formats.table import Note, PointTable
from topokd.data.scan import Scan
from topokd.errors import DataError, ParameterError
from topokd.options import number

log = logging.getLogger(__name__)

SUFFIXES = (".bin", ".pcd", ".ply", ".las", ".laz", ".npy", ".npz")
TEXT_SUFFIXES = (".txt", ".csv", ".xyz", ".asc", ".pts", ".dat", ".tsv")
"""Of tables of text, which have no form in common: the message says how to convert them."""


@dataclass(frozen=True)
class Cloud:
    """The points of a user's file, and the scan for the network.

    Attributes:
        xyz: (n, 3) coordinates as in the file.
        finite: (n,) which points are in the scan: those with a return, neither stray nor without finite coordinates.
        scan: those points, in metres around the sensor in the network's axes, with intensities 0..1.
        scale: full scale that the intensities were divided by.
        guessed: whether that scale was guessed from the values only.
        field: the field that the intensities come from; None: there is none.
        notes: what was assumed about the file, and what looks odd.

    Examples:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "scan.npy")
        >>> np.save(path, np.array([[4.0, 0, -1, 10], [np.nan, 0, 0, 0], [5.0, 2, -1, 255]]))
        >>> cloud = read_cloud(path, intensity_scale=255)
        >>> len(cloud.xyz), cloud.finite.tolist(), len(cloud.scan)
        (3, [True, False, True], 2)
    """

    xyz: Float64[ndarray, "n 3"]
    finite: Bool[ndarray, " n"]
    scan: Scan
    scale: float
    guessed: bool
    field: str | None = None
    notes: tuple[Note, ...] = ()


def read_cloud(
    path: str | Path,
    columns: int | Sequence[str] | None = None,
    intensity_scale: float | None = None,
    usual_scale: float | None = None,
    *,
    dtype: str | None = None,
    intensity: str | None = None,
    scale: float = 1.0,
    frame: str = "x,y,z",
    origin: Sequence[float] | None = None,
    log_notes: bool = True,
) -> Cloud:
    """Read one file.

    Args:
        path: the file.
        columns: for .bin and .npy: values per point, or their names, such as ("x", "y", "z", "intensity", "_"); None:
            recognised (`topokd.data.formats.binary`).
        intensity_scale: full scale of the intensities; None: by rule (`topokd.data.formats.intensity`).
        usual_scale: full scale of other scans of the same sensor, if known: a guess, which a scan may contradict.
        dtype: number type of .bin, a key of `topokd.data.formats.binary.DTYPES`; None: recognised.
        intensity: name of the field of intensities, or "none" for zeros; None: by rule.
        scale: metres per unit of the coordinates: 0.001 for millimetres.
        frame: the axes of the file that are the network's x, y and z: "y,-x,z" for a file with y forward, x right.
        origin: the place of the sensor in the file's coordinates and unit; None: at their origin, or the median of map
            coordinates (beyond 10 km).
        log_notes: log what was assumed, one line.

    Returns:
        The points used, the scan for the network, and what was assumed about the file.

    Raises:
        DataError: names the file, the problem, and what to do.

    Examples:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "scan.npy"
        >>> np.save(path, np.array([[1.0, 2.0, 3.0, 204.0], [np.nan, 0.0, 0.0, 0.0]]))
        >>> cloud = read_cloud(path)
        >>> cloud.scan.xyz.tolist(), cloud.scan.intensity.tolist(), cloud.finite.tolist(), cloud.scale
        ([[1.0, 2.0, 3.0]], [0.800000011920929], [True, False], 255.0)
    """
    path = Path(path)
    names = check_reading(columns, intensity_scale, dtype, scale, frame, origin, intensity)
    check_reading(intensity_scale=usual_scale)
    axes = parse_frame(frame)
    table = _read(path, names, dtype)
    xyz = np.ascontiguousarray(table.xyz, np.float64)
    if len(xyz) == 0:
        raise DataError(f"{path} has no points")
    notes = table.notes
    used = has_return(xyz, notes)
    if not used.any():
        raise DataError(
            f"{path}: none of its {len(xyz)} points is a measurement: x, y and z are not finite, (0, 0, 0), or the "
            "same everywhere"
        )
    if table.withheld is not None:
        used &= ~table.withheld
        if not used.any():
            raise DataError(
                f"{path}: all of its points with a return are marked as withheld or noise: label another file"
            )
    without = int((~np.isfinite(xyz).all(axis=1)).sum())
    if without:
        log.info("%s: %d of %d points are not finite and get no class", path, without, len(xyz))
    used = without_strays(scale * xyz, used, notes)
    check_precision(xyz[used], scale, notes)
    if not used.any():
        raise DataError(f"{path}: its {len(xyz)} points are too far from one another to be a scan: it is damaged")
    placed = scale * (xyz[used] - (np.zeros(3) if origin is None else np.asarray(origin, np.float64)))
    placed = placed @ axes.T
    if origin is None:
        placed = near_origin(placed, notes)
    if np.abs(placed).max() > 1e9:
        raise DataError(
            f"{path}: coordinates reach {np.abs(placed).max():.3g} m: they are damaged, or of another type or unit "
            "(--dtype, --scale)"
        )
    check_extent(placed, notes)
    brightness = intensities(path, table, used, intensity, intensity_scale, usual_scale)
    scan = Scan(placed.astype(np.float32), brightness.values.astype(np.float32), name=path.name)
    if log_notes and notes:
        log.warning("%s: %s", path, "; ".join(map(str, notes)))
    return Cloud(xyz, used, scan, brightness.scale, brightness.guessed, brightness.field, tuple(notes))


def check_reading(
    columns: int | Sequence[str] | None = None,
    intensity_scale: float | None = None,
    dtype: str | None = None,
    scale: float = 1.0,
    frame: str = "x,y,z",
    origin: Sequence[float] | None = None,
    intensity: str | None = None,
) -> int | tuple[str, ...] | None:
    """Check options of `read_cloud`.

    Args:
        columns: as in `read_cloud`, like the others.
        intensity_scale: likewise.
        dtype: likewise.
        scale: likewise.
        frame: likewise.
        origin: likewise.
        intensity: likewise.

    Returns:
        ``columns`` as a number or a tuple of names; None if they are to be recognised.

    Raises:
        DataError: one is not valid.
    """
    if intensity_scale is not None and not _is_number(intensity_scale, above=0.0):
        raise DataError(
            f"the intensity scale is {intensity_scale!r}; it must be positive and finite, such as 1, 255 or "
            "65535 (--intensity-scale)"
        )
    if not _is_number(scale, above=0.0):
        raise DataError(f"scale is {scale!r}; it is metres per unit, positive and finite (--scale)")
    if not 1e-9 <= scale <= 1e9:
        raise DataError(f"scale is {scale:g}; it is metres per unit, 1e-9 to 1e9 (--scale)")
    if dtype is not None and dtype not in DTYPES:
        raise DataError(f"dtype {dtype!r} is unknown; choose one of {', '.join(DTYPES)} (--dtype)")
    if origin is not None and not (
        isinstance(origin, Sequence | np.ndarray) and len(origin) == 3 and all(_is_number(value) for value in origin)
    ):
        raise DataError(f"origin is {origin!r}; it must be three finite numbers, x, y, z of the sensor (--origin)")
    if intensity is not None and not isinstance(intensity, str):
        raise DataError(f"intensity is {intensity!r}; name the field, or none (--intensity)")
    parse_frame(frame)
    if columns is None:
        return None
    if isinstance(columns, int):
        if isinstance(columns, bool) or not 3 <= columns <= 64:
            raise DataError(f"columns is {columns}; a point has x, y, z and at most 61 others (--columns)")
        return columns
    if isinstance(columns, str) or not isinstance(columns, Sequence):
        raise DataError(f"columns is {columns!r}; give their number or a list of their names (--columns)")
    names = tuple(str(name).strip().lower() for name in columns)
    real = [name for name in names if name != "_"]
    if not {"x", "y", "z"} <= set(names) or len(set(real)) != len(real):
        raise DataError(
            f"columns are {', '.join(names)}; name x, y and z once each, and `_` for those that do not matter "
            "(--columns)"
        )
    return names


def _is_number(value: Any, above: float = -math.inf) -> bool:
    """Whether ``value`` is a finite number above a bound."""
    try:
        return above < number(value, "value", least=-math.inf)
    except ParameterError:
        return False


def _read(path: Path, columns: int | tuple[str, ...] | None, dtype: str | None) -> PointTable:
    """Read a file by the reader of its content's format, where that is known, or else of its suffix."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        if path.is_file():
            format_of_content(path)  # names what is certainly no scan, and says what to do about it
        text = "; numpy.save(new, numpy.loadtxt(path, delimiter=..., skiprows=...)) does it for a table of numbers"
        raise DataError(
            f"{path}: {path.suffix or 'a file without a suffix'} is not readable; convert it to one of "
            f"{', '.join(SUFFIXES)}{text if suffix in TEXT_SUFFIXES else ''}"
        )
    if not path.is_file():
        what = "is a folder, not a scan" if path.is_dir() else "is a pipe or a device, not a file"
        what = what if path.exists() else "is a broken link" if path.is_symlink() else "does not exist"
        raise DataError(f"{path} {what}")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty: copy it again")
    suffixes = format_of_content(path)
    if suffixes is not None and suffix not in suffixes:
        table = _read_as(path, suffixes[0], columns, dtype)
        table.notes.insert(
            0, Note(f"read as {suffixes[0]}", f"its content is that of a {suffixes[0]} file: read as such")
        )
        return table
    return _read_as(path, suffix, columns, dtype)


def _read_as(path: Path, suffix: str, columns: int | tuple[str, ...] | None, dtype: str | None) -> PointTable:
    """Read a file by the reader of a suffix."""
    try:
        if suffix == ".bin":
            return read_bin(path, columns, dtype)
        if suffix in (".npy", ".npz"):
            return read_array_file(path, columns)
        return {".pcd": read_pcd, ".ply": read_ply, ".las": read_las, ".laz": read_las}[suffix](path)
    except (DataError, PermissionError):
        raise
    except MemoryError as error:
        raise DataError(
            f"{path} has {path.stat().st_size:,} bytes and its header declares more data than the memory can hold "
            f"({error or 'allocation failed'}): it is damaged, or too large: read a part of it"
        ) from error
    except Exception as error:  # the libraries of the formats raise many kinds for damaged files
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise DataError(
            f"{path} cannot be read as {suffix}: {reason}; the file is damaged or of another format"
        ) from error

"""Points and features given to the explorers: arrays or files."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from topokd.checks import real_tensor
from topokd.data.formats.cloud import SUFFIXES, read_cloud
from topokd.errors import DataError
from topokd.io import ARRAY_ERRORS


def read_points(source: Any, name: str = "array", **reading: Any) -> Float64[ndarray, "n c"]:
    """Points or features as float64.

    Args:
        source: an array or tensor (n, c), or the path of a file: all columns of a .npy, or x, y, z of a scan (.ply,
            .bin, .pcd, .las, .laz).
        name: name of the file in messages.
        reading: options of `topokd.data.formats.read_cloud`: columns, dtype, scale, frame, origin. With one of them a
            .npy is read as a scan too.

    Returns:
        (n, c) coordinates or features.

    Raises:
        DataError: naming the file, the problem and what to do.

    Examples:
        >>> read_points([[0, 1], [2, 3], [4, 5]]).tolist()
        [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    """
    if isinstance(source, str | Path):
        path = Path(source)
        if reading or path.suffix.lower() != ".npy":
            return check_points(
                read_cloud(path, **{"intensity": "none", **reading}).scan.xyz.astype(np.float64), str(path)
            )
        try:
            source, name = np.load(path, allow_pickle=False), str(path)
        except FileNotFoundError:
            raise DataError(f"{path} does not exist") from None
        except ARRAY_ERRORS as error:
            raise DataError(f"{path} is not an array of numbers: write it with numpy.save ({error})") from None
    elif reading:
        raise DataError(f"{', '.join(reading)} are for files: {name} is {type(source).__name__}, leave them out")
    return check_points(real_tensor(source, name).detach().cpu().double().numpy(), name)


def check_points(points: ndarray, name: str) -> Float64[ndarray, "n c"]:
    """The points, if they are a finite array (n, c) with at least 3 rows.

    Raises:
        DataError: with `name`, the problem and what to do.
    """
    if points.ndim != 2 or len(points) < 3 or points.shape[1] < 1:
        raise DataError(f"{name} has the shape {points.shape}; expected (n, c) with at least 3 rows")
    if not np.isfinite(points).all():
        row = int(np.flatnonzero(~np.isfinite(points).all(axis=1))[0])
        raise DataError(f"{name}: row {row} holds NaN or infinity: remove such rows")
    if np.abs(points).max() > np.finfo(np.float32).max / 1e3:
        raise DataError(f"{name} reaches {np.abs(points).max():.3g}, more than pictures hold: scale it down")
    return points


def read_upload(name: str, data: bytes) -> Float64[ndarray, "n c"]:
    """The points of a file uploaded in the browser.

    Raises:
        DataError: naming the file, the problem and what to do.
    """
    suffix = Path(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{name} cannot be read; choose one of {', '.join(SUFFIXES)}")
    stem = re.sub(r"[^\w.-]", "_", Path(name).name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / stem
        path.write_bytes(data)
        try:
            return read_points(path)
        except DataError as error:
            text = str(error).replace(str(path), name)
            if (advice := as_arguments(text)) == text:
                raise DataError(text) from None
            call = f"topokd.explore.read_points({name!r}, ...)"
            raise DataError(f"{advice}; a button has no options: give the explorer what {call} returns") from None


def check_pair(
    student: Float64[ndarray, "n a"], teacher: Float64[ndarray, "m b"]
) -> tuple[Float64[ndarray, "n a"], Float64[ndarray, "m b"]]:
    """Features of a student and a teacher, if they are of the same rows.

    Raises:
        DataError: with both numbers of rows.
    """
    if len(student) != len(teacher):
        raise DataError(f"student has {len(student)} rows and teacher {len(teacher)}: give features of the same rows")
    return student, teacher


def as_arguments(text: str) -> str:
    """A message that names options of the command line, in the words of Python.

    Examples:
        >>> as_arguments("a.bin is truncated, or give --columns and --dtype")
        'a.bin is truncated, or give columns= and dtype='
    """
    return re.sub(r"--([a-z][a-z-]*)", lambda option: option[1].replace("-", "_") + "=", text)

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


def read_points(source: Any, name: str = "array") -> Float64[ndarray, "n c"]:
    """Points or features as float64.

    Args:
        source: an array or tensor (n, c), or the path of a file: all columns of a .npy, or x, y, z of a scan (.ply,
            .bin, .pcd, .las, .laz).
        name: for messages.

    Raises:
        DataError: naming the file, the problem and what to do.

    Examples:
        >>> read_points([[0, 1], [2, 3], [4, 5]]).tolist()
        [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    """
    if isinstance(source, str | Path):
        path = Path(source)
        if path.suffix.lower() != ".npy":
            return read_cloud(path, intensity="none").scan.xyz.astype(np.float64)
        try:
            source, name = np.load(path, allow_pickle=False), str(path)
        except FileNotFoundError:
            raise DataError(f"{path} does not exist") from None
        except (ValueError, EOFError, OSError) as error:
            raise DataError(f"{path} is not an array of numbers: write it with numpy.save ({error})") from None
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
            raise DataError(str(error).replace(str(path), name)) from None

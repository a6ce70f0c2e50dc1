"""Scans as users have them: .bin, .pcd, .ply, .las, .laz, .npy, read through their formats' own libraries.

=============== ======================================================= ==================== =====================
suffix          content                                                 intensity field      needs
=============== ======================================================= ==================== =====================
.bin            float32 rows of 4 (KITTI) or 5 (nuScenes) columns       4th column           -
.pcd            ascii, binary, binary_compressed                        by name              pypcd4
.ply            ascii, binary; element `vertex`                         by name              plyfile
.las .laz       any point format                                        intensity            laspy[lazrs]
.npy            (n, 3 or more) numbers, or records; never a pickle      4th column, by name  -
=============== ======================================================= ==================== =====================

Other fields (ring, time, colours, ...) are left alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from topokd.data.scan import Scan
from topokd.errors import DataError

log = logging.getLogger(__name__)

SUFFIXES = (".bin", ".pcd", ".ply", ".las", ".laz", ".npy")
INTENSITY_NAMES = ("intensity", "reflectivity", "reflectance", "remission", "scalar_intensity", "i")
SCALES = (1.0, 255.0, 65535.0)
"""Full scales that intensities come in."""
FAR = 10_000.0
"""Metres from the origin beyond which coordinates are taken to be of a map, not of a sensor."""


@dataclass(frozen=True)
class Cloud:
    """A file's points: ``xyz`` (n, 3) as in the file, and the :class:`Scan` of those that are ``finite`` (n,).

    ``scale``: the full scale that the intensities were divided by; ``guessed``: whether that follows from their values
    alone.
    """

    xyz: Float64[ndarray, "n 3"]
    finite: Bool[ndarray, n]
    scan: Scan
    scale: float
    guessed: bool


def read_cloud(
    path: str | Path,
    columns: int | None = None,
    intensity_scale: float | None = None,
    usual_scale: float | None = None,
) -> Cloud:
    """Read one file.

    ``columns``: values per point of a .bin file; None takes 5 where the name ends with .pcd.bin or only 5 fits the size
    and the last column looks like a ring number, else 4. ``intensity_scale``: the full scale of the intensities; None
    takes 255 for five columns and for bytes, then ``usual_scale`` where the caller knows one from other scans of the
    sensor, and else the smallest of 1, 255 and 65535 that holds them all. Without intensities they
    are 0. Points with NaN or infinite coordinates are left out of the scan; coordinates farther than 10 km from the
    origin are shifted by their median, because float32 could not tell neighbours apart.

    Raises :class:`DataError` naming the file, what is wrong with it, and what to do.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "scan.npy"
    >>> np.save(path, np.array([[1.0, 2.0, 3.0, 51.0], [np.nan, 0.0, 0.0, 0.0]]))
    >>> cloud = read_cloud(path)
    >>> cloud.scan.xyz.tolist(), cloud.scan.intensity.tolist(), cloud.finite.tolist(), cloud.scale
    ([[1.0, 2.0, 3.0]], [0.20000000298023224], [True, False], 255.0)
    """
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"{path}: {path.suffix or 'no suffix'} is not readable; convert it to one of {', '.join(SUFFIXES)}"
        )
    if not path.is_file():
        raise DataError(f"{path} does not exist")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty: copy it again")
    if columns is not None and columns < 3:
        raise DataError(f"columns is {columns}; a point has at least x, y, z")
    if intensity_scale is not None and not intensity_scale > 0:
        raise DataError(f"the intensity scale is {intensity_scale:g}; it must be above 0, as 1, 255 or 65535")
    try:
        xyz, intensity, known_scale = reader(path, columns)
    except (DataError, MemoryError):
        raise
    except Exception as error:  # the formats' libraries raise many kinds for damaged files
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise DataError(
            f"{path} cannot be read as {path.suffix}: {reason}; the file is damaged or of another format"
        ) from error
    xyz = np.ascontiguousarray(xyz, np.float64)
    if len(xyz) == 0:
        raise DataError(f"{path} holds no points")
    values = np.zeros(len(xyz)) if intensity is None else np.asarray(intensity, np.float64)
    if intensity is None:
        log.warning("%s has no intensities (looked for %s): taken as 0", path, ", ".join(INTENSITY_NAMES[:4]))
    finite = np.isfinite(xyz).all(axis=1)
    if not finite.any():
        raise DataError(f"{path}: none of its {len(xyz)} points has finite x, y and z")
    strange = finite & ~np.isfinite(values)
    if strange.any():
        raise DataError(
            f"{path}: intensity is NaN or infinite at {int(strange.sum())} points, the first {int(np.argmax(strange))}"
        )
    told = intensity_scale or known_scale or usual_scale
    scale = _scale(path, values[finite], told)
    kept = xyz[finite]
    if np.abs(kept).max() > FAR:
        origin = np.median(kept, axis=0)
        log.warning("%s: coordinates of a map; shifted by %s for the network", path, np.round(-origin, 1).tolist())
        kept = kept - origin
    if not finite.all():
        log.info("%s: %d of %d points are not finite and get no class", path, int((~finite).sum()), len(finite))
    return Cloud(
        xyz,
        finite,
        Scan(kept.astype(np.float32), (values[finite] / scale).astype(np.float32), name=path.name),
        scale,
        guessed=told is None and intensity is not None,
    )


Columns = tuple[ndarray, "ndarray | None", "float | None"]  # xyz, intensity, its full scale where the format says so


def _scale(path: Path, values: ndarray, told: float | None) -> float:
    low, high = float(values.min()), float(values.max())
    if low < 0:
        raise DataError(f"{path}: intensity goes down to {low:g}; only values from 0 to a full scale are understood")
    if told is not None:
        if high > told:
            raise DataError(
                f"{path}: intensity goes up to {high:g}, above the scale {told:g}; give the sensor's full scale "
                "(--intensity-scale 1, 255 or 65535)"
            )
        return told
    fitting = [scale for scale in SCALES if high <= scale]
    if not fitting:
        raise DataError(f"{path}: intensity goes up to {high:g}; give the sensor's full scale (--intensity-scale)")
    return fitting[0]


def _read_bin(path: Path, columns: int | None) -> Columns:
    size = path.stat().st_size
    fitting = [c for c in ((columns,) if columns else (4, 5)) if size % (4 * c) == 0]
    if not fitting:
        wanted = f"{columns} columns" if columns else "4 or 5 columns"
        raise DataError(
            f"{path} has {size} bytes, which are no rows of {wanted} of float32: it is cut short, or give --columns"
        )
    values = np.fromfile(path, "<f4")
    chosen = fitting[0]
    if len(fitting) == 2:  # both fit: nuScenes by its name, or by a fifth column that can only be the ring
        ring = values.reshape(-1, 5)[:, 4]
        is_ring = bool(((ring >= 0) & (ring < 256) & (ring == np.floor(ring))).all() and len(np.unique(ring)) > 1)
        chosen = 5 if path.name.endswith(".pcd.bin") or is_ring else 4
    rows = values.reshape(-1, chosen)
    intensity = rows[:, 3] if chosen > 3 else None
    return rows[:, :3], intensity, 255.0 if chosen == 5 and columns is None else None


def _read_npy(path: Path, columns: int | None) -> Columns:
    try:
        values = np.load(path, allow_pickle=False)
    except ValueError as error:
        if "pickle" in str(error):
            raise DataError(
                f"{path} holds pickled Python objects, which could run any code when loaded; it was not opened. "
                "Save a plain array of numbers (n, 4): numpy.save(path, xyz_and_intensity.astype('f4'))"
            ) from None
        raise
    if not isinstance(values, np.ndarray):
        raise DataError(f"{path} is an archive of arrays; save one array with numpy.save")
    if values.dtype.names:
        return _by_name(path, values.dtype.names, lambda name: values[name].reshape(-1))
    if values.ndim != 2 or values.shape[1] < 3 or values.dtype.kind not in "fiu":
        raise DataError(f"{path}: {values.dtype} of shape {values.shape}; expected numbers of shape (n, 3 or more)")
    return values[:, :3], values[:, 3] if values.shape[1] > 3 else None, _full_scale(values.dtype)


def _read_pcd(path: Path, columns: int | None) -> Columns:
    pypcd4 = _library("pypcd4")
    cloud = pypcd4.PointCloud.from_path(path)
    found = np.atleast_1d(cloud.pc_data)
    if len(found) != cloud.metadata.points:
        raise DataError(
            f"{path} holds {len(found)} points, its header says POINTS {cloud.metadata.points}: "
            "it is cut short; copy it again"
        )
    return _by_name(path, found.dtype.names or (), lambda name: found[name])


def _read_ply(path: Path, columns: int | None) -> Columns:
    data = _library("plyfile").PlyData.read(str(path))
    if "vertex" not in data:
        raise DataError(f"{path} has no element `vertex`, only {', '.join(e.name for e in data.elements) or 'none'}")
    vertex = data["vertex"].data
    return _by_name(path, vertex.dtype.names or (), lambda name: vertex[name])


def _read_las(path: Path, columns: int | None) -> Columns:
    las = _library("laspy").read(str(path))
    intensity = np.asarray(las.intensity, np.float64)
    return np.stack([np.asarray(las.x), np.asarray(las.y), np.asarray(las.z)], axis=1), intensity, None


def _by_name(path: Path, names: Iterable[str], column: Callable[[str], ndarray]) -> Columns:
    known = {name.lower(): name for name in names}
    missing = [axis for axis in "xyz" if axis not in known]
    if missing:
        raise DataError(f"{path} lacks the field {', '.join(missing)}; it has {', '.join(known) or 'none'}")
    xyz = np.stack([np.asarray(column(known[axis]), np.float64) for axis in "xyz"], axis=1)
    for name in INTENSITY_NAMES:
        if name in known:
            values = np.asarray(column(known[name]))
            return xyz, values, _full_scale(values.dtype)
    return xyz, None, None


def _full_scale(dtype: np.dtype) -> float | None:
    return 255.0 if dtype == np.uint8 else None


def _library(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise DataError(f"reading this format needs the package {name}: pip install 'topokd[formats]'") from None


_READERS: dict[str, Callable[[Path, int | None], Columns]] = {
    ".bin": _read_bin,
    ".npy": _read_npy,
    ".pcd": _read_pcd,
    ".ply": _read_ply,
    ".las": _read_las,
    ".laz": _read_las,
}

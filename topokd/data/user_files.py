"""Read users' own scans: .bin, .pcd, .ply, .las, .laz, .npy, through the libraries of the formats.

=============== ======================================================= ==================== =====================
suffix          content                                                 intensity field      needs
=============== ======================================================= ==================== =====================
.bin            float32 rows of 4 (KITTI) or 5 (nuScenes) columns       4th column           -
.pcd            ascii, binary, binary_compressed                        by name              pypcd4
.ply            ascii, binary; element `vertex`                         by name              plyfile
.las .laz       any point format                                        intensity            laspy[lazrs]
.npy            (n, 3 or more) numbers, or records; never a pickle      4th column, by name  -
=============== ======================================================= ==================== =====================

Other fields (ring, time, colours, ...) are ignored.
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

from topokd.checks import require_finite
from topokd.data.scan import Scan
from topokd.errors import DataError

log = logging.getLogger(__name__)

SUFFIXES = (".bin", ".pcd", ".ply", ".las", ".laz", ".npy")
INTENSITY_NAMES = ("intensity", "reflectivity", "reflectance", "remission", "scalar_intensity", "i")
SCALES = (1.0, 255.0, 65535.0)
"""Full scales found in practice."""
FAR = 10_000.0
"""Coordinates farther than this from the origin, in metres, are map coordinates, not sensor coordinates."""


@dataclass(frozen=True)
class UserScan:
    """The points of a user's file, and the scan for the network.

    Attributes:
        xyz: (n, 3) coordinates as in the file.
        finite: (n,) which points have finite coordinates.
        scan: those points, in metres around the sensor, with intensities 0..1.
        scale: full scale that the intensities were divided by.
        guessed: whether that scale was guessed from the values only.
    """

    xyz: Float64[ndarray, "n 3"]
    finite: Bool[ndarray, " n"]
    scan: Scan
    scale: float
    guessed: bool


def read_user_scan(
    path: str | Path,
    columns: int | None = None,
    intensity_scale: float | None = None,
    usual_scale: float | None = None,
) -> UserScan:
    """Read one file.

    Points with NaN or infinite coordinates are left out of the scan. Coordinates farther than 10 km from the origin are
    shifted by their median, because float32 could not separate neighbours there. Missing intensities are 0.

    Args:
        path: the file.
        columns: values per point of a .bin file; None takes 5 if the name ends with .pcd.bin, or if only 5 divides the
            size or the fifth column looks like a ring number, and otherwise 4.
        intensity_scale: full scale of the intensities; None takes 255 for five columns and for bytes, then
            ``usual_scale``, and otherwise the smallest of 1, 255 and 65535 that is not exceeded.
        usual_scale: scale of other scans of the same sensor, if known.

    Raises:
        DataError: names the file, the problem, and what to do.

    Examples:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "scan.npy"
        >>> np.save(path, np.array([[1.0, 2.0, 3.0, 51.0], [np.nan, 0.0, 0.0, 0.0]]))
        >>> read = read_user_scan(path)
        >>> read.scan.xyz.tolist(), read.scan.intensity.tolist(), read.finite.tolist(), read.scale
        ([[1.0, 2.0, 3.0]], [0.20000000298023224], [True, False], 255.0)
    """
    path = Path(path)
    if columns is not None and columns < 3:
        raise DataError(f"columns is {columns}; a point has at least x, y, z")
    if intensity_scale is not None and not intensity_scale > 0:
        raise DataError(f"the intensity scale is {intensity_scale:g}; it must be positive, as 1, 255 or 65535")
    xyz, intensity, format_scale = _read_columns(path, columns)
    xyz = np.ascontiguousarray(xyz, np.float64)
    if len(xyz) == 0:
        raise DataError(f"{path} has no points")
    finite = np.isfinite(xyz).all(axis=1)
    if not finite.any():
        raise DataError(f"{path}: none of its {len(xyz)} points has finite x, y and z")
    if not finite.all():
        log.info("%s: %d of %d points are not finite and get no class", path, int((~finite).sum()), len(finite))
    values = _finite_intensities(path, intensity, finite)
    given_scale = intensity_scale or format_scale or usual_scale
    scale = _intensity_scale(path, values, given_scale)
    scan = Scan(_near_origin(path, xyz[finite]), (values / scale).astype(np.float32), name=path.name)
    return UserScan(xyz, finite, scan, scale, guessed=given_scale is None and intensity is not None)


Columns = tuple[ndarray, "ndarray | None", "float | None"]  # xyz, intensity, full scale if the format defines it


def _read_columns(path: Path, columns: int | None) -> Columns:
    """Read a file by the reader of its suffix."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"{path}: {path.suffix or 'a file without a suffix'} is not readable; convert it to one of "
            f"{', '.join(SUFFIXES)}"
        )
    if not path.is_file():
        raise DataError(f"{path} does not exist")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty: copy it again")
    try:
        return reader(path, columns)
    except (DataError, MemoryError):
        raise
    except Exception as error:  # the libraries of the formats raise many kinds for damaged files
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise DataError(
            f"{path} cannot be read as {path.suffix}: {reason}; the file is damaged or of another format"
        ) from error


def _finite_intensities(path: Path, intensity: ndarray | None, finite: ndarray) -> ndarray:
    """Intensities of the finite points; zeros if the file has none."""
    if intensity is None:
        log.warning("%s has no intensities (looked for %s): 0 is used", path, ", ".join(INTENSITY_NAMES[:4]))
        return np.zeros(int(finite.sum()))
    values = np.asarray(intensity, np.float64)
    require_finite(np.where(finite, values, 0.0), f"{path}: intensity", "remove such points")
    return values[finite]


def _near_origin(path: Path, xyz: ndarray) -> ndarray:
    """float32 coordinates; those of a map are shifted to the origin."""
    if np.abs(xyz).max() > FAR:
        origin = np.median(xyz, axis=0)
        log.warning("%s has map coordinates: shifted by %s for the network", path, np.round(-origin, 1).tolist())
        xyz = xyz - origin
    return xyz.astype(np.float32)


def _intensity_scale(path: Path, values: ndarray, given: float | None) -> float:
    low, high = float(values.min()), float(values.max())
    if low < 0:
        raise DataError(f"{path}: intensity goes down to {low:g}; values must run from 0 to a full scale")
    if given is not None:
        if high > given:
            raise DataError(
                f"{path}: intensity goes up to {high:g}, above the scale {given:g}; give the sensor's full scale "
                "(--intensity-scale 1, 255 or 65535)"
            )
        return given
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
            f"{path} has {size} bytes, not a multiple of {wanted} of float32: it is truncated, or give --columns"
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
                f"{path} holds pickled Python objects, which can run arbitrary code when loaded; it was not opened. "
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
    data = np.atleast_1d(cloud.pc_data)
    if len(data) != cloud.metadata.points:
        raise DataError(
            f"{path} holds {len(data)} points, but its header says POINTS {cloud.metadata.points}: "
            "it is truncated; copy it again"
        )
    return _by_name(path, data.dtype.names or (), lambda name: data[name])


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
    columns = {name.lower(): name for name in names}
    missing = [axis for axis in "xyz" if axis not in columns]
    if missing:
        raise DataError(f"{path} lacks the field {', '.join(missing)}; it has {', '.join(columns) or 'none'}")
    xyz = np.stack([np.asarray(column(columns[axis]), np.float64) for axis in "xyz"], axis=1)
    for name in INTENSITY_NAMES:
        if name in columns:
            values = np.asarray(column(columns[name]))
            return xyz, values, _full_scale(values.dtype)
    return xyz, None, None


def _full_scale(dtype: np.dtype) -> float | None:
    return 255.0 if dtype == np.uint8 else None


def _library(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise DataError(f"reading this format needs the package {name}: pip install 'topokd[data]'") from None


_READERS: dict[str, Callable[[Path, int | None], Columns]] = {
    ".bin": _read_bin,
    ".npy": _read_npy,
    ".pcd": _read_pcd,
    ".ply": _read_ply,
    ".las": _read_las,
    ".laz": _read_las,
}

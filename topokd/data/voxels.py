"""Grid sampling: voxels from points, and crops of voxels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from topokd.data import voxel_kernels as kernels
from topokd.data.scan import IGNORE, Scan
from topokd.errors import DataError, ParameterError
from topokd.options import number, whole


@dataclass(frozen=True)
class Voxels:
    """The m occupied voxels of a scan of n points, in ascending order of (x, y, z) index.

    Attributes:
        coord: (m, 3) mean position of the points of each voxel in metres.
        grid_coord: (m, 3) voxel indices, at least 0.
        feat: (m, 4) mean x, y, z and intensity.
        label: (m,) most frequent class among the points that are not ignored, the lowest class in a tie; or None.
        inverse: (n,) voxel of each point; None after a crop.
        name: name of the scan.

    Examples:
        >>> len(voxelize(Scan(np.eye(3), np.zeros(3)), 0.1))
        3
    """

    coord: Float32[np.ndarray, "m 3"]
    grid_coord: Int64[np.ndarray, "m 3"]
    feat: Float32[np.ndarray, "m 4"]
    label: Int64[np.ndarray, " m"] | None
    inverse: Int64[np.ndarray, " n"] | None
    name: str = ""

    def __len__(self) -> int:
        return len(self.coord)


def voxelize(scan: Scan, voxel_size: float) -> Voxels:
    """Group the points of a scan into voxels: ``floor(xyz / voxel_size)``, shifted to start at 0.

    Args:
        scan: the cloud.
        voxel_size: edge length of a voxel in metres.

    Returns:
        The occupied voxels.

    Raises:
        DataError: ``scan`` is not a `Scan`, ``voxel_size`` is not positive, or the cloud spans so many voxels that the
            number of a voxel and the number of a point do not fit into one int64.

    Examples:
        >>> scan = Scan(np.array([[0.1, 0, 0], [0.3, 0, 0], [0.9, 0, 0]], np.float32), np.zeros(3, np.float32))
        >>> voxels = voxelize(scan, 0.5)
        >>> voxels.grid_coord.tolist(), voxels.inverse.tolist(), voxels.coord[:, 0].round(2).tolist()
        ([[0, 0, 0], [1, 0, 0]], [0, 0, 1], [0.2..., 0.8...])
    """
    if not isinstance(scan, Scan):
        raise DataError(f"scan is of type {type(scan).__name__}: pass a topokd.data.Scan(xyz, intensity)")
    n = len(scan)
    try:
        size = number(voxel_size, "voxel_size", above=True, unit=" (metres)")
    except ParameterError:
        raise DataError(f"voxel_size is {voxel_size!r}: it must be a finite, positive number of metres") from None
    low, high = kernels.cell_range(scan.xyz, size)
    with np.errstate(invalid="ignore"):  # both ends may be infinite
        extent = high - low + 1
    bits = max(n - 1, 1).bit_length()
    if not extent.prod() * 2.0**bits < 2.0**63:  # cell and point number share one int64 below; also for NaN
        raise DataError(
            f"scan {scan.name or '(unnamed)'} spans {extent[0]:.3g} x {extent[1]:.3g} x {extent[2]:.3g} voxels of "
            f"{voxel_size} m: remove its stray points or raise the voxel size (data.voxel_size, --voxel-size)"
        )
    key_bits = max(int(extent.prod()) - 1, 1).bit_length()
    packed = kernels.sorted_keys(scan.xyz, size, low, int(extent[1]), int(extent[2]), bits, key_bits)
    given = np.empty(0, np.int64) if scan.label is None else scan.label
    coord, feat, grid, inverse, winner = kernels.reduce_cells(
        packed, bits, size, low, scan.xyz, scan.intensity, given, IGNORE
    )
    return Voxels(coord, grid, feat, None if scan.label is None else winner, inverse, scan.name)


def voxel_key(grid: Any, extent: Sequence[int], cloud: Any = 0) -> Any:
    """One integer per voxel, ascending in (cloud, x, y, z): ``((cloud X + x) Y + y) Z + z``.

    Args:
        grid: (n, 3) voxel indices below ``extent``, a NumPy array or a torch tensor of int64.
        extent: number of voxels X, Y, Z along the axes; their product with the number of clouds must fit into int64.
        cloud: (n,) number of each voxel's cloud.

    Returns:
        (n,) int64, of the same kind as ``grid``.

    Examples:
        >>> voxel_key(np.array([[0, 0, 1], [1, 2, 0]]), (2, 3, 4)).tolist()
        [1, 20]
    """
    return ((cloud * extent[0] + grid[:, 0]) * extent[1] + grid[:, 1]) * extent[2] + grid[:, 2]


def crop(voxels: Voxels, max_voxels: int, rng: np.random.Generator) -> Voxels:
    """Keep the ``max_voxels`` voxels nearest to a random labelled voxel (to any voxel if none is labelled).

    One number is drawn in every case, so later draws from ``rng`` do not depend on the size of the scan.

    Args:
        voxels: the voxels of one scan.
        max_voxels: size of the crop; 0 keeps all voxels.
        rng: source of the random voxel.

    Returns:
        ``voxels`` itself if it is no larger than ``max_voxels``. Otherwise the crop, with its rows in the same order,
        its grid shifted to start at 0, and without ``inverse``, which training does not need.

    Examples:
        >>> line = voxelize(Scan(np.outer(np.arange(9.0), [1, 0, 0]), np.zeros(9)), 0.5)
        >>> len(crop(line, 4, np.random.default_rng(0)))
        4
    """
    max_voxels = whole(max_voxels, "max_voxels", least=0, most=1 << 62)
    centre = rng.random()
    if max_voxels == 0 or len(voxels) <= max_voxels:
        return voxels
    candidates = np.arange(len(voxels)) if voxels.label is None else np.flatnonzero(voxels.label != IGNORE)
    if len(candidates) == 0:
        candidates = np.arange(len(voxels))
    offset = voxels.coord - voxels.coord[candidates[int(centre * len(candidates))]]
    nearest = np.argsort((offset.astype(np.float64) ** 2).sum(axis=1), kind="stable")[:max_voxels]
    rows = np.sort(nearest)
    grid = voxels.grid_coord[rows]
    label = None if voxels.label is None else voxels.label[rows]
    return Voxels(voxels.coord[rows], grid - grid.min(axis=0), voxels.feat[rows], label, None, voxels.name)

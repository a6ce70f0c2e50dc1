"""Clouds with a given number of voxels, cut from scans or tiled from several of them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from topokd.data import Voxels

PAPER_VOXEL_SIZE = 0.05  # metres (C.3)


def nearest(voxels: Voxels, count: int) -> Voxels:
    """The ``count`` voxels nearest to the sensor as a cloud, or all voxels if there are fewer.

    Args:
        voxels: voxels of a scan, in the sensor's frame.
        count: number of voxels kept, 1 or more.

    Returns:
        A cloud of at most ``count`` voxels.

    Examples:
        >>> from topokd.data import Scan, voxelize
        >>> scan = Scan(np.array([[9.0, 0, 0], [1, 0, 0], [5, 0, 0]], np.float32), np.ones(3, np.float32))
        >>> sorted(nearest(voxelize(scan, 0.5), 2).coord[:, 0].tolist())
        [1.0, 5.0]
    """
    distance = np.linalg.norm(voxels.coord, axis=1)
    keep = np.sort(np.argsort(distance, kind="stable")[:count])
    grid = voxels.grid_coord[keep]
    return Voxels(
        coord=voxels.coord[keep],
        grid_coord=grid - grid.min(0),
        feat=voxels.feat[keep],
        label=None,
        inverse=None,
        name=voxels.name,
    )


def tile_along_x(clouds: Iterable[Voxels], count: int) -> Voxels:
    """One large cloud of at least ``count`` voxels (or of all of them): clouds in a row along x that do not touch.

    Figure 1 needs more voxels than one scan has; a row of scans keeps their density.

    Args:
        clouds: read one by one until there are enough voxels.
        count: least number of voxels.

    Returns:
        The voxels of all clouds that were read, as one cloud.

    Examples:
        >>> from topokd.data import Scan, voxelize
        >>> voxels = voxelize(Scan(np.array([[0.0, 0, 0], [1, 0, 0]], np.float32), np.ones(2, np.float32)), 0.5)
        >>> sorted(tile_along_x([voxels, voxels], 4).grid_coord[:, 0].tolist())
        [0, 2, 4, 6]
    """
    parts: list[Voxels] = []
    grids, shift = [], 0
    for part in clouds:
        grid = part.grid_coord - part.grid_coord.min(0)
        grid[:, 0] += shift
        shift = int(grid[:, 0].max()) + 2
        parts.append(part)
        grids.append(grid)
        if sum(map(len, grids)) >= count:
            break
    return Voxels(
        coord=np.concatenate([part.coord for part in parts]),
        grid_coord=np.concatenate(grids),
        feat=np.concatenate([part.feat for part in parts]),
        label=None,
        inverse=None,
        name=f"{parts[0].name} and {len(parts) - 1} more" if len(parts) > 1 else parts[0].name,
    )


def cut(voxels: Voxels, large: Voxels | None, count: int) -> Voxels:
    """The ``count`` voxels of ``voxels`` nearest to the sensor, or those of ``large`` if ``voxels`` has fewer.

    Args:
        voxels: a scan.
        large: several scans side by side, or None.
        count: number of voxels.
    """
    return nearest(voxels, count) if large is None or len(voxels) >= count else nearest(large, count)

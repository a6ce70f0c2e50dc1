"""Compiled inner loops of grid sampling (Numba, cached on disk, without the GIL).

Each adds in the order of the points, in double precision, so results equal those of plain NumPy bit for bit.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

_jit: Any = numba.njit(cache=True, nogil=True)


@_jit
def cells(xyz, voxel_size):  # type: ignore[no-untyped-def]
    """``floor(xyz / voxel_size)`` (n, 3) as float64, with its smallest and largest value per axis."""
    n = xyz.shape[0]
    cell = np.empty((n, 3), np.float64)
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for i in range(n):
        for axis in range(3):
            value = np.floor(np.float64(xyz[i, axis]) / voxel_size)
            cell[i, axis] = value
            low[axis] = min(low[axis], value)
            high[axis] = max(high[axis], value)
    return cell, low, high


@_jit
def packed_keys(cell, low, ny, nz):  # type: ignore[no-untyped-def]
    """Cell number times n plus point number: one int64 per point, so that one sort orders both."""
    n = cell.shape[0]
    packed = np.empty(n, np.int64)
    for i in range(n):
        x, y, z = np.int64(cell[i, 0] - low[0]), np.int64(cell[i, 1] - low[1]), np.int64(cell[i, 2] - low[2])
        packed[i] = ((x * ny + y) * nz + z) * n + i
    return packed


@_jit
def reduce_cells(packed, xyz, intensity, ny, nz):  # type: ignore[no-untyped-def]
    """Voxels of the sorted keys: means (m, 4), indices (m, 3), voxel of each point (n,), begin of each voxel (m + 1,).

    Overwrites ``packed`` with the point numbers in the order of their voxels.
    """
    n = packed.shape[0]
    begin = np.empty(n + 1, np.int64)
    inverse = np.empty(n, np.int64)
    feat = np.empty((n, 4), np.float32)
    grid = np.empty((n, 3), np.int64)
    m, start = -1, 0
    previous = np.int64(-1)
    x = y = z = w = 0.0
    for k in range(n):
        key = packed[k] // n
        i = packed[k] - key * n
        packed[k] = i
        if key != previous:
            if m >= 0:
                count = k - start
                feat[m, 0], feat[m, 1], feat[m, 2], feat[m, 3] = x / count, y / count, z / count, w / count
            m, start, previous = m + 1, k, key
            x = y = z = w = 0.0
            begin[m] = k
            column = key // nz
            grid[m, 2] = key - column * nz
            grid[m, 0] = column // ny
            grid[m, 1] = column - grid[m, 0] * ny
        x += np.float64(xyz[i, 0])
        y += np.float64(xyz[i, 1])
        z += np.float64(xyz[i, 2])
        w += np.float64(intensity[i])
        inverse[i] = m
    count = n - start
    feat[m, 0], feat[m, 1], feat[m, 2], feat[m, 3] = x / count, y / count, z / count, w / count
    begin[m + 1] = n
    return feat[: m + 1].copy(), grid[: m + 1].copy(), inverse, begin[: m + 2]


@_jit
def majority(order, begin, label, ignore):  # type: ignore[no-untyped-def]
    """Most frequent label per voxel, the lowest among equals; ``ignore`` only where nothing else is there."""
    m = begin.shape[0] - 1
    votes = np.zeros(max(label.max() + 1, 1), np.int64)
    winner = np.empty(m, np.int64)
    for voxel in range(m):
        best, most = ignore, 0
        for k in range(begin[voxel], begin[voxel + 1]):
            c = label[order[k]]
            if c != ignore:
                votes[c] += 1
                if votes[c] > most or (votes[c] == most and c < best):
                    best, most = c, votes[c]
        for k in range(begin[voxel], begin[voxel + 1]):
            c = label[order[k]]
            if c != ignore:
                votes[c] = 0
        winner[voxel] = best
    return winner

"""Compiled inner loops of grid sampling (Numba, cached on disk, without the GIL).

Each kernel adds in the order of the points, in double precision, so results equal those of NumPy bit for bit.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from topokd.compiled.jit import jit_numpy_errors

DIGIT = 11
"""Largest number of bits per pass of the radix sort: 2,048 counters fit into the first-level cache."""


@jit_numpy_errors
def cell_range(xyz: ndarray, voxel_size: float) -> tuple[ndarray, ndarray]:
    """Smallest and largest ``floor(xyz / voxel_size)`` per axis of points ``xyz`` (n, 3), as float64 (3,) each."""
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for i in range(xyz.shape[0]):
        for axis in range(3):
            value = np.floor(np.float64(xyz[i, axis]) / voxel_size)
            low[axis] = min(low[axis], value)
            high[axis] = max(high[axis], value)
    return low, high


@jit_numpy_errors
def sorted_keys(xyz: ndarray, voxel_size: float, low: ndarray, ny: int, nz: int, bits: int, key_bits: int) -> ndarray:
    """One int64 per point, ascending: the cell index (``key_bits`` bits) above the point index (``bits`` bits).

    A least-significant-digit radix sort over the bits of the cell only. Points start in order and each pass is stable,
    so the bits of the point index stay sorted without extra passes. Two buffers are swapped at each pass.

    Args:
        xyz: (n, 3) metres.
        voxel_size: metres.
        low: (3,) smallest cell per axis.
        ny: number of cells along y.
        nz: number of cells along z.
        bits: bits of the point index.
        key_bits: bits of the cell index.
    """
    n = xyz.shape[0]
    passes = max((key_bits + DIGIT - 1) // DIGIT, 1)
    width = (key_bits + passes - 1) // passes
    digits = 1 << width
    place = np.zeros((passes, digits), np.int64)  # count of each digit, then the position of its next key
    keys, other = np.empty(n, np.int64), np.empty(n, np.int64)
    for i in range(n):
        x = np.int64(np.floor(np.float64(xyz[i, 0]) / voxel_size) - low[0])
        y = np.int64(np.floor(np.float64(xyz[i, 1]) / voxel_size) - low[1])
        z = np.int64(np.floor(np.float64(xyz[i, 2]) / voxel_size) - low[2])
        key = (x * ny + y) * nz + z
        keys[i] = key << bits | i
        for turn in range(passes):
            place[turn, key & (digits - 1)] += 1
            key >>= width
    for turn in range(passes):
        total = 0
        for digit in range(digits):
            total, place[turn, digit] = total + place[turn, digit], total
        shift = bits + turn * width
        for i in range(n):
            digit = keys[i] >> shift & (digits - 1)
            other[place[turn, digit]] = keys[i]
            place[turn, digit] += 1
        keys, other = other, keys
    return keys


@jit_numpy_errors
def reduce_cells(
    packed: ndarray,
    bits: int,
    voxel_size: float,
    low: ndarray,
    xyz: ndarray,
    intensity: ndarray,
    label: ndarray,
    ignore: int,
) -> tuple[ndarray, ndarray, ndarray, ndarray, ndarray]:
    """Reduce the sorted keys to voxels.

    Args:
        packed: (n,) result of `sorted_keys`.
        bits: bits of the point index in ``packed``.
        voxel_size: metres.
        low: (3,) smallest cell per axis.
        xyz: (n, 3) metres.
        intensity: (n,).
        label: (n,) class of each point, or empty.
        ignore: the label of points without a class.

    Returns:
        Mean positions (m, 3); means of position and intensity (m, 4); voxel indices (m, 3); the voxel of each point
        (n,); and the most frequent label of each voxel (m,), the lowest in a tie, ``ignore`` if all its points are
        ignored (empty if ``label`` is empty).
    """
    n = packed.shape[0]
    m = 1
    for k in range(1, n):
        m += packed[k] >> bits != packed[k - 1] >> bits
    coord, feat, grid = np.empty((m, 3), np.float32), np.empty((m, 4), np.float32), np.empty((m, 3), np.int64)
    inverse = np.empty(n, np.int64)
    labelled = label.shape[0] > 0
    winner = np.empty(m if labelled else 0, np.int64)
    votes = np.zeros(max(label.max() + 1, 1) if labelled else 0, np.int64)
    mask = (1 << bits) - 1
    k = 0
    for voxel in range(m):  # recompute the cell: cheaper than storing it
        key = packed[k] >> bits
        i = packed[k] & mask
        first, agreed = label[i] if labelled else ignore, True
        for axis in range(3):
            grid[voxel, axis] = np.int64(np.floor(np.float64(xyz[i, axis]) / voxel_size) - low[axis])
        start = k
        x = y = z = w = 0.0
        while k < n and packed[k] >> bits == key:
            i = packed[k] & mask
            x += np.float64(xyz[i, 0])
            y += np.float64(xyz[i, 1])
            z += np.float64(xyz[i, 2])
            w += np.float64(intensity[i])
            inverse[i] = voxel
            if labelled:
                agreed &= label[i] == first
            k += 1
        if k - start > 1:
            count = k - start
            x, y, z, w = x / count, y / count, z / count, w / count
        coord[voxel, 0], coord[voxel, 1], coord[voxel, 2] = x, y, z
        feat[voxel, 0], feat[voxel, 1], feat[voxel, 2], feat[voxel, 3] = x, y, z, w
        if labelled:
            winner[voxel] = first if agreed else _majority(packed, mask, start, k, label, votes, ignore)
    return coord, feat, grid, inverse, winner


@jit_numpy_errors
def _majority(packed: ndarray, mask: int, start: int, stop: int, label: ndarray, votes: ndarray, ignore: int) -> int:
    """Most frequent label of one voxel; ``votes`` is all zeros before and after the call."""
    best, most = ignore, 0
    for k in range(start, stop):
        c = label[packed[k] & mask]
        if c != ignore:
            votes[c] += 1
            if votes[c] > most or (votes[c] == most and c < best):
                best, most = c, votes[c]
    for k in range(start, stop):
        c = label[packed[k] & mask]
        if c != ignore:
            votes[c] = 0
    return best

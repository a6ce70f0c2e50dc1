"""The kernels that are called through C addresses, and the scratch memory that they work in."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
from numpy import ndarray

from topokd._native import Native

MAX_POINTS = 64  # as in kernels.small
WORDS = 16
MAX_EDGES = MAX_POINTS * (MAX_POINTS - 1) // 2
ROOM = 1 << 19  # whole numbers that one call may return, 4 MB that are not touched before they are needed

_KERNELS = "topokd.topology.kernels.small"
diagrams_kernel = Native(
    f"{_KERNELS}.diagrams",
    "float64* float32* int64 int64* int64 int64 int64 float64 float64 float64 int64 float64 float64 float64** int64** "
    "uint64** int64** int64* int64* float64* float32* float64* int64",
)
spread_kernel = Native(
    f"{_KERNELS}.spread",
    "float64* float32* int64 float64* float32* int64 int64* int64* float64* int64 float64*",
)
squares_kernel = Native(f"{_KERNELS}.squared_distances", "float64* int64 int64 float64*")


class Workspace:
    """Scratch memory of one thread, reused by its calls; pages that are never touched take no memory."""

    def __init__(self, channels: int) -> None:
        self.channels = channels
        edges, critical = MAX_EDGES, MAX_POINTS + 4 * MAX_EDGES
        floats = (MAX_POINTS**2, MAX_POINTS * channels, MAX_POINTS * channels, 4 * edges, 4 * edges, critical)
        whole = (MAX_POINTS**2, *(MAX_POINTS,) * 3, 64 * WORDS, *(edges,) * 5, 2 << 11)
        words = (1, MAX_POINTS, WORDS * edges, WORDS, WORDS, edges)
        simplices = (MAX_POINTS, 2 * MAX_POINTS, MAX_POINTS, 2 * edges, 3 * edges, 2 * edges, 2 * critical, critical, 8)
        self.floats, self.floats_at = _tables(floats, np.float64)
        self.whole, self.whole_at = _tables(whole, np.int64)
        self.words, self.words_at = _tables(words, np.uint64)
        self.simplices, self.simplices_at = _tables(simplices, np.int64)
        self.words_at[0] = self.floats_at[0]  # the filtration as bits
        self.tables = [address(t) for t in (self.floats_at, self.whole_at, self.words_at, self.simplices_at)]
        self.room = ROOM
        self.found, self.factors = np.empty(ROOM, np.int64), np.empty(ROOM // 2)
        self.values = {dtype: np.empty(ROOM // 2, dtype) for dtype in (np.float32, np.float64)}
        self.results = address(self.found), address(self.factors)
        self.values_at = {dtype: address(values) for dtype, values in self.values.items()}


def address(array: ndarray) -> int:
    return int(array.ctypes.data)


def _tables(sizes: Sequence[int], dtype: type) -> tuple[list[ndarray], ndarray]:
    """Arrays of these sizes, and a table of their addresses."""
    arrays = [np.empty(size, dtype) for size in sizes]
    return arrays, np.array([address(array) for array in arrays], dtype=np.uint64)


_local = threading.local()


def workspace(channels: int) -> Workspace:
    found: Workspace | None = getattr(_local, "workspace", None)
    if found is None or found.channels < channels:
        found = _local.workspace = Workspace(max(channels, 64))
    return found

"""The kernels that are called through C addresses, and the scratch memory that they work in."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Sequence

import numpy as np
from numpy import ndarray

from topokd.compiled.native import Native

MAX_POINTS = 64  # of a small cloud
WORDS = 16  # of 64 bits for living classes: 31 * 31 = 961 at most, in the complete bipartite graph on 32 + 32 points
MAX_EDGES = MAX_POINTS * (MAX_POINTS - 1) // 2
ROOM = 1 << 19  # whole numbers that one call may return, 4 MB that are not touched before they are needed

_KERNELS = "topokd.topology.kernels"
diagrams_kernel = Native(
    f"{_KERNELS}.small.diagrams",
    "float64* float32* int64 int64 int64 float64 float64 float64 int64 float64 float64 int64 int64* int64* int64* "
    "float64* float32* float64* float64** int64** uint64** int64**",
)
load_kernel = Native(f"{_KERNELS}.small.load_rows", "float64* float32* int64 int64 int64 float64* float64* float64*")
squares_kernel = Native(f"{_KERNELS}.small.squared_distances", "float64* int64 int64 float64*")
finish_kernel = Native(
    f"{_KERNELS}.values.finish",
    "float64* int64 int64 float64 float64 int64* int64** float64* float64* float64*",
)
spread_kernel = Native(
    f"{_KERNELS}.values.spread",
    "float64* float32* float64* float32* int64 int64 int64 float64* float32* int64 int64 int64 int64* int64* float64* "
    "float64* float32*",
)
compare_kernel = Native(
    f"{_KERNELS}.nearest.compare",
    "float64* float32* float64* float32* int64 int64 int64 float64 float64* int64* float64* float32* float64* float32*",
)
values_kernel = Native(
    f"{_KERNELS}.nearest.values",
    "int64* int64 int64 int64 float64 float64* float32* float64* float32* float64* float64* float32*",
)
pull_kernel = Native(
    f"{_KERNELS}.nearest.gradient",
    "float64 int64 int64 int64 float64 float64* float32* float64* float64* int64* float64* float64* float32*",
)
match_kernel = Native(
    f"{_KERNELS}.layer.match",
    "int64* int64 int64* int64 float64** float32** int64* float64* float32* int64 float64 int64* float64* float64* "
    "int64* float64* float32* float64* float32*",
)
layer_kernel = Native(
    f"{_KERNELS}.layer.gradients",
    "float64 float64** float32** int64 int64 int64* int64 int64* int64 float64 float64* int64* float64* float32* "
    "float64* float64* float64* float64* float32*",
)
NATIVES = (
    diagrams_kernel,
    load_kernel,
    squares_kernel,
    finish_kernel,
    spread_kernel,
    compare_kernel,
    values_kernel,
    pull_kernel,
    match_kernel,
    layer_kernel,
)


class Workspace:
    """Scratch memory of one thread, reused by its calls; pages that are never touched take no memory."""

    def __init__(self, channels: int) -> None:
        self.channels, self.clouds = channels, 256  # at most, in one call
        edges, critical = MAX_EDGES, MAX_POINTS + 4 * MAX_EDGES
        floats = (MAX_POINTS**2, MAX_POINTS * channels, MAX_POINTS * channels, 4 * edges, 4 * edges, critical)
        whole = (MAX_POINTS**2, *(MAX_POINTS,) * 3, 64 * WORDS, *(edges,) * 5, 2 << 11)
        words = (1, MAX_POINTS, WORDS * edges, WORDS, WORDS, edges)
        simplices = (MAX_POINTS, 2 * MAX_POINTS, MAX_POINTS, 2 * edges, 3 * edges, 2 * edges, 2 * critical, critical, 5)
        scratch: list[list[ndarray]] = [
            [np.empty(size, dtype) for size in sizes]
            for sizes, dtype in ((floats, np.float64), (whole, np.int64), (words, np.uint64), (simplices, np.int64))
        ]
        scratch[2][0] = scratch[0][0].view(np.uint64)  # the filtration as bits
        tables = [addresses(arrays) for arrays in scratch]
        self.ends, self.counts = (array("q", bytes(8 * size)) for size in (self.clouds + 1, 5 * self.clouds))
        self.whole, self.factors = np.empty(ROOM, np.int64), np.empty(ROOM // 2)
        self.values = np.empty(ROOM // 2), np.empty(ROOM // 2, np.float32)
        results: tuple[ndarray, ...] = (self.whole, *self.values, self.factors, *tables)
        self.lists = [at for at, _ in map(array.buffer_info, (self.ends, self.counts))] + [*map(address, results)]
        self.addresses = ROOM, *self.lists
        self.kept = scratch, tables  # as long as their addresses are


def address(array: ndarray) -> int:
    """Address of the first number of an array."""
    return array.__array_interface__["data"][0]  # type: ignore[no-any-return]


def table_of(numbers: Sequence[int]) -> tuple[array[int], int]:
    """Whole numbers in memory, as long as the first result is kept, and where."""
    table = array("q", numbers)
    return table, table.buffer_info()[0]


def addresses(arrays: Sequence[ndarray]) -> ndarray:
    """A table for kernels that take many arrays."""
    return np.array([address(array) for array in arrays], dtype=np.uint64)


_local = threading.local()


def workspace(channels: int) -> Workspace:
    """This thread's."""
    space: Workspace | None = getattr(_local, "workspace", None)
    if space is None or space.channels < channels:
        space = _local.workspace = Workspace(max(channels, 64))
    return space

"""Stable sorting, in place of Numba's own merge sort: that took a tenth of the time to compile the whole layer."""

from __future__ import annotations

import numpy as np

from topokd.topology.kernels.settings import jit_no_refcount, jit_part

RUN = 16  # positions are sorted by insertion in runs of this length, then runs are merged


@jit_part
def argsort(values: np.ndarray) -> np.ndarray:
    """Positions (n,) of `values` (n,) in rising order, equal values in their present order; NaN is not allowed.

    Its slow twin is `numpy.argsort(values, kind="stable")`.
    """
    order, other = np.empty(values.shape[0], np.int64), np.empty(values.shape[0], np.int64)
    _merge_sort(values, order, other)
    return order


@jit_no_refcount
def _merge_sort(values, order, other):  # type: ignore[no-untyped-def]
    """Merge sort from short runs upwards; `other` is scratch space."""
    n = values.shape[0]
    for begin in range(0, n, RUN):
        for k in range(begin, min(begin + RUN, n)):
            value, target = values[k], k
            while target > begin and values[order[target - 1]] > value:
                order[target] = order[target - 1]
                target -= 1
            order[target] = k
    width = RUN
    while width < n:
        for begin in range(0, n, 2 * width):
            middle, end = min(begin + width, n), min(begin + 2 * width, n)
            left, right = begin, middle
            for k in range(begin, end):
                if right == end or (left < middle and values[order[left]] <= values[order[right]]):
                    other[k] = order[left]
                    left += 1
                else:
                    other[k] = order[right]
                    right += 1
        for k in range(n):
            order[k] = other[k]
        width *= 2

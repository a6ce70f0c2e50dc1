"""Edges in order, only as far as they are asked for: bins of rising keys, sorted when the sweep reaches them."""

from __future__ import annotations

import numpy as np
from numba import njit

PER_BIN = 8  # edges


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz", "reassoc"})
def extent(keys):  # type: ignore[no-untyped-def]
    """min_i max_j keys[i, j], the smallest key of all edges, and the sum of each row.

    Once the edges up to the first are in, one vertex is joined to all others and no loop lives.
    """
    radius, low = np.inf, np.inf
    sums = np.empty(keys.shape[0])
    for i in range(keys.shape[0]):
        furthest, nearest, total = 0.0, np.inf, 0.0
        for j in range(keys.shape[0]):
            furthest = max(furthest, keys[i, j])
            total += keys[i, j]
        for j in range(i):
            nearest = min(nearest, keys[i, j])
        radius, low, sums[i] = min(radius, furthest), min(low, nearest), total
    return radius, low, sums


@njit(cache=True, nogil=True)
def histogram(keys, low, limit):  # type: ignore[no-untyped-def]
    """Where each bin starts among the edges up to ``limit``, and the scale of key -> int((key - low) * scale)."""
    n = keys.shape[0]
    bins = max(1, n * (n - 1) // (2 * PER_BIN))
    scale = 0.0
    if limit > low:
        scale = (bins - 1) / (limit - low)
    start = np.zeros(bins + 1, np.int64)
    for i in range(n):
        for j in range(i + 1, n):
            key = keys[i, j]
            if key <= limit:
                start[int((key - low) * scale) + 1] += 1
    for b in range(bins):
        start[b + 1] += start[b]
    return start, scale


@njit(cache=True, nogil=True)
def scatter(keys, low, limit, scale, start, first, last):  # type: ignore[no-untyped-def]
    """Codes i * n + j of the edges in the bins ``first <= b < last``, bin by bin, rising within each."""
    n = keys.shape[0]
    place = start[first:last] - start[first]
    codes = np.empty(start[last] - start[first], np.int32)
    if scale > 0.0:  # no edge beyond this key can be in these bins
        limit = min(limit, low + (last + 1) / scale)
    for i in range(n):
        for j in range(i + 1, n):
            key = keys[i, j]
            if key <= limit:
                b = int((key - low) * scale)
                if first <= b < last:
                    codes[place[b - first]] = i * n + j
                    place[b - first] += 1
    return codes


@njit(cache=True, nogil=True)
def sort_bin(keys, codes):  # type: ignore[no-untyped-def]
    """Sort one bin by (key, code); its codes come in rising."""
    n = keys.shape[0]
    size = codes.shape[0]
    values = np.empty(size)
    for k in range(size):
        values[k] = keys[codes[k] // n, codes[k] % n]
    if size > 48:
        codes[:] = codes[np.argsort(values, kind="mergesort")]
        return
    for k in range(1, size):
        code, value = codes[k], values[k]
        place = k
        while place > 0 and values[place - 1] > value:
            values[place], codes[place] = values[place - 1], codes[place - 1]
            place -= 1
        values[place], codes[place] = value, code

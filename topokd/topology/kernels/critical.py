"""Lengths of the longest edges of simplices, and the way back from there to the points."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def longest(x, simplices, tie_tolerance, eps):  # type: ignore[no-untyped-def]
    """Per simplex (a row of vertices, -1 where it has fewer) the length of its longest edge.

    Returns: the lengths (k,); of every edge within ``tie_tolerance`` of its simplex's longest the ends (e, 2), the
    simplex, and 1 / (number of those edges) / (length + ``eps``), which is what a unit of gradient is multiplied by.
    """
    k, v = simplices.shape
    most = k * (v * (v - 1) // 2)
    value = np.zeros(k)
    ends, owner, factor = np.empty((most, 2), np.int64), np.empty(most, np.int64), np.empty(most)
    count = 0
    for s in range(k):
        last = count
        for a in range(v):
            for b in range(a + 1, v):
                i, j = simplices[s, a], simplices[s, b]
                if i < 0 or j < 0:
                    continue
                ends[last, 0], ends[last, 1], factor[last] = i, j, _distance(x[i], x[j])
                value[s] = max(value[s], factor[last])
                last += 1
        first = count
        for e in range(first, last):
            if factor[e] >= value[s] - tie_tolerance:
                ends[count], owner[count], factor[count] = ends[e], s, factor[e]
                count += 1
        for e in range(first, count):
            factor[e] = 1.0 / ((count - first) * (factor[e] + eps))
    return value, ends[:count], owner[:count], factor[:count]


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _distance(one, other):  # type: ignore[no-untyped-def]
    total = 0.0
    for c in range(one.shape[0]):
        difference = np.float64(one[c]) - np.float64(other[c])
        total += difference * difference
    return np.sqrt(total)


@njit(cache=True, nogil=True)
def spread(gradient, x, ends, owner, factor):  # type: ignore[no-untyped-def]
    """Gradient of the points (n, c) from that of the lengths (k,); the arrays are those of `longest`."""
    out = np.zeros(x.shape)
    for e in range(owner.shape[0]):
        i, j, g = ends[e, 0], ends[e, 1], gradient[owner[e]] * factor[e]
        for c in range(x.shape[1]):
            move = g * (np.float64(x[i, c]) - np.float64(x[j, c]))
            out[i, c] += move
            out[j, c] -= move
    return out

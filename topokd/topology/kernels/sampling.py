"""Farthest point sampling, one pass over the rows per chosen point."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def farthest_points(x: np.ndarray, chosen: np.ndarray) -> None:
    """Fill ``chosen[1:]`` greedily with the row farthest from those before it; ties go to the lowest index.

    Distances are summed in float64 whatever the type of ``x`` (n, c), so that ties are true ties.
    """
    n, c = x.shape
    nearest = np.full(n, np.inf)
    current = chosen[0]
    center = np.empty(c)
    for step in range(1, chosen.shape[0]):
        for k in range(c):
            center[k] = x[current, k]
        best, farthest = -1.0, 0
        for i in range(n):
            total = 0.0
            for k in range(c):
                difference = x[i, k] - center[k]
                total += difference * difference
            nearest[i] = min(nearest[i], total)
            if nearest[i] > best:
                best, farthest = nearest[i], i
        current = farthest
        chosen[step] = current

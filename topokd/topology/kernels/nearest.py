"""Nearest points of one diagram to those of another, all of them where several are as near."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def nearest(points, others):  # type: ignore[no-untyped-def]
    """Rows and columns of all pairs (p, q) where q is as near to p as any of ``others`` (m, 2), sorted by death.

    From the place where p's death would stand the search goes both ways until deaths alone are too far off.
    """
    k, m = points.shape[0], others.shape[0]
    deaths = others[:, 1].copy()
    rows, columns = np.empty(k + 16, np.int64), np.empty(k + 16, np.int64)
    count = 0
    for p in range(k):
        birth, death = points[p, 0], points[p, 1]
        best, first = np.inf, count
        middle = np.searchsorted(deaths, death)
        for step in (1, -1):
            q = middle if step == 1 else middle - 1
            while 0 <= q < m:
                away = (deaths[q] - death) * (deaths[q] - death)
                if away > best:
                    break
                cost = (others[q, 0] - birth) * (others[q, 0] - birth) + away
                if cost < best:
                    best, count = cost, first
                if cost == best:
                    if count == rows.shape[0]:
                        rows = np.concatenate((rows, np.empty_like(rows)))
                        columns = np.concatenate((columns, np.empty_like(columns)))
                    rows[count], columns[count] = p, q
                    count += 1
                q += step
    return rows[:count], columns[:count]

"""The highest tents of a diagram over each value of a grid: what landscapes are made of."""

from __future__ import annotations

import numpy as np

from topokd._numba import jit


@jit
def highest_tents(points, grid, k):  # type: ignore[no-untyped-def]
    """Rows of the ``k`` highest tents max(0, min(t - b, d - t)) over each t, the highest first, (b, k, g).

    At ties the first row comes first. ``points`` (b, n, 2), ``k`` at most n.
    """
    index = np.empty((points.shape[0], k, grid.shape[0]), np.int64)
    heights = np.empty(k)
    for batch in range(points.shape[0]):
        for g in range(grid.shape[0]):
            t = grid[g]
            for row in range(points.shape[1]):
                height = max(0.0, min(t - points[batch, row, 0], points[batch, row, 1] - t))
                if row >= k and height <= heights[k - 1]:
                    continue
                place = min(row, k - 1)
                while place > 0 and heights[place - 1] < height:
                    heights[place] = heights[place - 1]
                    index[batch, place, g] = index[batch, place - 1, g]
                    place -= 1
                heights[place] = height
                index[batch, place, g] = row
    return index

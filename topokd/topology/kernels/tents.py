"""Tents of a diagram's points over a grid: landscapes and silhouettes with gradients; float64, without sqrt(2)."""

from __future__ import annotations

import numpy as np

from topokd.topology.kernels.settings import jit, jit_no_refcount


@jit_no_refcount
def height(birth, death, t):  # type: ignore[no-untyped-def]
    """max(0, min(t - b, d - t))."""
    return max(0.0, min(t - birth, death - t))


@jit
def highest(points, grid, k):  # type: ignore[no-untyped-def]
    """The ``k`` highest tents over each t, the highest first: their rows (b, k, g), and heights (b, k, g).

    At ties the first row comes first. ``points`` (b, n, 2), ``k`` at most n.
    """
    shape = (points.shape[0], k, grid.shape[0])
    index, heights = np.empty(shape, np.int64), np.empty(shape)
    top, rows = np.empty(k), np.empty(k, np.int64)
    for batch in range(points.shape[0]):
        for g in range(grid.shape[0]):
            for row in range(points.shape[1]):
                value = height(points[batch, row, 0], points[batch, row, 1], grid[g])
                if row >= k and value <= top[k - 1]:
                    continue
                place = min(row, k - 1)
                while place > 0 and top[place - 1] < value:
                    top[place], rows[place] = top[place - 1], rows[place - 1]
                    place -= 1
                top[place], rows[place] = value, row
            for place in range(k):
                index[batch, place, g], heights[batch, place, g] = rows[place], top[place]
    return index, heights


@jit_no_refcount
def spread(points, row, t, value, out):  # type: ignore[no-untyped-def]
    """Add ``value`` times the slope of a tent; half to each end at its top, 0 at its foot.

    Args:
        points: (n, 2) births and deaths.
        row: the point whose tent it is.
        t: where on the grid.
        value: gradient of the tent's height there.
        out: (n, 2) to whose row the gradient of the point is added.
    """
    rise, fall = t - points[row, 0], points[row, 1] - t
    if rise <= 0 or fall <= 0:
        return
    if rise < fall:
        out[row, 0] -= value
    elif fall < rise:
        out[row, 1] += value
    else:
        out[row, 0] -= value / 2
        out[row, 1] += value / 2


@jit
def highest_gradient(points, grid, index, gradient):  # type: ignore[no-untyped-def]
    """Gradient (b, n, 2) of the points, from that of the k heights (b, k, g)."""
    out = np.zeros(points.shape)
    for batch in range(index.shape[0]):
        for place in range(index.shape[1]):
            for g in range(grid.shape[0]):
                spread(points[batch], index[batch, place, g], grid[g], gradient[batch, place, g], out[batch])
    return out


@jit
def silhouette(points, grid, power):  # type: ignore[no-untyped-def]
    """sum_i w_i tent_i / sum_i w_i over the grid (b, g), w_i = persistence ** power, 0 on the diagonal."""
    out = np.zeros((points.shape[0], grid.shape[0]))
    for batch in range(points.shape[0]):
        total = 0.0
        for row in range(points.shape[1]):
            birth, death = points[batch, row, 0], points[batch, row, 1]
            if death <= birth:
                continue
            weight = (death - birth) ** power
            total += weight
            for g in range(grid.shape[0]):
                out[batch, g] += weight * height(birth, death, grid[g])
        if total > 0:
            out[batch] /= total
    return out


@jit
def silhouette_gradient(points, grid, power, values, gradient):  # type: ignore[no-untyped-def]
    """Gradient of the points, from that of the silhouette.

    Args:
        points: (b, n, 2) births and deaths.
        grid: (g,) filtration values.
        power: exponent of the weights.
        values: (b, g) the silhouette.
        gradient: (b, g) its gradient.

    Returns:
        (b, n, 2).
    """
    out = np.zeros(points.shape)
    for batch in range(points.shape[0]):
        total = 0.0
        for row in range(points.shape[1]):
            persistence = points[batch, row, 1] - points[batch, row, 0]
            total += persistence**power if persistence > 0 else 0.0
        for row in range(points.shape[1]):
            birth, death = points[batch, row, 0], points[batch, row, 1]
            if death <= birth:
                continue
            weight = (death - birth) ** power / total
            of_weight = 0.0
            for g in range(grid.shape[0]):
                of_weight += gradient[batch, g] * (height(birth, death, grid[g]) - values[batch, g])
                spread(points[batch], row, grid[g], weight * gradient[batch, g], out[batch])
            change = of_weight * power * weight / (death - birth)
            out[batch, row, 0] -= change
            out[batch, row, 1] += change
    return out

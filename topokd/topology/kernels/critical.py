"""Values of simplices (their longest edges), and the gradient from there to the points."""

from __future__ import annotations

import numpy as np

from topokd.topology.kernels.settings import compiled, jit


@jit
def longest(x: np.ndarray, simplices: np.ndarray, tie_tolerance: float, eps: float) -> tuple[np.ndarray, ...]:
    """Length of the longest edge of each simplex.

    Args:
        x: (n, c) points.
        simplices: (k, v) vertices, -1 in unused entries.
        tie_tolerance: edges within it of the longest count as longest too.
        eps: added to the length that a gradient is divided by.

    Returns:
        lengths (k,); per longest edge its ends (e, 2), its simplex (e,) and 1 / (number of longest edges of the
        simplex) / (length + `eps`) (e,), which scales the gradient.
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
                ends[count, 0], ends[count, 1] = ends[e, 0], ends[e, 1]
                owner[count], factor[count] = s, factor[e]
                count += 1
        for e in range(first, count):
            factor[e] = 1.0 / ((count - first) * (factor[e] + eps))
    return value, ends[:count], owner[:count], factor[:count]


@compiled(fastmath={"reassoc", "contract", "nsz"})
def _distance(a: np.ndarray, b: np.ndarray) -> float:
    total = 0.0
    for c in range(a.shape[0]):
        difference = np.float64(a[c]) - np.float64(b[c])
        total += difference * difference
    return np.sqrt(total)


@jit
def spread(gradient: np.ndarray, x: np.ndarray, ends: np.ndarray, owner: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Gradient of the points from that of the lengths.

    Args:
        gradient: (k,) gradient of the lengths.
        x: (n, c) points.
        ends: (e, 2) ends of each longest edge, from `longest`.
        owner: (e,) its simplex, likewise.
        factor: (e,) its factor, likewise.

    Returns:
        (n, c), in float64.
    """
    out = np.zeros(x.shape)
    for e in range(owner.shape[0]):
        i, j, g = ends[e, 0], ends[e, 1], gradient[owner[e]] * factor[e]
        for c in range(x.shape[1]):
            slope = g * (np.float64(x[i, c]) - np.float64(x[j, c]))
            out[i, c] += slope
            out[j, c] -= slope
    return out

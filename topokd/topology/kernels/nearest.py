"""Nearest points of small diagrams, all pairs at once, in plain C form (`topokd._native`).

`chamfer` is the form for any diagrams. Here the costs are those of `chamfer.costs` if no two points are equally near.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numpy as np

from topokd.topology.kernels.settings import jit_no_refcount

TIE = 1  # results of `costs` other than 0
NOT_FINITE = 2


@jit_no_refcount
def load(x64, x32, single, count, out, first):
    """Copy to float64, from entry ``first`` on. Returns whether all numbers are finite."""
    wrong = 0.0
    for k in range(count):
        out[first + k] = np.float64(x32[k]) if single else x64[k]
        wrong += out[first + k] * 0.0
    return wrong == 0.0


@jit_no_refcount
def nearest(points, first, k, other, m, scale, cost64, cost32, single, mate):
    """See `costs`: of k rows from ``first`` on among m from ``other`` on. Returns whether each match is alone."""
    alone = True
    for p in range(first, first + k):
        birth, death = points[2 * p], points[2 * p + 1]
        best, which, ties = np.inf, -1, 0
        for q in range(other, other + m):
            b, d = points[2 * q] - birth, points[2 * q + 1] - death
            squared = b * b + d * d
            ties += squared == best
            if squared < best:
                best, which, ties = squared, q, 1
        cost, mate[p] = (death - birth) * (death - birth) / 2, -1
        if scale * best <= cost:
            cost, mate[p] = scale * best, which
            alone = alone and ties == 1
        if single:
            cost32[p] = np.float32(cost)
        else:
            cost64[p] = cost
    return alone


def costs(t64, t32, s64, s32, single, k, m, scale, points, cost64, cost32, mate):
    """min(``scale`` * squared distance to the nearest of the others, squared distance to the diagonal), both ways.

    Args:
        t64: (k, 2) one diagram, if not ``single``.
        t32: likewise, if ``single``.
        s64: (m, 2) the other one, if not ``single``.
        s32: likewise, if ``single``.
        single: whether they are float32.
        k: pairs of the first.
        m: pairs of the second.
        scale: weight of a match against the diagonal.
        points: (k + m, 2) on return both in float64.
        cost64: (k + m,) on return the costs, if not ``single``.
        cost32: likewise, if ``single``.
        mate: (k + m,) on return the row of the nearest in ``points``, -1 for the diagonal.

    Returns:
        0; or `TIE`, `NOT_FINITE`: then nothing else holds.
    """
    if not load(t64, t32, single, 2 * k, points, 0) or not load(s64, s32, single, 2 * m, points, 2 * k):
        return NOT_FINITE
    if not nearest(points, 0, k, k, m, scale, cost64, cost32, single, mate):
        return TIE
    if not nearest(points, k, m, 0, k, scale, cost64, cost32, single, mate):
        return TIE
    return 0


def slopes(g64, g32, single, k, m, scale, points, mate, parts, result):
    """Gradient of the second diagram from those of the costs of both (k + m,).

    ``parts`` (2, m, 2) on return holds what comes from the costs of the first diagram, and from its own; ``result``
    (m, 2) their sum, if ``single``, each part rounded before. The other arguments are those of `costs`.
    """
    for entry in range(4 * m):
        parts[entry] = 0.0
    for p in range(k + m):
        g, q = np.float64(g32[p]) if single else g64[p], mate[p]
        for axis in range(2):
            if q >= 0:
                slope = 2.0 * scale * g * (points[2 * p + axis] - points[2 * q + axis])
                if p < k:
                    parts[2 * (q - k) + axis] -= slope
                else:
                    parts[2 * (m + p - k) + axis] += slope
            elif p >= k:
                slope = g * (points[2 * p + 1] - points[2 * p])
                parts[2 * (m + p - k) + axis] = slope if axis == 1 else -slope
    for entry in range(2 * m):
        if single:
            result[entry] = np.float32(parts[2 * m + entry]) + np.float32(parts[entry])
        else:
            parts[entry] = parts[2 * m + entry] + parts[entry]
    return 0

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
def load(x64, x32, single, count, out):
    """Copy to float64. Returns whether all numbers are finite."""
    wrong = 0.0
    for k in range(count):
        out[k] = np.float64(x32[k]) if single else x64[k]
        wrong += out[k] * 0.0
    return wrong == 0.0


@jit_no_refcount
def nearest(points, k, others, m, scale, cost, mate):
    """See `costs`; returns whether each match is alone."""
    alone = True
    for p in range(k):
        birth, death = points[2 * p], points[2 * p + 1]
        best, which, ties = np.inf, -1, 0
        for q in range(m):
            squared = (others[2 * q] - birth) * (others[2 * q] - birth) + (others[2 * q + 1] - death) * (
                others[2 * q + 1] - death
            )
            ties += squared == best
            if squared < best:
                best, which, ties = squared, q, 1
        cost[p], mate[p] = (death - birth) * (death - birth) / 2, -1
        if scale * best <= cost[p]:
            cost[p], mate[p] = scale * best, which
            alone = alone and ties == 1
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
        points: (k + m, 3) on return both in float64, then scratch.
        cost64: (k + m,) on return the costs, if not ``single``.
        cost32: likewise, if ``single``.
        mate: (k + m,) on return the number of the nearest, -1 for the diagonal.

    Returns:
        0; or `TIE`, `NOT_FINITE`: then nothing else holds.
    """
    first, second, cost = points[0], points[1], points[2]
    if not load(t64, t32, single, 2 * k, first) or not load(s64, s32, single, 2 * m, second):
        return NOT_FINITE
    for turn in range(2):
        a, b = (first, second) if turn == 0 else (second, first)
        count, total, base = (k, m, 0) if turn == 0 else (m, k, k)
        if not nearest(a, count, b, total, scale, cost, mate[turn]):
            return TIE
        for p in range(count):
            if single:
                cost32[base + p] = np.float32(cost[p])
            else:
                cost64[base + p] = cost[p]
    return 0


def slopes(g64, g32, single, k, m, scale, points, mate, of_first, of_second):
    """Gradient of the second diagram from those of the costs of both (k + m,).

    ``of_first`` (m, 2) is the part from the costs of the first one, ``of_second`` that from its own; they are zero
    before. The other arguments are those of `costs`.
    """
    first, second = points[0], points[1]
    for p in range(k):
        q = mate[0][p]
        if q >= 0:
            g = np.float64(g32[p]) if single else g64[p]
            for axis in range(2):
                of_first[2 * q + axis] -= 2.0 * scale * g * (first[2 * p + axis] - second[2 * q + axis])
    for p in range(m):
        q = mate[1][p]
        g = np.float64(g32[k + p]) if single else g64[k + p]
        if q >= 0:
            for axis in range(2):
                of_second[2 * p + axis] += 2.0 * scale * g * (second[2 * p + axis] - first[2 * q + axis])
        else:
            slope = g * (second[2 * p + 1] - second[2 * p])
            of_second[2 * p], of_second[2 * p + 1] = -slope, slope
    return 0

"""Farthest point sampling, one pass over the rows per chosen point; rows that cannot come nearer are passed over.

The triangle inequality (Elkan, 2003): a row p whose nearest centre is c keeps it when the new centre is at least twice
as far from c as p is. The test costs one comparison per row and the distances between centres. It pays on clustered
rows and never on Gaussian ones of high dimension, so it is used only while it is seen to pass over rows.
"""

from __future__ import annotations

import numpy as np
from numba import njit

PROBES = 3  # steps that count what could be passed over, before each decision
WORTH = 0.08  # share of rows passed over above which the test is used
SLACK = 1.0 + 1e-9  # of squared distances: rounding never decides what is passed over


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def farthest_points(x, chosen, prune):  # type: ignore[no-untyped-def]
    """Fill ``chosen[1:]`` greedily with the row farthest from those before it; ties go to the lowest index.

    Distances are summed in float64 whatever the type of ``x`` (n, c), so that ties are true ties. Without ``prune``
    every row is computed in every step; the indices are the same. Returns the share of distances passed over.
    """
    n, c = x.shape
    m = chosen.shape[0]
    nearest = np.full(n, np.inf)
    owner = np.zeros(n, np.int32)  # which centre is the nearest
    gaps = np.empty(m)  # squared distances of the new centre to those before it
    center = np.empty(c)
    using, probing, decision, passed, total = prune, 0, 1, 0, 0
    for step in range(1, m):
        current = chosen[step - 1]
        for k in range(c):
            center[k] = x[current, k]
        if prune and step == decision:
            using, probing, decision, passed = True, PROBES, 2 * decision, 0
        if using:
            for before in range(step - 1):
                gaps[before] = _squared(x, chosen[before], center)
        best, farthest = -1.0, 0
        skipped = 0
        for i in range(n):
            if using and step > 1 and 4.0 * SLACK * nearest[i] <= gaps[owner[i]]:
                skipped += 1
            else:
                distance = _squared(x, i, center)
                if distance < nearest[i]:
                    nearest[i] = distance
                    owner[i] = step - 1
            if nearest[i] > best:
                best, farthest = nearest[i], i
        chosen[step] = farthest
        total += skipped
        if probing > 0:
            probing -= 1
            passed += skipped
            if probing == 0:
                using = passed > WORTH * PROBES * n
    return total / max(1, n * (m - 1))


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"}, inline="always")
def _squared(x, i, center):  # type: ignore[no-untyped-def]
    total = 0.0
    for k in range(center.shape[0]):
        difference = x[i, k] - center[k]
        total += difference * difference
    return total

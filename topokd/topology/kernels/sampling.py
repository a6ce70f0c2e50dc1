"""Farthest point sampling, one pass over the rows per sample; the triangle inequality lets it skip rows.

A row p whose nearest sample is s keeps it if the new sample is at least twice as far from s as p is (Elkan, 2003). The
test costs one comparison per row, and the distances between samples. It pays on clustered rows and not on Gaussian
ones of many channels, so it is used only while it is seen to skip enough rows.
"""

from __future__ import annotations

import numpy as np

from topokd.topology.kernels.settings import compiled

TRIAL_STEPS = 3  # steps that count the rows skipped, before each decision; decisions are made at steps 1, 2, 4, 8, ...
MIN_SKIPPED_FRACTION = 0.08  # of the rows; the test is used above it
ROUNDING = 1.0 + 1e-9  # factor on squared distances, so that rounding never skips a row that could change


@compiled(fastmath={"reassoc", "contract", "nsz"})
def farthest_points(x: np.ndarray, chosen: np.ndarray, prune: bool) -> float:
    """Fill `chosen[1:]` greedily with the row farthest from those before it; ties go to the lowest index.

    Args:
        x: (n, c) rows; distances are summed in float64 for any type of x, so that ties are exact.
        chosen: (m,) int64; entry 0 is given.
        prune: whether rows may be skipped; the indices are the same.

    Returns:
        The share of distances skipped.
    """
    n, c = x.shape
    m = chosen.shape[0]
    nearest = np.full(n, np.inf)
    owner = np.zeros(n, np.int32)  # which sample is the nearest
    gaps = np.empty(m)  # squared distances of the new sample to those before it
    center = np.empty(c)
    pruning, trial, decision, skipped_in_trial, total = prune, 0, 1, 0, 0
    for step in range(1, m):
        current = chosen[step - 1]
        for k in range(c):
            center[k] = x[current, k]
        if prune and step == decision:
            pruning, trial, decision, skipped_in_trial = True, TRIAL_STEPS, 2 * decision, 0
        if pruning:
            for before in range(step - 1):
                gaps[before] = _squared_distance(x, chosen[before], center)
        best, farthest = -1.0, 0
        skipped = 0
        for i in range(n):
            if pruning and step > 1 and 4.0 * ROUNDING * nearest[i] <= gaps[owner[i]]:
                skipped += 1
            else:
                distance = _squared_distance(x, i, center)
                if distance < nearest[i]:
                    nearest[i] = distance
                    owner[i] = step - 1
            if nearest[i] > best:
                best, farthest = nearest[i], i
        chosen[step] = farthest
        total += skipped
        if trial > 0:
            trial -= 1
            skipped_in_trial += skipped
            if trial == 0:
                pruning = skipped_in_trial > MIN_SKIPPED_FRACTION * TRIAL_STEPS * n
    return total / max(1, n * (m - 1))


@compiled(fastmath={"reassoc", "contract", "nsz"}, inline="always")
def _squared_distance(x: np.ndarray, i: int, center: np.ndarray) -> float:
    total = 0.0
    for k in range(center.shape[0]):
        difference = x[i, k] - center[k]
        total += difference * difference
    return total

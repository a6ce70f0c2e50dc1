"""Open edges: those still to come whose lune may be empty then; no others will merge components or open loops."""

from __future__ import annotations

import numpy as np
from numba import njit

from topokd.topology.kernels import BORROWING, borrowing, compiled
from topokd.topology.kernels.bits import ONE, ZERO, lowest
from topokd.topology.kernels.state import OPEN, at

HUBS = 8  # neighbours of a vertex that may settle its edges to come


@compiled
def mark(sweep, limit):  # type: ignore[no-untyped-def]
    """Mark the edges to come that no vertex w is known to close: d(i, w), d(w, j) before d(i, j). Returns how many.

    Hubs are in most lunes already, a few neighbours of i settle nearly all others of a row at once, and what they leave
    is tried with every vertex.
    """
    keys, near, place, vertex = sweep.keys, sweep.near, sweep.place, sweep.vertex
    edge_note, row = sweep.edge_note, sweep.row
    n = keys.shape[0]
    shortest = np.empty(n)
    hubs = np.empty(n, np.uint64)  # those joined to each vertex
    for v in range(n):
        hubs[v] = near[place[v], 0]
    candidates = np.empty(n + 1, np.int64)
    found = 0
    for i in range(n):
        of_i, of_p = keys[i], near[place[i]]
        count = _without_hub(hubs, of_i, i, limit, candidates)
        if count > n // HUBS:
            shortest[i + 1 :] = np.inf
            tried, unsettled = 0, n
            for w in range(near.shape[1]):
                left = of_p[w]
                while left != ZERO and tried < HUBS and unsettled > 0:
                    of_v = keys[vertex[w * 64 + lowest(left)]]
                    unsettled = _nearer(shortest[i + 1 :], of_v[i + 1 :], of_i[i + 1 :])
                    left &= left - ONE
                    tried += 1
            total, count = count, 0
            for c in range(total):
                j = candidates[c]
                candidates[count] = j
                count += shortest[j] >= of_i[j]
        for c in range(count):
            j = candidates[c]
            of_q = near[place[j]]
            present = ZERO
            for w in range(of_p.shape[0]):
                present |= of_p[w] & of_q[w]
            if present == ZERO and not _closed(of_i, keys[j], of_i[j]):
                edge_note[at(row, place[i], place[j])] = OPEN
                found += 1
    return found


@borrowing
def _without_hub(hubs, of_i, i, limit, candidates):  # type: ignore[no-untyped-def]
    """Fill ``candidates`` with the vertices after i that share no hub with it, as far as the limit; how many."""
    count = 0
    for j in range(i + 1, of_i.shape[0]):
        candidates[count] = j
        count += (hubs[i] & hubs[j] == ZERO) & (of_i[j] <= limit)
    return count


@borrowing
def _closed(of_i, of_j, key):  # type: ignore[no-untyped-def]
    """Whether any vertex comes before ``key`` in both rows."""
    for first in range(0, of_i.shape[0], 64):
        met = 0
        for v in range(first, min(first + 64, of_i.shape[0])):  # to the end: a loop without exits runs on vectors
            met |= (of_i[v] < key) & (of_j[v] < key)
        if met != 0:
            return True
    return False


@njit(**BORROWING, fastmath={"nnan", "nsz"})
def _nearer(shortest, of_v, of_i):  # type: ignore[no-untyped-def]
    """``shortest`` = min(itself, ``of_v``); returns how many are not below ``of_i`` yet."""
    unsettled = 0
    for j in range(shortest.shape[0]):
        shortest[j] = min(shortest[j], of_v[j])
        unsettled += shortest[j] >= of_i[j]
    return unsettled

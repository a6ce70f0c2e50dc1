"""Edges in order, as far as they are asked for: divided into rounds of rising keys, each sorted when its turn comes.

An edge is one word: its key in the upper half, in 2^32 steps of the highest one, and its vertices i < j in the lower.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from topokd.topology.kernels import BORROWING, compiled

SHARES = (0.05, 0.12, 0.3, 0.6)  # of the edges that are in after each round, about; then all
ROUNDS = len(SHARES) + 1
EARLY = 3  # rounds that are gathered at once; most sweeps end within them
SAMPLE = 4096  # edges that the bounds of the rounds are guessed from
DIGIT = 11  # bits that one pass of the sorting looks at; two passes
FEW = 64  # edges that are put in order by insertion
STEPS = float((1 << 32) - 1)
SMALL = 1e-290  # keys below it are told apart by themselves alone: steps would overflow
HALF = np.uint64(16)  # bits of a vertex in the code i << 16 | j of an edge
LOW = np.uint64((1 << 16) - 1)
CODE = np.uint64(32)  # bits of a code


@njit(cache=True, nogil=True, inline="always")
def ends(edge):  # type: ignore[no-untyped-def]
    """The vertices i < j of an edge."""
    return np.int64(edge >> HALF & LOW), np.int64(edge & LOW)


@njit(cache=True, nogil=True, inline="always")
def key(keys, edge):  # type: ignore[no-untyped-def]
    """The key of an edge, whole."""
    i, j = ends(edge)
    return keys[i, j]


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def extent(keys):  # type: ignore[no-untyped-def]
    """min_i max_j keys[i, j], and the sum of each row.

    Once the edges up to the first are in, one vertex is joined to all others and no loop lives.
    """
    n = keys.shape[0]
    furthest, sums = np.zeros(n), np.zeros(n)
    for i in range(n):  # half the matrix, each row added to its column too
        row, far, total = keys[i, i + 1 :], furthest[i + 1 :], sums[i + 1 :]
        own_far, own_total = _taken_in(row, far, total)
        furthest[i] = max(furthest[i], own_far)
        sums[i] += own_total
    return furthest.min(), sums


@njit(**BORROWING, fastmath={"nnan", "nsz", "reassoc"})
def _taken_in(row, far, total):  # type: ignore[no-untyped-def]
    own_far, own_total = 0.0, 0.0
    for k in range(row.shape[0]):
        key = row[k]
        far[k] = max(far[k], key)
        total[k] += key
        own_far = max(own_far, key)
        own_total += key
    return own_far, own_total


@compiled
def rounds(keys, limit):  # type: ignore[no-untyped-def]
    """The highest key of each round, and where in the order of all edges each round begins and (last) ends."""
    bounds = _bounds(keys, limit)
    return bounds, _counted(keys, bounds)


@compiled
def gathered(keys, bounds, last, earlier, upto):  # type: ignore[no-untyped-def]
    """The edges of the rounds before ``upto``, not sorted within one; ``earlier`` holds some of them already."""
    n = keys.shape[0]
    edges = np.empty(last[upto] + 1, np.uint64)  # one more: what is no edge of these rounds lands there
    edges[: earlier.shape[0]] = earlier
    place = np.minimum(last, last[upto])
    moving = np.zeros(ROUNDS + 1, np.int64)
    for turn in range(upto):
        moving[turn] = last[turn] >= earlier.shape[0]
        if not moving[turn]:
            place[turn] = last[upto]
    packed, group = np.empty(n, np.uint64), np.empty(n, np.uint8)
    for i in range(n):
        row = keys[i, i + 1 :]
        _packed(row, bounds, i, packed, group)
        for k in range(row.shape[0]):
            edges[place[group[k]]] = packed[k]
            place[group[k]] += moving[group[k]]
    return edges[: last[upto]]


@njit(**BORROWING, fastmath={"nnan", "nsz"})
def _packed(row, bounds, i, packed, group):  # type: ignore[no-untyped-def]
    """The words and the rounds of the edges of vertex i to those after it."""
    limit = bounds[ROUNDS - 1]
    scale = STEPS / limit if limit > SMALL else 0.0
    for k in range(row.shape[0]):
        key = min(row[k], limit)
        packed[k] = np.uint64(np.int64(key * scale)) << CODE | np.uint64(i << 16 | (i + 1 + k))
    for k in range(row.shape[0]):
        key, past = row[k], 0
        for b in range(ROUNDS):
            past += key > bounds[b]
        group[k] = past


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def _counted(keys, bounds):  # type: ignore[no-untyped-def]
    n = keys.shape[0]
    first = np.zeros(ROUNDS + 1, np.int64)
    for i in range(n):
        row = keys[i, i + 1 :]
        for b in range(ROUNDS):
            bound, count = bounds[b], 0
            for k in range(row.shape[0]):
                count += row[k] <= bound
            first[b + 1] += count
    return first


@compiled
def _bounds(keys, limit):  # type: ignore[no-untyped-def]
    """The highest key of each round. A sample of the edges is looked at; how good it is decides speed alone."""
    n = keys.shape[0]
    edges = n * (n - 1) // 2
    found = np.empty(min(SAMPLE, edges))
    count = 0
    step = max(1, edges // max(1, found.shape[0]))
    i, j = 0, 1
    while i < n - 1 and count < found.shape[0]:
        if keys[i, j] <= limit:
            found[count] = keys[i, j]
            count += 1
        j += step
        while i < n - 1 and j >= n:  # on to where the row's end carries over
            i += 1
            j += i + 1 - n
    found = np.sort(found[:count])
    last = np.full(ROUNDS, limit)
    for k, share in enumerate(SHARES):
        if count > 0:
            last[k] = found[min(count - 1, int(share * count))]
    return last


@compiled
def sort(edges, keys):  # type: ignore[no-untyped-def]
    """Sort the edges of one round in place, by (key, code). They come by code.

    Two passes over the leading bits, then the few that still share a place by their keys themselves.
    """
    count = edges.shape[0]
    if count <= FEW:
        _sort_few(edges, keys)
        return
    low, high = edges.min() >> CODE, edges.max() >> CODE
    shift = CODE
    while (high - low) >> (shift - CODE) >= np.uint64(1 << 2 * DIGIT):
        shift += np.uint64(1)
    base = low << CODE
    start = np.zeros((2, 1 << DIGIT), np.int64)
    mask, width = np.uint64((1 << DIGIT) - 1), np.uint64(DIGIT)
    for k in range(count):
        digits = (edges[k] - base) >> shift
        start[0, digits & mask] += 1
        start[1, digits >> width] += 1
    for turn in range(2):
        total = 0
        for d in range(1 << DIGIT):
            total, start[turn, d] = total + start[turn, d], total
    other = np.empty_like(edges)
    for k in range(count):
        digit = (edges[k] - base) >> shift & mask
        other[start[0, digit]] = edges[k]
        start[0, digit] += 1
    for k in range(count):
        digit = (other[k] - base) >> shift >> width
        edges[start[1, digit]] = other[k]
        start[1, digit] += 1
    begin = 0
    for k in range(1, count + 1):
        if k == count or (edges[k] - base) >> shift != (edges[begin] - base) >> shift:
            if k - begin > 1:
                _sort_few(edges[begin:k], keys)
            begin = k


@compiled
def _sort_few(edges, keys):  # type: ignore[no-untyped-def]
    """By key; equal keys keep their order."""
    count = edges.shape[0]
    values = np.empty(count)
    for k in range(count):
        i, j = ends(edges[k])
        values[k] = keys[i, j]
    if count > FEW:
        edges[:] = edges[np.argsort(values, kind="mergesort")]
        return
    for k in range(1, count):
        value, edge = values[k], edges[k]
        place = k
        while place > 0 and values[place - 1] > value:
            values[place], edges[place] = values[place - 1], edges[place - 1]
            place -= 1
        values[place], edges[place] = value, edge

"""Edges in order, only as far as they are asked for: gathered and sorted a round of rising keys at a time."""

from __future__ import annotations

import numpy as np
from numba import njit

SHARES = (0.05, 0.12, 0.3, 0.6)  # of the edges that are in after each round, about; then all
SAMPLE = 4096  # edges that the bounds of the rounds are guessed from
PER_BIN = 3  # edges
HALF = 16  # bits of a vertex in the code i << 16 | j of an edge
LOW = (1 << HALF) - 1


@njit(cache=True, nogil=True, inline="always")
def ends(code):  # type: ignore[no-untyped-def]
    """The vertices i < j of an edge."""
    return np.int64(code) >> HALF, np.int64(code) & LOW


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz", "reassoc"})
def extent(keys):  # type: ignore[no-untyped-def]
    """min_i max_j keys[i, j], and the sum of each row.

    Once the edges up to the first are in, one vertex is joined to all others and no loop lives.
    """
    radius = np.inf
    sums = np.empty(keys.shape[0])
    for i in range(keys.shape[0]):
        furthest, total = 0.0, 0.0
        for j in range(keys.shape[0]):
            furthest = max(furthest, keys[i, j])
            total += keys[i, j]
        radius, sums[i] = min(radius, furthest), total
    return radius, sums


@njit(cache=True, nogil=True)
def bounds(keys, limit):  # type: ignore[no-untyped-def]
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
    last = np.full(len(SHARES) + 1, limit)
    for k, share in enumerate(SHARES):
        if count > 0:
            last[k] = found[min(count - 1, int(share * count))]
    return last


@njit(cache=True, nogil=True)
def between(keys, after, upto):  # type: ignore[no-untyped-def]
    """Keys and codes of the edges with after < key <= upto, by (key, code)."""
    n = keys.shape[0]
    count = 0
    for i in range(n):
        row = keys[i, i + 1 :]
        for k in range(row.shape[0]):
            count += (row[k] > after) & (row[k] <= upto)
    values, codes = np.empty(count + 1), np.empty(count + 1, np.uint32)  # one more: what is no edge lands there
    place = 0
    for i in range(n):
        row = keys[i, i + 1 :]
        for k in range(row.shape[0]):
            values[place] = row[k]
            codes[place] = i << HALF | (i + 1 + k)
            place += (row[k] > after) & (row[k] <= upto)
    return _sorted(values[:count], codes[:count])


@njit(cache=True, nogil=True)
def _sorted(values, codes):  # type: ignore[no-untyped-def]
    """By value; equal values keep their order. Bins of rising values, then each bin by insertion."""
    count = values.shape[0]
    if count < 2:
        return values, codes
    low, high = values.min(), values.max()
    bins = max(1, count // PER_BIN)
    scale = 0.0
    if high > low:
        scale = (bins - 1) / (high - low)
    start = np.zeros(bins + 1, np.int64)
    for k in range(count):
        start[int((values[k] - low) * scale) + 1] += 1
    for b in range(bins):
        start[b + 1] += start[b]
    place = start[:bins].copy()
    value_of, code_of = np.empty_like(values), np.empty_like(codes)
    for k in range(count):
        b = int((values[k] - low) * scale)
        value_of[place[b]], code_of[place[b]] = values[k], codes[k]
        place[b] += 1
    for b in range(bins):
        _sort_bin(value_of, code_of, start[b], start[b + 1])
    return value_of, code_of


@njit(cache=True, nogil=True)
def _sort_bin(values, codes, start, end):  # type: ignore[no-untyped-def]
    if end - start > 64:
        rank = np.argsort(values[start:end], kind="mergesort")
        values[start:end], codes[start:end] = values[start:end][rank], codes[start:end][rank]
        return
    for k in range(start + 1, end):
        value, code = values[k], codes[k]
        place = k
        while place > start and values[place - 1] > value:
            values[place], codes[place] = values[place - 1], codes[place - 1]
            place -= 1
        values[place], codes[place] = value, code

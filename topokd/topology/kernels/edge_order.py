"""The edges in filtration order, sorted as far as the sweep gets: rounds of rising values, each sorted when it begins.

An edge is one 64-bit word: its filtration value in the upper half, in 2^32 steps up to the highest one, and its
vertices i < j in the lower half. Equal values are ordered by (i, j).
"""

from __future__ import annotations

import numpy as np

from topokd.topology.kernels.settings import compiled, jit_inline, jit_part
from topokd.topology.kernels.sorting import argsort

ROUND_ENDS = (0.05, 0.12, 0.3, 0.6)  # share of the edges that have entered at the end of each round, about; then all
ROUNDS = len(ROUND_ENDS) + 1
EARLY_ROUNDS = 3  # rounds collected in the first pass over the matrix; most sweeps end within them
SAMPLED_EDGES = 4096  # edges that the bounds of the rounds are estimated from, at most
EDGES_PER_SAMPLE = 16  # of a small cloud one edge in so many is sampled: sorting more takes longer than it saves
RADIX_BITS = 11  # of one of the two passes of the radix sort
MAX_INSERTION = 64  # edges that are sorted by insertion
STEPS = float((1 << 32) - 1)
MIN_SCALED = 1e-290  # below it, STEPS / value overflows: such values are sorted by the values themselves
VERTEX_BITS = np.uint64(16)  # of a vertex in the code i << 16 | j of an edge
VERTEX_MASK = np.uint64((1 << 16) - 1)
CODE_BITS = np.uint64(32)


@jit_inline
def ends(edge: np.uint64) -> tuple[int, int]:
    """The vertices i < j of an edge."""
    return np.int64(edge >> VERTEX_BITS & VERTEX_MASK), np.int64(edge & VERTEX_MASK)  # type: ignore[return-value]


@jit_inline
def value_of(filtration: np.ndarray, edge: np.uint64) -> float:
    """The exact filtration value of an edge."""
    i, j = ends(edge)
    return filtration[i, j]


@compiled(fastmath={"nnan", "nsz"})
def enclosing_radius(filtration: np.ndarray) -> tuple[float, np.ndarray]:
    """min_i max_j filtration[i, j], at which one vertex is adjacent to all; and the sum of each row (n,)."""
    n = filtration.shape[0]
    farthest, sums = np.zeros(n), np.zeros(n)
    for i in range(n):  # half the matrix: each row is also added to its column
        own_farthest, own_sum = _take_in(filtration[i, i + 1 :], farthest[i + 1 :], sums[i + 1 :])
        farthest[i] = max(farthest[i], own_farthest)
        sums[i] += own_sum
    radius = farthest[0]
    for i in range(1, n):
        radius = min(radius, farthest[i])
    return radius, sums


@compiled(_nrt=False, fastmath={"nnan", "nsz", "reassoc"})
def _take_in(row: np.ndarray, farthest: np.ndarray, sums: np.ndarray) -> tuple[float, float]:
    own_farthest, own_sum = 0.0, 0.0
    for k in range(row.shape[0]):
        value = row[k]
        farthest[k] = max(farthest[k], value)
        sums[k] += value
        own_farthest = max(own_farthest, value)
        own_sum += value
    return own_farthest, own_sum


@jit_part
def rounds(filtration: np.ndarray, limit: float) -> tuple[np.ndarray, np.ndarray]:
    """The highest value of each round, and the number of edges before each round and in all (ROUNDS + 1,)."""
    bounds = _bounds(filtration, limit)
    return bounds, _count(filtration, bounds)


@jit_part
def collect(
    filtration: np.ndarray, bounds: np.ndarray, first: np.ndarray, earlier: np.ndarray, upto: int
) -> np.ndarray:
    """The edges of the first rounds, unsorted within a round.

    Args:
        filtration: (n, n) values of the edges, symmetric.
        bounds: (ROUNDS,) highest value of each round, from `rounds`.
        first: (ROUNDS + 1,) number of edges before each round and in all, likewise.
        earlier: (e,) edges of the rounds that were collected before, which are copied.
        upto: number of rounds.

    Returns:
        (first[upto],) uint64 edges, round by round.
    """
    n = filtration.shape[0]
    edges = np.empty(first[upto] + 1, np.uint64)  # one more entry: edges of other rounds are written there
    for k in range(earlier.shape[0]):
        edges[k] = earlier[k]
    target, step = np.empty(ROUNDS + 1, np.int64), np.zeros(ROUNDS + 1, np.int64)
    for turn in range(ROUNDS + 1):
        target[turn] = min(first[turn], first[upto])
    for turn in range(upto):
        step[turn] = first[turn] >= earlier.shape[0]
        if not step[turn]:
            target[turn] = first[upto]
    packed, group = np.empty(n, np.uint64), np.empty(n, np.uint8)
    for i in range(n):
        row = filtration[i, i + 1 :]
        _pack(row, bounds, i, packed, group)
        for k in range(row.shape[0]):
            edges[target[group[k]]] = packed[k]
            target[group[k]] += step[group[k]]
    return edges[: first[upto]]


@compiled(_nrt=False, fastmath={"nnan", "nsz"})
def _pack(row: np.ndarray, bounds: np.ndarray, i: int, packed: np.ndarray, group: np.ndarray) -> None:
    """The words and the rounds of the edges from vertex i to those after it."""
    limit = bounds[ROUNDS - 1]
    scale = STEPS / limit if limit > MIN_SCALED else 0.0
    for k in range(row.shape[0]):
        value = min(row[k], limit)
        packed[k] = np.uint64(np.int64(value * scale)) << CODE_BITS | np.uint64(i << 16 | (i + 1 + k))
    for k in range(row.shape[0]):
        value, past = row[k], 0
        for b in range(ROUNDS):
            past += value > bounds[b]
        group[k] = past


@compiled(fastmath={"nnan", "nsz"})
def _count(filtration: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    n = filtration.shape[0]
    first = np.zeros(ROUNDS + 1, np.int64)
    for i in range(n):
        row = filtration[i, i + 1 :]
        for b in range(ROUNDS):
            bound, count = bounds[b], 0
            for k in range(row.shape[0]):
                count += row[k] <= bound
            first[b + 1] += count
    return first


@jit_part
def _bounds(filtration: np.ndarray, limit: float) -> np.ndarray:
    """The highest value of each round, estimated from a sample of edges; its quality affects speed only."""
    n = filtration.shape[0]
    edges = n * (n - 1) // 2
    sample = np.empty(min(SAMPLED_EDGES, edges // EDGES_PER_SAMPLE + 1))
    count = 0
    step = max(1, edges // max(1, sample.shape[0]))
    i, j = 0, 1
    while i < n - 1 and count < sample.shape[0]:
        if filtration[i, j] <= limit:
            sample[count] = filtration[i, j]
            count += 1
        j += step
        while i < n - 1 and j >= n:  # continue in the next row
            i += 1
            j += i + 1 - n
    order, bounds = argsort(sample[:count]), np.empty(ROUNDS)
    for k in range(ROUNDS):
        bounds[k] = limit
        if k < ROUNDS - 1 and count > 0:
            bounds[k] = sample[order[min(count - 1, int(ROUND_ENDS[k] * count))]]
    return bounds


@jit_part
def sort(edges: np.ndarray, filtration: np.ndarray) -> None:
    """Sort the edges of one round in place by (value, code); they are ordered by code before.

    Two passes of radix sort over the leading bits; the few edges that agree in those are sorted by exact value.
    """
    count = edges.shape[0]
    if count <= MAX_INSERTION:
        _sort_by_value(edges, filtration)
        return
    low, high = edges[0] >> CODE_BITS, edges[0] >> CODE_BITS
    for k in range(count):
        low, high = min(low, edges[k] >> CODE_BITS), max(high, edges[k] >> CODE_BITS)
    shift = CODE_BITS
    while (high - low) >> (shift - CODE_BITS) >= np.uint64(1 << 2 * RADIX_BITS):
        shift += np.uint64(1)
    base = low << CODE_BITS
    start = np.zeros((2, 1 << RADIX_BITS), np.int64)
    mask, width = np.uint64((1 << RADIX_BITS) - 1), np.uint64(RADIX_BITS)
    for k in range(count):
        digits = (edges[k] - base) >> shift
        start[0, digits & mask] += 1
        start[1, digits >> width] += 1
    for turn in range(2):
        total = 0
        for d in range(1 << RADIX_BITS):
            total, start[turn, d] = total + start[turn, d], total
    other = np.empty(count, np.uint64)
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
                _sort_by_value(edges[begin:k], filtration)
            begin = k


@jit_part
def _sort_by_value(edges: np.ndarray, filtration: np.ndarray) -> None:
    """Stable sort by exact value."""
    count = edges.shape[0]
    values = np.empty(count)
    for k in range(count):
        i, j = ends(edges[k])
        values[k] = filtration[i, j]
    if count > MAX_INSERTION:
        order, unsorted = argsort(values), np.empty(count, np.uint64)
        for k in range(count):
            unsorted[k] = edges[k]
        for k in range(count):
            edges[k] = unsorted[order[k]]
        return
    for k in range(1, count):
        value, edge = values[k], edges[k]
        target = k
        while target > 0 and values[target - 1] > value:
            values[target], edges[target] = values[target - 1], edges[target - 1]
            target -= 1
        values[target], edges[target] = value, edge

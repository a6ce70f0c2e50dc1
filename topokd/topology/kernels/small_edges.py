"""Edges of a cloud of up to 64 points, in the order in which they enter the filtration: step 1 of `small`."""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numpy as np

from topokd.topology.kernels.bitset import ONE, ZERO
from topokd.topology.kernels.settings import compiled, jit_no_refcount

MIN_CHANNELS_FOR_ROWS = 12  # from here on, squares are summed in any order
RADIX_BITS = 11
MAX_INSERTION = 24  # edges that are sorted by insertion alone
EDGE_BITS, VERTEX_MASK = 6, 63  # edge (i, j) is i << 6 | j


@jit_no_refcount
def load_points(x64, x32, first, single, n, c, points, centred):
    """Copy the rows of a cloud to float64, as they are and relative to the first of them.

    Args:
        x64: rows of all clouds, if not ``single``.
        x32: likewise, if ``single``.
        first: first row of the cloud.
        single: whether the rows are float32.
        n: number of points.
        c: number of coordinates.
        points: (n, c) on return the rows.
        centred: (n, c) on return the rows minus the first one, if all are finite.

    Returns:
        The extent (greatest range of one coordinate); -1 if a coordinate is NaN or infinite.
    """
    for k in range(n * c):
        points[k] = np.float64(x32[first * c + k]) if single else x64[first * c + k]
    wrong = 0.0
    for k in range(n * c):
        wrong += points[k] * 0.0  # NaN for NaN and infinity
    if wrong != 0.0:
        return -1.0
    extent = 0.0
    for k in range(c):
        low = high = points[k]
        for i in range(1, n):
            low, high = min(low, points[i * c + k]), max(high, points[i * c + k])
        extent = max(extent, high - low)
    for i in range(n):
        for k in range(c):
            centred[i * c + k] = points[i * c + k] - points[k]
    return extent


@compiled(_nrt=False, fastmath={"reassoc", "contract", "nsz"})
def row_squares(x, n, c, out):
    """Squared distances of the rows of ``x`` (n, c), pair by pair."""
    for i in range(n):
        out[i * n + i] = 0.0
        for j in range(i + 1, n):
            total = 0.0
            for k in range(c):
                difference = x[i * c + k] - x[j * c + k]
                total += difference * difference
            out[i * n + j] = total


@compiled(_nrt=False, fastmath={"contract", "nsz"})
def ordered_squares(x, n, c, out):
    """`row_squares` with sums in the order of the coordinates, as in `distances.direct`.

    The loop over coordinates is the outer one: as the inner one it would be a sum, whose products LLVM may round
    before it adds them, depending on what else it compiles.
    """
    for i in range(n):
        for j in range(i, n):
            out[i * n + j] = 0.0
        for k in range(c):
            own = x[i * c + k]
            for j in range(i + 1, n):
                out[i * n + j] += (own - x[j * c + k]) * (own - x[j * c + k])


@jit_no_refcount
def fill_squares(centred, n, c, filtration):
    """Write the squared distances of the rows of ``centred`` (n, c) to ``filtration`` (n, n)."""
    if c < MIN_CHANNELS_FOR_ROWS:
        ordered_squares(centred, n, c, filtration)
    else:
        row_squares(centred, n, c, filtration)
    for i in range(n):
        for j in range(i):
            filtration[i * n + j] = filtration[j * n + i]


@jit_no_refcount
def order_edges(filtration, bits, n, limit, edges, other, start):
    """List the edges of squared length up to ``limit``, ordered by (value, i, j). Returns their number.

    Two passes of radix sort over the leading bits that differ, then insertion sort by the exact value.

    Args:
        filtration: (n, n) squared distances.
        bits: the same memory as unsigned integers: values that are not negative have the same order as their bits.
        n: number of points.
        limit: edges of a greater value are left out.
        edges: on return the codes of the edges, i << EDGE_BITS | j.
        other: scratch, as long as ``edges``.
        start: scratch, 2 << RADIX_BITS counters.
    """
    count, low, high = 0, ~ZERO, ZERO
    for i in range(n):
        for j in range(i + 1, n):
            if filtration[i * n + j] <= limit:
                edges[count] = i << EDGE_BITS | j
                low, high = min(low, bits[i * n + j]), max(high, bits[i * n + j])
                count += 1
    if count > MAX_INSERTION:
        shift = ZERO
        while (high - low) >> (shift + np.uint64(2 * RADIX_BITS)) != ZERO:
            shift += ONE
        mask = np.uint64((1 << RADIX_BITS) - 1)
        for d in range(2 << RADIX_BITS):
            start[d] = 0
        for k in range(count):
            key = (bits[(edges[k] >> EDGE_BITS) * n + (edges[k] & VERTEX_MASK)] - low) >> shift
            start[np.int64(key & mask)] += 1
            start[(1 << RADIX_BITS) + np.int64(key >> np.uint64(RADIX_BITS))] += 1
        for turn in range(2):
            total = 0
            for d in range(turn << RADIX_BITS, (turn + 1) << RADIX_BITS):
                total, start[d] = total + start[d], total
        for k in range(count):
            key = (bits[(edges[k] >> EDGE_BITS) * n + (edges[k] & VERTEX_MASK)] - low) >> shift
            place = np.int64(key & mask)
            other[start[place]] = edges[k]
            start[place] += 1
        for k in range(count):
            key = (bits[(other[k] >> EDGE_BITS) * n + (other[k] & VERTEX_MASK)] - low) >> shift
            place = (1 << RADIX_BITS) + np.int64(key >> np.uint64(RADIX_BITS))
            edges[start[place]] = other[k]
            start[place] += 1
    for k in range(1, count):
        edge = edges[k]
        value, target = filtration[(edge >> EDGE_BITS) * n + (edge & VERTEX_MASK)], k
        while target > 0:
            before = edges[target - 1]
            if filtration[(before >> EDGE_BITS) * n + (before & VERTEX_MASK)] <= value:
                break
            edges[target] = before
            target -= 1
        edges[target] = edge
    return count

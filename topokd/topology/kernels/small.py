"""Diagrams of clouds of up to 64 points: neighbourhoods, and the living classes of an edge, are a few words of bits.

The algorithm of `sweep` with plainer data. Edges enter in order; an edge with an empty lune merges components or
creates a class; each component of a lune but the first may kill one. The annotation of an edge is the set of living
classes in it, one bit each, written down when the edge enters; when a class dies, its bit is replaced by the rest of
the cycle in all edges at once. For more points that would be slower than the lazy lists of `annotations`.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numpy as np

from topokd.topology.kernels.bitset import ONE, ZERO
from topokd.topology.kernels.native import lowest_bit
from topokd.topology.kernels.settings import compiled, jit_no_refcount
from topokd.topology.kernels.values import ESSENTIAL_0, ESSENTIAL_1, FINITE_0, FINITE_1, critical

MAX_POINTS = 64
WORDS = 16  # of living classes: 31 * 31 = 961 at most, in the complete bipartite graph on 32 + 32 points
MIN_CHANNELS_FOR_ROWS = 12  # from here on, squares are summed in any order
RADIX_BITS = 11
MAX_INSERTION = 24  # edges that are sorted by insertion alone
EDGE_BITS, VERTEX_MASK = 6, 63  # edge (i, j) is i << 6 | j
NOT_FINITE, OUT_OF_RANGE = -1, -2  # results of `diagrams` that are no success


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
    """`row_squares` with sums in the order of the coordinates, as in `distances.direct`."""
    for i in range(n):
        out[i * n + i] = 0.0
        for j in range(i + 1, n):
            total = 0.0
            for k in range(c):
                difference = x[i * c + k] - x[j * c + k]
                total += difference * difference
            out[i * n + j] = total


@jit_no_refcount
def load(x64, x32, first, single, n, c, points, centred):
    """Copy the rows from ``first`` on to ``points``, and relative to the first one. Returns the extent, -1 for NaN."""
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


@jit_no_refcount
def squares(centred, n, c, filtration):
    """Squared distances of rows (n, c), symmetric."""
    if c < MIN_CHANNELS_FOR_ROWS:
        ordered_squares(centred, n, c, filtration)
    else:
        row_squares(centred, n, c, filtration)
    for i in range(n):
        for j in range(i):
            filtration[i * n + j] = filtration[j * n + i]


@jit_no_refcount
def ordered(filtration, bits, n, limit, edges, other, start):
    """List the edges up to ``limit`` by (value, i, j). Returns their number.

    Two passes of radix sort over the leading bits that differ, then insertion by the exact value. ``bits`` are the
    values as whole numbers, which are in the same order.
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


@jit_no_refcount
def component_of(v, lune, adjacent):
    """The vertices of ``lune`` that are connected to v within it."""
    component, front = ZERO, ONE << np.uint64(v)
    while front != ZERO:
        component |= front
        reached = ZERO
        while front != ZERO:
            reached |= adjacent[lowest_bit(front)]
            front &= front - ONE
        front = reached & lune & ~component
    return component


@jit_no_refcount
def first_members(i, j, lune, adjacent, rank, n, members, entered):
    """Of each component of the lune the vertex that entered first; components in that order. Returns their number."""
    count = 0
    while lune != ZERO:
        component = component_of(lowest_bit(lune), lune, adjacent)
        lune &= ~component
        first, first_rank = np.int64(-1), np.int64(n * n)
        while component != ZERO:
            v = lowest_bit(component)
            component &= component - ONE
            later = max(rank[i * n + v], rank[j * n + v])
            if later < first_rank:
                first, first_rank = v, later
        k = count
        while k > 0 and entered[k - 1] > first_rank:
            members[k], entered[k] = members[k - 1], entered[k - 1]
            k -= 1
        members[k], entered[k] = first, first_rank
        count += 1
    return count


@jit_no_refcount
def youngest(total, words, class_at):
    """The slot of the youngest class in a sum, -1 for an empty sum."""
    found, slot = np.int64(-1), np.int64(-1)
    for w in range(words):
        left = total[w]
        while left != ZERO:
            bit = lowest_bit(left)
            left &= left - ONE
            if class_at[64 * w + bit] > found:
                found, slot = class_at[64 * w + bit], 64 * w + bit
    return slot


@jit_no_refcount
def replace(slot, total, words, annotation, count, born, end, chosen):
    """Add ``total`` to the annotations from edge ``born`` on, up to ``end``, that contain the class of ``slot``."""
    word, bit = (slot >> 6) * count, np.uint64(slot & 63)
    for f in range(born, end):
        chosen[f] = ZERO - (annotation[word + f] >> bit & ONE)
    for w in range(words):
        summand, first = total[w], w * count
        if summand != ZERO:
            for f in range(born, end):
                annotation[first + f] ^= summand & chosen[f]


@jit_no_refcount
def enter(edges, count, n, with_cycles, table, words_of, counts, simplices):
    """Let the edges enter; fill in the number and the vertices of all pairs, see `values.critical`.

    ``table`` and ``words_of`` are scratch, whole numbers and words of bits: see `topokd.topology.native.Workspace`.
    """
    rank, parent, members, entered, class_at, birth, death, dead = (
        table[0], table[1], table[2], table[3], table[4], table[5], table[6], table[7],
    )  # fmt: skip
    adjacent, annotation, total, free, chosen = words_of[1], words_of[2], words_of[3], words_of[4], words_of[5]
    for v in range(n):
        parent[v], adjacent[v] = v, ZERO
    words = births = deaths = merges = 0
    for e in range(count):
        i, j = edges[e] >> EDGE_BITS, edges[e] & VERTEX_MASK
        rank[i * n + j] = rank[j * n + i] = e
        lune = adjacent[i] & adjacent[j]
        for w in range(words):
            annotation[w * count + e] = ZERO
        adjacent[i] |= ONE << np.uint64(j)
        adjacent[j] |= ONE << np.uint64(i)
        if lune == ZERO:
            a, b = i, j
            while parent[a] != a:
                a = parent[a]
            while parent[b] != b:
                b = parent[b]
            if a != b:  # the elder rule: all vertices are born at 0, so age is the index
                parent[max(a, b)] = min(a, b)
                simplices[0][merges] = max(a, b)
                simplices[1][2 * merges], simplices[1][2 * merges + 1] = i, j
                merges += 1
            elif with_cycles:
                w = 0
                while w < words and free[w] == ZERO:
                    w += 1
                if w == words:
                    free[w], words = ~ZERO, words + 1
                    for f in range(e + 1):
                        annotation[w * count + f] = ZERO
                slot = 64 * w + lowest_bit(free[w])
                annotation[w * count + e] = free[w] & (~free[w] + ONE)
                free[w] &= free[w] - ONE
                class_at[slot], birth[births], death[births] = births, e, -1
                births += 1
        elif births > deaths:
            hub = lowest_bit(lune)
            if component_of(hub, lune, adjacent) != lune:
                cells = first_members(i, j, lune, adjacent, rank, n, members, entered)
                hub = members[0]
                of_i, of_j = rank[i * n + hub], rank[j * n + hub]
                for k in range(1, cells):
                    p, q = rank[i * n + members[k]], rank[j * n + members[k]]
                    for w in range(words):
                        first = w * count
                        total[w] = (
                            annotation[first + of_i] ^ annotation[first + of_j]
                            ^ annotation[first + p] ^ annotation[first + q]
                        )  # fmt: skip
                    slot = youngest(total, words, class_at)
                    if slot >= 0:
                        number = class_at[slot]
                        replace(slot, total, words, annotation, count, birth[number], e, chosen)
                        free[slot >> 6] |= ONE << np.uint64(slot & 63)
                        death[number], dead[deaths] = e << EDGE_BITS | members[k], number
                        deaths += 1
            of_i, of_j = rank[i * n + hub], rank[j * n + hub]
            for w in range(words):
                annotation[w * count + e] = annotation[w * count + of_i] ^ annotation[w * count + of_j]
    counts[FINITE_0], counts[FINITE_1], counts[ESSENTIAL_0], counts[ESSENTIAL_1] = merges, deaths, 0, 0
    for k in range(deaths):
        number = dead[k]
        edge, by = edges[birth[number]], death[number]
        simplices[3][2 * k], simplices[3][2 * k + 1] = edge >> EDGE_BITS, edge & VERTEX_MASK
        i, j, v = edges[by >> EDGE_BITS] >> EDGE_BITS, edges[by >> EDGE_BITS] & VERTEX_MASK, by & VERTEX_MASK
        simplices[4][3 * k], simplices[4][3 * k + 2] = min(i, v), max(j, v)
        simplices[4][3 * k + 1] = i + j + v - min(i, v) - max(j, v)
    for v in range(n):
        if parent[v] == v:
            simplices[2][counts[ESSENTIAL_0]] = v
            counts[ESSENTIAL_0] += 1
    for number in range(births):
        if death[number] < 0:
            k, edge = counts[ESSENTIAL_1], edges[birth[number]]
            simplices[5][2 * k], simplices[5][2 * k + 1] = edge >> EDGE_BITS, edge & VERTEX_MASK
            counts[ESSENTIAL_1] += 1


@jit_no_refcount
def diagram_of(x64, x32, first, single, n, c, limit, tolerance, unit, with_cycles, least, most, floats, table, words_of,
               counts, simplices):  # fmt: skip
    """Pairs, values and critical edges of the rows from ``first`` on; 0, or why not. See `diagrams`."""
    filtration, points, centred = floats[0], floats[1], floats[2]
    extent = load(x64, x32, first, single, n, c, points, centred)
    if extent < 0.0:
        return NOT_FINITE
    if extent > most or (extent < least and extent != 0.0):
        return OUT_OF_RANGE
    squares(centred, n, c, filtration)
    radius = np.inf
    for i in range(n):
        farthest = 0.0
        for j in range(n):
            farthest = max(farthest, filtration[i * n + j])
        radius = min(radius, farthest)
    edges = table[8]
    count = ordered(filtration, words_of[0], n, min(limit, radius), edges, table[9], table[10])
    enter(edges, count, n, with_cycles, table, words_of, counts, simplices)
    counted = extent if unit < 0.0 else unit
    eps = 1e-12 * counted
    if eps == 0.0:
        eps = 1e-12
    critical(
        points, c, single, tolerance * counted, eps, counts, simplices, floats[3], floats[4], simplices[6],
        simplices[7], floats[5],
    )  # fmt: skip
    return 0


@jit_no_refcount
def packed(counts, simplices, floats, whole, whole_at, values64, values32, single, value_at, factors, factor_at):
    """Append what one cloud has to the lists of results: simplices and edges, values, factors."""
    sizes = (
        counts[0], 2 * counts[0], counts[2], 2 * counts[1], 3 * counts[1], 2 * counts[3], 2 * counts[4], counts[4],
    )  # fmt: skip
    for part in range(8):
        for k in range(sizes[part]):
            whole[whole_at] = simplices[part][k]
            whole_at += 1
    for k in range(2 * counts[0] + 2 * counts[1] + counts[2] + counts[3]):
        if single:
            values32[value_at + k] = np.float32(floats[4][k])
        else:
            values64[value_at + k] = floats[4][k]
    for k in range(counts[4]):
        factors[factor_at + k] = floats[5][k]


def diagrams(
    x64, x32, single, clouds, c, limit, tolerance, unit, with_cycles, least, most, room, ends, counts, whole, values64,
    values32, factors, floats, table, words_of, simplices,
):  # fmt: skip
    """Diagrams of several clouds, until the lists are full. Returns the number of clouds done.

    Args:
        x64: rows, if not ``single``.
        x32: rows, if ``single``.
        single: whether the rows are float32.
        clouds: number of clouds.
        c: number of coordinates.
        limit: squared length of the longest edge that enters.
        tolerance: of ties, see `values.critical`.
        unit: what it counts; negative for the extent of the cloud.
        with_cycles: whether degree 1 is computed.
        least: smallest extent whose squares are safe.
        most: greatest one.
        room: entries of ``whole``; of the other lists there are half as many.
        ends: rows of cloud k are those from entry k to entry k + 1.
        counts: on return five numbers per cloud, see `values`; the first is negative where a cloud needs another path.
        whole: on return the simplices of all clouds, with the ends and the owners of critical edges.
        values64: on return the values of all clouds, if not ``single``.
        values32: likewise, if ``single``.
        factors: on return the factors of critical edges.
        floats: scratch, see `topokd.topology.native.Workspace`; so are ``table``, ``words_of`` and ``simplices``.
    """
    whole_at = value_at = factor_at = 0
    for cloud in range(clouds):
        n = ends[cloud + 1] - ends[cloud]
        if room - whole_at < 16 * n * n:
            return cloud
        found = simplices[8]
        status = diagram_of(
            x64, x32, ends[cloud], single, n, c, limit, tolerance, unit, with_cycles, least, most, floats, table,
            words_of, found, simplices,
        )  # fmt: skip
        for k in range(5):
            counts[5 * cloud + k] = status if status < 0 else found[k]
        if status == 0:
            packed(found, simplices, floats, whole, whole_at, values64, values32, single, value_at, factors, factor_at)
            whole_at += 3 * found[0] + found[2] + 5 * found[1] + 2 * found[3] + 3 * found[4]
            value_at += 2 * found[0] + 2 * found[1] + found[2] + found[3]
            factor_at += found[4]
    return clouds


def squared_distances(x, n, c, out):
    """Squared distances (n, n) of rows (n, c), as `diagrams` computes them."""
    squares(x, n, c, out)
    return 0

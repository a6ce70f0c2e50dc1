"""Cocycles, killing triangles and short cycles of all classes of degree 1, by persistent cohomology of every triangle.

The plain algorithm (de Silva, Morozov, Vejdemo-Johansson, 2011), which shares no code with the faster sweep. Every edge
has the set of living classes whose cocycle contains it, as bits. An edge takes the sum over the two other sides of its
oldest cofacet; a cofacet whose three sides do not sum to zero kills the youngest class of the sum, and its cocycle is
added to the others'. Cubic in the number of points, with a small constant, so it only runs on request.
"""

from __future__ import annotations

import numpy as np

from topokd.topology.kernels.bitset import ONE, ZERO, lowest_bit
from topokd.topology.kernels.settings import jit


@jit
def replay(
    ranks: np.ndarray, edges: np.ndarray, lengths: np.ndarray, with_cocycles: bool, with_cycles: bool
) -> tuple[np.ndarray, ...]:
    """Let the edges enter one by one, each with all its cofacets.

    Args:
        ranks: (n, n) number of each edge from 1; 0 on the diagonal, more than m for edges that do not enter.
        edges: (m, 2) in order.
        lengths: (m,) for the choice of short cycles.
        with_cocycles: whether cocycles are recorded.
        with_cycles: whether cycles are.

    Returns:
        witness (m,), third vertex of a cofacet with that longest edge (of an edge that kills, the oldest), -1 for none;
        per class of degree 1, in order of birth: birth (k,) number of its edge from 0, death (k, 3) triangle or -1;
        cocycles as edge numbers: (k, 2) first and last in the concatenation, which follows; cycles alike, the creating
        edge first.
    """
    n, m = ranks.shape[0], edges.shape[0]
    bits: np.ndarray = np.zeros((1, m), np.uint64)  # word by edge: which living classes' cocycles contain it
    class_at: np.ndarray = np.full(64, -1, np.int64)  # the class of each bit
    bit_of = np.empty(64, np.int64)
    birth = np.empty(64, np.int64)
    death: np.ndarray = np.full((64, 3), -1, np.int64)
    witness = np.full(m, -1, np.int32)
    parent = np.arange(n)
    births, living = 0, 0
    cocycle, cocycle_end = np.empty(1024, np.int32), 0
    cycle, cycle_end = np.empty(1024, np.int32), 0
    final, final_end = np.empty(1024, np.int32), 0
    cocycle_at: np.ndarray = np.zeros((64, 2), np.int64)
    cycle_at: np.ndarray = np.zeros((64, 2), np.int64)
    final_at: np.ndarray = np.zeros((64, 2), np.int64)
    adjacent = np.zeros((n, (n + 63) >> 6), np.uint64)  # by earlier edges, as bits
    lune = np.empty(adjacent.shape[1], np.uint64)
    odd = np.zeros(m if with_cycles else 1, np.bool_)
    for e in range(m):
        a, b, rank = edges[e, 0], edges[e, 1], e + 1
        hub = np.int64(-1)
        for w in range(adjacent.shape[1]):
            lune[w] = adjacent[a, w] & adjacent[b, w]
            if hub < 0 and lune[w] != ZERO:
                hub = 64 * w + lowest_bit(lune[w])
        adjacent[a, b >> 6] |= ONE << np.uint64(b & 63)
        adjacent[b, a >> 6] |= ONE << np.uint64(a & 63)
        witness[e] = hub
        if hub < 0:
            p, q = _root(parent, a), _root(parent, b)
            if p != q:
                parent[max(p, q)] = min(p, q)
                continue
            if births == birth.shape[0]:
                birth, bit_of = _twice(birth), _twice(bit_of)
                death = np.concatenate((death, np.full_like(death, -1)))
                cocycle_at = np.concatenate((cocycle_at, np.zeros_like(cocycle_at)))
                cycle_at = np.concatenate((cycle_at, np.zeros_like(cycle_at)))
                final_at = np.concatenate((final_at, np.zeros_like(final_at)))
            free = 0
            while free < class_at.shape[0] and class_at[free] >= 0:
                free += 1
            if free == class_at.shape[0]:
                class_at = np.concatenate((class_at, np.full_like(class_at, -1)))
                bits = np.concatenate((bits, np.zeros_like(bits)))
            class_at[free], bit_of[births], birth[births] = births, free, e
            bits[free >> 6, e] |= ONE << np.uint64(free & 63)
            if with_cycles:
                path = _shortest_path(ranks, edges, lengths, a, b, rank)
                while cycle_end + path.shape[0] + 1 > cycle.shape[0]:
                    cycle = _twice(cycle)
                cycle_at[births, 0] = cycle_end
                cycle[cycle_end] = e
                cycle[cycle_end + 1 : cycle_end + 1 + path.shape[0]] = path
                cycle_end += 1 + path.shape[0]
                cycle_at[births, 1] = cycle_end
            births += 1
            living += 1
            continue
        if living == 0:
            continue
        words = bits.shape[0]
        _add_sides(bits, ranks, e, a, b, hub)
        if not _any_odd(bits, ranks, adjacent, lune, e, a, b, hub):
            continue
        for w in range(words):
            bits[w, e] = ZERO
        hub = _oldest(ranks, lune, bits, e, a, b, False)
        witness[e] = hub
        _add_sides(bits, ranks, e, a, b, hub)
        while True:
            oldest = _oldest(ranks, lune, bits, e, a, b, True)
            if oldest < 0:
                break
            total = bits[:, e] ^ bits[:, ranks[a, oldest] - 1] ^ bits[:, ranks[b, oldest] - 1]
            dead = _youngest(total, class_at)
            bit = bit_of[dead]
            word, mask = bit >> 6, ONE << np.uint64(bit & 63)
            death[dead, 0], death[dead, 1], death[dead, 2] = a, b, oldest
            class_at[bit] = -1
            living -= 1
            start = cocycle_end
            for f in range(birth[dead], e + 1):
                if bits[word, f] & mask != ZERO:
                    if with_cocycles:
                        if cocycle_end == cocycle.shape[0]:
                            cocycle = _twice(cocycle)
                        cocycle[cocycle_end] = f
                        cocycle_end += 1
                    for w in range(words):
                        bits[w, f] ^= total[w]
            cocycle_at[dead, 0], cocycle_at[dead, 1] = start, cocycle_end
            if with_cycles:  # the shortest cycle may also wind around older classes, which live on: take those off
                final_at[dead, 0] = final_end
                length = _closed(bits, class_at, cycle, cycle_at, dead, odd)
                for f in range(birth[dead], -1, -1):
                    if length > 0 and odd[f]:
                        odd[f] = False
                        length -= 1
                        if final_end == final.shape[0]:
                            final = _twice(final)
                        final[final_end] = f
                        final_end += 1
                    if length == 0:
                        break
                final_at[dead, 1] = final_end
    for number in range(births):
        if death[number, 0] >= 0:
            continue
        word, mask = bit_of[number] >> 6, ONE << np.uint64(bit_of[number] & 63)
        start = cocycle_end
        for f in range(birth[number], m if with_cocycles else 0):
            if bits[word, f] & mask != ZERO:
                if cocycle_end == cocycle.shape[0]:
                    cocycle = _twice(cocycle)
                cocycle[cocycle_end] = f
                cocycle_end += 1
        cocycle_at[number, 0], cocycle_at[number, 1] = start, cocycle_end
        if with_cycles:
            size = cycle_at[number, 1] - cycle_at[number, 0]
            while final_end + size > final.shape[0]:
                final = _twice(final)
            final[final_end : final_end + size] = cycle[cycle_at[number, 0] : cycle_at[number, 1]]
            final_at[number, 0], final_at[number, 1] = final_end, final_end + size
            final_end += size
    return (
        witness, birth[:births], death[:births],
        cocycle_at[:births], cocycle[:cocycle_end], final_at[:births], final[:final_end],
    )  # fmt: skip


@jit
def _add_sides(bits: np.ndarray, ranks: np.ndarray, e: int, a: int, b: int, v: int) -> None:
    first, second = ranks[a, v] - 1, ranks[b, v] - 1
    for w in range(bits.shape[0]):
        bits[w, e] = bits[w, first] ^ bits[w, second]


@jit
def _is_odd(bits: np.ndarray, ranks: np.ndarray, e: int, a: int, b: int, v: int) -> bool:
    """Whether some cocycle has an odd number of the edges of the triangle (a, b, v)."""
    first, second = ranks[a, v] - 1, ranks[b, v] - 1
    odd = ZERO
    for w in range(bits.shape[0]):
        odd |= bits[w, e] ^ bits[w, first] ^ bits[w, second]
    return odd != ZERO


@jit
def _any_odd(
    bits: np.ndarray, ranks: np.ndarray, adjacent: np.ndarray, lune: np.ndarray, e: int, a: int, b: int, hub: int
) -> bool:
    """Whether some cofacet of edge e is odd; none is with a vertex joined to the hub, as older triangles are even."""
    for w in range(lune.shape[0]):
        left = lune[w] & ~adjacent[hub, w]
        while left != ZERO:
            if _is_odd(bits, ranks, e, a, b, 64 * w + lowest_bit(left)):
                return True
            left &= left - ONE
    return False


@jit
def _oldest(ranks: np.ndarray, lune: np.ndarray, bits: np.ndarray, e: int, a: int, b: int, odd: bool) -> int:
    """Third vertex of the oldest cofacet of edge e, or of the oldest odd one; -1 for none."""
    oldest, oldest_high, oldest_low = -1, e + 1, e + 1
    for w in range(lune.shape[0]):
        left = lune[w]
        while left != ZERO:
            v = 64 * w + lowest_bit(left)
            left &= left - ONE
            high, low = max(ranks[a, v], ranks[b, v]), min(ranks[a, v], ranks[b, v])
            older = high < oldest_high or (high == oldest_high and low < oldest_low)
            if older and (not odd or _is_odd(bits, ranks, e, a, b, v)):
                oldest, oldest_high, oldest_low = v, high, low
    return oldest


@jit
def _root(parent: np.ndarray, v: int) -> int:
    while parent[v] != v:
        parent[v] = parent[parent[v]]
        v = parent[v]
    return v


@jit
def _twice(array: np.ndarray) -> np.ndarray:
    return np.concatenate((array, np.empty_like(array)))


@jit
def _youngest(total: np.ndarray, class_at: np.ndarray) -> int:
    """The youngest class in a sum, -1 for none."""
    youngest: int | np.int64 = np.int64(-1)
    for w in range(total.shape[0]):
        left = total[w]
        bit = 64 * w
        while left != ZERO:
            if left & ONE != ZERO:
                youngest = max(youngest, class_at[bit])
            left >>= ONE
            bit += 1
    return int(youngest)


@jit
def _closed(
    bits: np.ndarray,
    class_at: np.ndarray,
    cycle: np.ndarray,
    cycle_at: np.ndarray,
    dead: int,
    odd: np.ndarray,
) -> int:
    """Mark in ``odd`` the edges of a cycle of ``dead`` that is a boundary by now; returns how many."""
    total = np.zeros(bits.shape[0], np.uint64)
    length, number = 0, np.int64(dead)
    while number >= 0:
        for k in range(cycle_at[number, 0], cycle_at[number, 1]):
            f = cycle[k]
            odd[f] = not odd[f]
            length += 1 if odd[f] else -1
            for w in range(total.shape[0]):
                total[w] ^= bits[w, f]
        number = _youngest(total, class_at)
    return length


@jit
def _shortest_path(
    ranks: np.ndarray, edges: np.ndarray, lengths: np.ndarray, source: int, target: int, rank: int
) -> np.ndarray:
    """Numbers of the edges of the shortest path between two vertices through edges before ``rank`` (Dijkstra)."""
    n = ranks.shape[0]
    distance, before, done = np.full(n, np.inf), np.full(n, -1), np.zeros(n, np.bool_)
    distance[source], v = 0.0, source
    while not done[target]:
        done[v] = True
        nearest = -1
        for u in range(n):
            if done[u]:
                continue
            if 0 < ranks[v, u] < rank:
                through = distance[v] + lengths[ranks[v, u] - 1]
                if through < distance[u]:
                    distance[u], before[u] = through, v
            if distance[u] < np.inf and (nearest < 0 or distance[u] < distance[nearest]):
                nearest = u
        v = nearest
    path = np.empty(n, np.int32)
    count, v = 0, target
    while v != source:
        path[count] = ranks[v, before[v]] - 1
        count += 1
        v = before[v]
    return path[:count]

"""Cocycles, killing triangles and short cycles of all classes of degree 1, by persistent cohomology of every triangle.

The plain algorithm (de Silva, Morozov, Vejdemo-Johansson, 2011), which shares no code with the faster sweep. Every edge
has the set of living classes whose cocycle contains it, as bits. An edge takes the sum over the two other sides of its
oldest cofacet; a cofacet whose three sides do not sum to zero kills the youngest class of the sum, and its cocycle is
added to the others'. Cubic in the number of points, with a small constant, so it only runs on request.
"""

from __future__ import annotations

import numpy as np

from topokd.topology.kernels.bitset import ONE, ZERO, lowest_bit
from topokd.topology.kernels.cocycle_state import (
    Classes,
    append,
    bounding_cycle,
    cocycle_of,
    create,
    kill,
    no_chains,
    youngest,
)
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
    classes = Classes(
        np.zeros((1, m), np.uint64), np.full(64, -1, np.int64), np.empty(m, np.int64), np.empty(m, np.int64),
        np.empty((m, 3), np.int64), np.zeros(2, np.int64),
    )  # fmt: skip
    cocycles, cycles, at_birth = no_chains(m), no_chains(m), no_chains(m)  # at_birth: shortest cycles
    witness, parent = np.empty(m, np.int32), np.arange(n)
    adjacent = np.zeros((n, (n + 63) >> 6), np.uint64)  # by earlier edges, as bits
    lune = np.empty(adjacent.shape[1], np.uint64)
    odd = np.zeros(m if with_cycles else 1, np.bool_)
    for e in range(m):
        a, b = edges[e, 0], edges[e, 1]
        hub = _enter(adjacent, lune, a, b)
        witness[e] = hub
        if hub < 0:
            if not _merge(parent, a, b):
                classes = create(classes, e)
                if with_cycles:
                    cycle = _shortest_cycle(ranks, edges, lengths, e)
                    at_birth = append(at_birth, classes.counts[0] - 1, cycle)
            continue
        if classes.counts[1] == 0:
            continue
        bits = classes.bits
        _add_sides(bits, ranks, e, a, b, hub)
        if not _any_odd(bits, ranks, adjacent, lune, e, a, b, hub):
            continue
        bits[:, e] = ZERO
        witness[e] = _oldest(ranks, lune, bits, e, a, b, False)
        _add_sides(bits, ranks, e, a, b, witness[e])
        while True:
            oldest = _oldest(ranks, lune, bits, e, a, b, True)
            if oldest < 0:
                break
            total = bits[:, e] ^ bits[:, ranks[a, oldest] - 1] ^ bits[:, ranks[b, oldest] - 1]
            dead = youngest(total, classes.class_at)
            classes.death[dead, 0], classes.death[dead, 1], classes.death[dead, 2] = a, b, oldest
            if with_cocycles:
                cocycles = append(cocycles, dead, cocycle_of(classes, dead, e + 1))
            kill(classes, dead, total, e)
            if with_cycles:
                cycles = append(cycles, dead, bounding_cycle(classes, at_birth, dead, odd))
    for alive in range(classes.counts[0]):
        if classes.death[alive, 0] < 0:
            if with_cocycles:
                cocycles = append(cocycles, alive, cocycle_of(classes, alive, m))
            if with_cycles:
                cycles = append(cycles, alive, at_birth.edges[at_birth.spans[alive, 0] : at_birth.spans[alive, 1]])
    births = classes.counts[0]
    cocycles.spans[: 0 if with_cocycles else births] = 0
    cycles.spans[: 0 if with_cycles else births] = 0
    return (
        witness, classes.birth[:births], classes.death[:births], cocycles.spans[:births],
        cocycles.edges[: cocycles.size[0]], cycles.spans[:births], cycles.edges[: cycles.size[0]],
    )  # fmt: skip


@jit
def _enter(adjacent: np.ndarray, lune: np.ndarray, a: int, b: int) -> int:
    """Fill the lune of an edge, its common neighbours by earlier edges, and join its ends; the lowest, -1 for none."""
    hub = -1
    for w in range(adjacent.shape[1]):
        lune[w] = adjacent[a, w] & adjacent[b, w]
        if hub < 0 and lune[w] != ZERO:
            hub = 64 * w + lowest_bit(lune[w])
    adjacent[a, b >> 6] |= ONE << np.uint64(b & 63)
    adjacent[b, a >> 6] |= ONE << np.uint64(a & 63)
    return hub


@jit
def _merge(parent: np.ndarray, a: int, b: int) -> bool:
    """Merge the components of two vertices; whether they were two."""
    p, q = _root(parent, a), _root(parent, b)
    parent[max(p, q)] = min(p, q)
    return bool(p != q)


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
def _shortest_cycle(ranks: np.ndarray, edges: np.ndarray, lengths: np.ndarray, e: int) -> np.ndarray:
    """Numbers of edge e and of the edges of the shortest path between its ends through earlier edges (Dijkstra)."""
    n, source, target = ranks.shape[0], edges[e, 0], edges[e, 1]
    distance, before, done = np.full(n, np.inf), np.full(n, -1), np.zeros(n, np.bool_)
    distance[source], v = 0.0, source
    while not done[target]:
        done[v] = True
        nearest = -1
        for u in range(n):
            if done[u]:
                continue
            if 0 < ranks[v, u] <= e:
                through = distance[v] + lengths[ranks[v, u] - 1]
                if through < distance[u]:
                    distance[u], before[u] = through, v
            if distance[u] < np.inf and (nearest < 0 or distance[u] < distance[nearest]):
                nearest = u
        v = nearest
    cycle = np.empty(n, np.int64)
    cycle[0] = e
    count, v = 1, target
    while v != source:
        cycle[count] = ranks[v, before[v]] - 1
        count += 1
        v = before[v]
    return cycle[:count]

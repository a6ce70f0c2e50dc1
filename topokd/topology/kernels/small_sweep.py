"""The sweep over the ordered edges of a cloud of up to 64 points: step 2 of `small`.

The algorithm of `topokd.topology.kernels.sweep` with simpler data. An edge with an empty lune merges components or
creates a class; each component of a lune except the first may kill one. The annotation of an edge is the set of living
classes in it, one bit each, and is computed when the edge enters. When a class dies, its bit is replaced by the rest of
the cycle in all edges at once; for more points that would be slower than the lazy lists of `annotations`.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numpy as np

from topokd.topology.kernels.bitset import ONE, ZERO
from topokd.topology.kernels.native import lowest_bit
from topokd.topology.kernels.settings import jit_no_refcount
from topokd.topology.kernels.small_edges import EDGE_BITS, VERTEX_MASK
from topokd.topology.kernels.values import ESSENTIAL_0, ESSENTIAL_1, FINITE_0, FINITE_1


@jit_no_refcount
def root(parent, v):
    """The oldest vertex of the component of v."""
    while parent[v] != v:
        v = parent[v]
    return v


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
    """The vertex of each component of a lune that entered it first, in that order.

    Args:
        i: one end of the edge.
        j: the other end.
        lune: bitset of the vertices of its lune.
        adjacent: bitset of the neighbours of each vertex.
        rank: (n, n) place of each edge in the filtration order.
        n: number of points.
        members: on return the vertices.
        entered: on return the place of the later one of the two edges from each of them to i and j.

    Returns:
        The number of components.
    """
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
    """The slot of the youngest class in the sum ``total``; -1 if the sum is zero."""
    youngest_class, slot = np.int64(-1), np.int64(-1)
    for w in range(words):
        left = total[w]
        while left != ZERO:
            bit = lowest_bit(left)
            left &= left - ONE
            if class_at[64 * w + bit] > youngest_class:
                youngest_class, slot = class_at[64 * w + bit], 64 * w + bit
    return slot


@jit_no_refcount
def substitute(slot, total, words, annotation, count, born, end, chosen):
    """Add a sum to the annotations that contain the class that dies; the class cancels.

    Args:
        slot: bit of the class.
        total: annotation of the cycle that becomes a boundary, which contains the class.
        words: words of an annotation in use.
        annotation: (words, count) annotations of all edges; changed.
        count: number of edges.
        born: the edge that created the class, the first one to be changed.
        end: the first edge that is not changed.
        chosen: scratch, one word per edge.
    """
    word, bit = (slot >> 6) * count, np.uint64(slot & 63)
    for f in range(born, end):
        chosen[f] = ZERO - (annotation[word + f] >> bit & ONE)
    for w in range(words):
        summand, first = total[w], w * count
        if summand != ZERO:
            for f in range(born, end):
                annotation[first + f] ^= summand & chosen[f]


@jit_no_refcount
def write_simplices(edges, n, parent, birth, death, dead, births, deaths, merges, counts, simplices):
    """Write the critical simplices of degree 1 and of the essential classes; the merges are there already.

    Args:
        edges: codes, in order.
        n: number of points.
        parent: the root of each vertex, or a vertex nearer to it.
        birth: creating edge of each class.
        death: killing edge of each class << EDGE_BITS | the third vertex of its triangle; -1 while it lives.
        dead: the classes that died, in order.
        births: number of classes.
        deaths: number of dead ones.
        merges: number of pairs of degree 0.
        counts: on return, see `sweep`.
        simplices: on return, likewise.
    """
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
def sweep(edges, count, n, with_cycles, table, words_of, counts, simplices):
    """Let the edges enter; fill in the number and the vertices of all pairs.

    Args:
        edges: codes, in order.
        count: number of edges.
        n: number of points.
        with_cycles: whether degree 1 is computed.
        table: scratch, integers, see `topokd.topology.native.Workspace`.
        words_of: scratch, words of 64 bits, likewise.
        counts: on return the numbers of pairs and of essential classes, as in `values.critical`.
        simplices: on return their vertices, likewise.
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
            a, b = root(parent, i), root(parent, j)
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
                        substitute(slot, total, words, annotation, count, birth[number], e, chosen)
                        free[slot >> 6] |= ONE << np.uint64(slot & 63)
                        death[number], dead[deaths] = e << EDGE_BITS | members[k], number
                        deaths += 1
            of_i, of_j = rank[i * n + hub], rank[j * n + hub]
            for w in range(words):
                annotation[w * count + e] = annotation[w * count + of_i] ^ annotation[w * count + of_j]
    write_simplices(edges, n, parent, birth, death, dead, births, deaths, merges, counts, simplices)

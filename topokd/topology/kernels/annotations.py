"""Annotations: the data structure of the sweep, persistent cohomology of degree 1 over Z/2.

An annotation assigns to each edge a set of classes such that the sum over the edges of a cycle is the homology class of
that cycle (Busaryev et al., 2012; Dey, Fan, Wang, 2014). Class k is the cycle that the k-th creating edge closed. Two
choices keep it small:

- Lazy evaluation. An edge whose lune is not empty enters together with a cofacet (p, q, v), so its annotation is the
  sum of those of (p, v) and (q, v). Only v is stored; `evaluate_edge` computes the sum when it is needed.
- Lazy deletion. A class that dies equals a sum of older classes. This sum is stored once, as the `substitute` of the
  class; `update` rewrites an annotation in living classes when it is next read.

Functions return OUT_OF_SPACE when a buffer is full and leave the state valid: call `state.grow` and retry.
"""

from __future__ import annotations

import numpy as np

from topokd.topology.kernels.bitset import ONE, ZERO, lowest_bit
from topokd.topology.kernels.settings import jit_no_refcount
from topokd.topology.kernels.state import OUT_OF_SPACE, Annotations, Graph, edge_index

# Substitutes are brought up to date after this many deaths, and another sixteenth of all deaths so far.
MIN_DEATHS_TO_REFRESH = 64
REFRESH_FRACTION = 16

# -- classes -------------------------------------------------------------------------------------------------------


@jit_no_refcount
def create_class(annotations: Annotations, i: int, j: int) -> int:
    """Create the class of edge (i, j). Returns the annotation that holds it alone, or OUT_OF_SPACE."""
    counters = annotations.counters[0]
    number, made = counters.births, counters.annotations
    if (
        number == annotations.substitute.shape[0]
        or counters.pool_used == annotations.pool.shape[0]
        or made == annotations.start.shape[0]
    ):
        return OUT_OF_SPACE
    annotations.pool[counters.pool_used] = number
    annotations.start[made], annotations.length[made] = counters.pool_used, 1
    annotations.deaths_seen[made] = counters.deaths
    annotations.birth_edge[number, 0], annotations.birth_edge[number, 1] = i, j
    for corner in range(3):
        annotations.death_triangle[number, corner] = -1
    annotations.death_order[number] = -1
    counters.pool_used += 1
    counters.annotations += 1
    counters.births += 1
    return made


@jit_no_refcount
def kill_class(annotations: Annotations, boundary: int, i: int, j: int, v: int) -> None:
    """Kill the youngest class in the annotation `boundary` of the boundary of triangle (i, j, v).

    From now on it equals the rest of that annotation, which must be written in living classes (see `add_four`).
    """
    counters = annotations.counters[0]
    annotations.length[boundary] -= 1
    youngest = annotations.pool[annotations.start[boundary] + annotations.length[boundary]]
    annotations.death_triangle[youngest, 0] = i
    annotations.death_triangle[youngest, 1] = j
    annotations.death_triangle[youngest, 2] = v
    annotations.death_order[youngest] = counters.deaths
    counters.deaths += 1
    annotations.deaths_seen[boundary] = counters.deaths
    annotations.substitute[youngest] = boundary


@jit_no_refcount
def refresh_substitutes(annotations: Annotations) -> int:
    """Rewrite the substitutes in living classes when enough classes have died, so that chains of dead ones stay short.

    Returns 0 or OUT_OF_SPACE.
    """
    counters = annotations.counters[0]
    if counters.deaths - counters.deaths_at_refresh < MIN_DEATHS_TO_REFRESH + counters.deaths // REFRESH_FRACTION:
        return 0
    for number in range(counters.births):  # by age: a substitute holds older classes only
        substitute = np.int64(annotations.substitute[number])
        if substitute >= 0 and update(annotations, substitute) == OUT_OF_SPACE:
            return OUT_OF_SPACE
    counters.deaths_at_refresh = counters.deaths
    return 0


# -- annotations of edges and cycles -------------------------------------------------------------------------------


@jit_no_refcount
def annotate_square(graph: Graph, annotations: Annotations, p: int, q: int, u: int, v: int) -> int:
    """Annotation of the cycle p, u, q, v in living classes: a new one, 0 if it is a boundary, or OUT_OF_SPACE."""
    sides = (_annotate_edge(graph, annotations, p, u), _annotate_edge(graph, annotations, q, u),
             _annotate_edge(graph, annotations, p, v), _annotate_edge(graph, annotations, q, v))  # fmt: skip
    if min(sides) == OUT_OF_SPACE:
        return OUT_OF_SPACE
    if max(sides) == 0:
        return 0
    return add_four(annotations, *sides)


@jit_no_refcount
def _annotate_edge(graph: Graph, annotations: Annotations, p: int, q: int) -> int:
    annotation = graph.edge_annotation[edge_index(graph.row_start, p, q)]
    return annotation if annotation >= 0 else evaluate_edge(graph, annotations, p, q)


@jit_no_refcount
def evaluate_edge(graph: Graph, annotations: Annotations, first: int, second: int) -> int:
    """Annotation of an edge from its cofacet, and of the edges needed for it; all are stored. Or OUT_OF_SPACE."""
    edge_annotation, row_start, stack = graph.edge_annotation, graph.row_start, annotations.stack
    stack[0, 0], stack[0, 1] = first, second
    depth = 1
    while depth > 0:
        p, q = stack[depth - 1, 0], stack[depth - 1, 1]
        annotation = edge_annotation[edge_index(row_start, p, q)]
        if annotation >= 0:
            depth -= 1
            continue
        v = -1 - annotation
        of_p, of_q = edge_annotation[edge_index(row_start, p, v)], edge_annotation[edge_index(row_start, q, v)]
        if of_p >= 0 and of_q >= 0:
            annotation = of_p + of_q
            if of_p != 0 and of_q != 0:
                annotation = add(annotations, of_p, of_q)
                if annotation == OUT_OF_SPACE:
                    return OUT_OF_SPACE
            edge_annotation[edge_index(row_start, p, q)] = annotation
            depth -= 1
            continue
        if depth == stack.shape[0]:
            annotations.counters[0].stack_needed = depth
            return OUT_OF_SPACE
        stack[depth, 0], stack[depth, 1] = p if of_p < 0 else q, v
        depth += 1
    return edge_annotation[edge_index(row_start, first, second)]


# -- arithmetic ----------------------------------------------------------------------------------------------------


@jit_no_refcount
def update(annotations: Annotations, annotation: int) -> int:
    """Write an annotation in living classes: dead ones become their substitutes. Returns it, or OUT_OF_SPACE."""
    pool, start, length = annotations.pool, annotations.start, annotations.length
    deaths_seen, substitute, counters = annotations.deaths_seen, annotations.substitute, annotations.counters[0]
    if deaths_seen[annotation] == counters.deaths:
        return annotation
    first, size = start[annotation], length[annotation]
    any_dead = False
    for k in range(first, first + size):
        if substitute[pool[k]] >= 0:
            any_dead = True
            break
    if not any_dead:
        deaths_seen[annotation] = counters.deaths
        return annotation
    top = np.int64(pool[first + size - 1] >> 6)
    _add_to_scratch(annotations, annotation)
    count = _substitute_dead(annotations, top)
    if count > size:
        if counters.pool_used + count > pool.shape[0]:
            _clear_scratch(annotations, top)
            return OUT_OF_SPACE
        first = counters.pool_used
        counters.pool_used += count
        start[annotation] = first
    length[annotation] = count
    deaths_seen[annotation] = counters.deaths
    _move_scratch_to_pool(annotations, top, first)
    return annotation


@jit_no_refcount
def add_four(annotations: Annotations, a: int, b: int, c: int, d: int) -> int:
    """The sum of four annotations in living classes: a new one, 0 if it is zero, or OUT_OF_SPACE."""
    pool, start, length, counters = annotations.pool, annotations.start, annotations.length, annotations.counters[0]
    top = np.int64(-1)
    for summand in (a, b, c, d):
        if length[summand] > 0:
            top = max(top, pool[start[summand] + length[summand] - 1] >> 6)
            _add_to_scratch(annotations, summand)
    count, made, first = _substitute_dead(annotations, top), counters.annotations, counters.pool_used
    if count == 0:
        return 0
    if first + count > pool.shape[0] or made == start.shape[0]:
        _clear_scratch(annotations, top)
        return OUT_OF_SPACE
    _move_scratch_to_pool(annotations, top, first)
    start[made], length[made], annotations.deaths_seen[made] = first, count, counters.deaths
    counters.pool_used += count
    counters.annotations += 1
    return made


@jit_no_refcount
def add(annotations: Annotations, a: int, b: int) -> int:
    """The sum of two annotations: one of them if the other is zero, else a new one; or OUT_OF_SPACE."""
    if a == b:
        return 0
    if update(annotations, a) == OUT_OF_SPACE or update(annotations, b) == OUT_OF_SPACE:
        return OUT_OF_SPACE
    pool, counters = annotations.pool, annotations.counters[0]
    if annotations.length[a] == 0:
        return b if annotations.length[b] > 0 else 0
    if annotations.length[b] == 0:
        return a
    made, out = counters.annotations, counters.pool_used
    if out + annotations.length[a] + annotations.length[b] > pool.shape[0] or made == annotations.start.shape[0]:
        return OUT_OF_SPACE
    p, p_end = annotations.start[a], annotations.start[a] + annotations.length[a]
    q, q_end = annotations.start[b], annotations.start[b] + annotations.length[b]
    while p < p_end and q < q_end:  # merge the rising lists; common entries cancel
        of_a, of_b = pool[p], pool[q]
        if of_a != of_b:
            pool[out] = min(of_a, of_b)
            out += 1
        p += of_a <= of_b
        q += of_b <= of_a
    while p < p_end:
        pool[out] = pool[p]
        p += 1
        out += 1
    while q < q_end:
        pool[out] = pool[q]
        q += 1
        out += 1
    if out == counters.pool_used:
        return 0
    annotations.start[made], annotations.length[made] = counters.pool_used, out - counters.pool_used
    annotations.deaths_seen[made] = counters.deaths
    counters.pool_used = out
    counters.annotations += 1
    return made


@jit_no_refcount
def _add_to_scratch(annotations: Annotations, annotation: int) -> None:
    pool, scratch_sum = annotations.pool, annotations.scratch_sum
    first = annotations.start[annotation]
    for k in range(first, first + annotations.length[annotation]):
        scratch_sum[pool[k] >> 6] ^= ONE << np.uint64(pool[k] & 63)


@jit_no_refcount
def _substitute_dead(annotations: Annotations, top: int) -> int:
    """Rewrite the sum in words 0 to `top` of scratch in living classes, youngest first. Returns their number."""
    scratch_sum, substitute = annotations.scratch_sum, annotations.substitute
    count = 0
    for word in range(top, -1, -1):
        living = ZERO  # classes of this word known to live
        while scratch_sum[word] & ~living != ZERO:
            left = scratch_sum[word] & ~living
            bit = 63
            while left >> np.uint64(bit) == ZERO:
                bit -= 1
            equal = np.int64(substitute[word * 64 + bit])
            if equal < 0:
                living |= ONE << np.uint64(bit)
                count += 1
            else:
                scratch_sum[word] ^= ONE << np.uint64(bit)
                _add_to_scratch(annotations, equal)
    return count


@jit_no_refcount
def _move_scratch_to_pool(annotations: Annotations, top: int, first: int) -> None:
    """Write the sum in scratch as a rising list from entry `first` of the pool on, and clear scratch."""
    pool, scratch_sum = annotations.pool, annotations.scratch_sum
    for word in range(top + 1):
        left = scratch_sum[word]
        scratch_sum[word] = ZERO
        while left != ZERO:
            pool[first] = word * 64 + lowest_bit(left)
            first += 1
            left &= left - ONE


@jit_no_refcount
def _clear_scratch(annotations: Annotations, top: int) -> None:
    for word in range(top + 1):
        annotations.scratch_sum[word] = ZERO

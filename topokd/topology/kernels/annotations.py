"""Annotations: the data structure of the sweep, persistent cohomology of degree 1 over Z/2.

An annotation assigns to each edge a set of classes such that the sum over the edges of a cycle is the homology class of
that cycle (Busaryev et al., 2012; Dey, Fan, Wang, 2014). Class k is the cycle that the k-th creating edge closed. Two
choices keep it small:

- Lazy evaluation. An edge whose lune is not empty enters together with a cofacet (p, q, v), so its annotation is the
  sum of those of (p, v) and (q, v). Only v is stored; `evaluate_edge` computes the sum when it is needed.
- Lazy deletion. A class that dies equals a sum of older classes. This sum is stored once, as the `substitute` of the
  class; `update` rewrites an annotation in living classes when it is next read. Substitutes themselves are rewritten
  only when boundaries cost much: while most classes are killed by the first relation that could, as in noise of high
  dimension, they would have to be written again after each death, in more and more classes.

Functions return OUT_OF_SPACE when a buffer is full and leave the state valid: call `state.grow` and retry.
"""

from __future__ import annotations

import numpy as np

from topokd.topology.kernels.class_sums import (
    add_to_scratch,
    clear_scratch,
    count_classes,
    store,
    substitute_dead,
    take_youngest,
    top_word,
    work_to_add,
    youngest_living,
)
from topokd.topology.kernels.settings import jit_inline, jit_no_refcount
from topokd.topology.kernels.state import OUT_OF_SPACE, Annotations, Graph, edge_index

# Substitutes are rewritten once sums that killed nothing have taken this many times as long as adding each once.
REFRESH_FACTOR = 4
MIN_WORK_TO_REFRESH = 4096
MOST_WORK_OF_SUMMAND = 256  # beyond it a summand stays as it is, dead classes included
UNLIMITED = 1 << 62

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
    """Kill the youngest class in a cycle that becomes a boundary.

    From now on it equals the rest of the cycle's annotation, which becomes its substitute. The class must be alive
    (see `add_four`).

    Args:
        annotations: all of them; updated.
        boundary: annotation of the cycle; the class is taken out of it.
        i: first vertex of the killing triangle.
        j: second vertex.
        v: third vertex.
    """
    counters = annotations.counters[0]
    youngest = take_youngest(annotations, boundary)
    annotations.death_triangle[youngest, 0] = i
    annotations.death_triangle[youngest, 1] = j
    annotations.death_triangle[youngest, 2] = v
    annotations.death_order[youngest] = counters.deaths
    counters.deaths += 1
    annotations.substitute[youngest] = boundary
    counters.work_of_substitutes += work_to_add(annotations, boundary)


@jit_inline
def refresh_is_due(counters: np.record) -> bool:
    """Whether `refresh_substitutes` would rewrite them."""
    all_once = counters.work_of_substitutes + counters.births
    return counters.work_in_vain > MIN_WORK_TO_REFRESH + REFRESH_FACTOR * all_once


@jit_no_refcount
def refresh_substitutes(annotations: Annotations) -> int:
    """Rewrite the substitutes in living classes when that pays, so that chains of dead ones stay short.

    Returns 0 or OUT_OF_SPACE.
    """
    counters = annotations.counters[0]
    if not refresh_is_due(counters):
        return 0
    for number in range(counters.births):  # by age: a substitute holds older classes only
        substitute = np.int64(annotations.substitute[number])
        if substitute >= 0 and _rewrite(annotations, substitute, UNLIMITED, True) == OUT_OF_SPACE:
            return OUT_OF_SPACE
    counters.work_in_vain, counters.work_of_substitutes = 0, 0
    for number in range(counters.births):
        if annotations.substitute[number] >= 0:
            counters.work_of_substitutes += work_to_add(annotations, np.int64(annotations.substitute[number]))
    return 0


# -- annotations of edges and cycles -------------------------------------------------------------------------------


@jit_no_refcount
def annotate_square(graph: Graph, annotations: Annotations, p: int, q: int, u: int, v: int) -> int:
    """Annotation of the cycle p, u, q, v.

    Args:
        graph: the graph so far; annotations of edges that are evaluated are stored in it.
        annotations: all of them; updated.
        p: position of one end of the edge that enters.
        q: position of the other end.
        u: position of a member of its lune.
        v: position of another member.

    Returns:
        A new annotation (see `add_four`), 0 if the cycle is a boundary, or OUT_OF_SPACE.
    """
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
    return _rewrite(annotations, annotation, UNLIMITED, False)


@jit_no_refcount
def _rewrite(annotations: Annotations, annotation: int, most: int, may_be_dense: bool) -> int:
    """`update`, unless it takes more than `most` work: then the annotation stays as it is."""
    pool, start, length = annotations.pool, annotations.start, annotations.length
    deaths_seen, substitute, counters = annotations.deaths_seen, annotations.substitute, annotations.counters[0]
    if deaths_seen[annotation] == counters.deaths:
        return annotation
    first, size = start[annotation], np.int64(length[annotation])
    any_dead = size < 0  # a bitset is not searched
    for k in range(first, first + size):
        if substitute[pool[k]] >= 0:
            any_dead = True  # type: ignore[assignment]
            break
    if not any_dead:
        deaths_seen[annotation] = counters.deaths
        return annotation
    top = top_word(annotations, annotation)
    add_to_scratch(annotations, annotation)
    count, work = substitute_dead(annotations, top, most)
    counters.work_in_vain += work
    if count < 0:
        clear_scratch(annotations, top)
        return annotation
    if store(annotations, annotation, top, count, may_be_dense) == OUT_OF_SPACE:
        return OUT_OF_SPACE
    deaths_seen[annotation] = counters.deaths
    return annotation


@jit_no_refcount
def add_four(annotations: Annotations, a: int, b: int, c: int, d: int) -> int:
    """The sum of four annotations of edges.

    Args:
        annotations: all of them; updated.
        a: an annotation.
        b: another one, like c and d.
        c: see ``b``.
        d: see ``b``.

    Returns:
        A new annotation, 0 if the sum is zero, or OUT_OF_SPACE. Its youngest class lives; older ones may be dead.
    """
    start, counters = annotations.start, annotations.counters[0]
    top = np.int64(-1)
    for summand in (a, b, c, d):
        if annotations.length[summand] > 0:
            top = max(top, top_word(annotations, summand))
            counters.work_in_vain += add_to_scratch(annotations, summand)
    youngest, work = youngest_living(annotations, top)
    if youngest < 0:
        counters.work_in_vain += work
        return 0
    made, top = counters.annotations, youngest >> 6
    if made == start.shape[0]:
        clear_scratch(annotations, top)
        return OUT_OF_SPACE
    if store(annotations, made, top, count_classes(annotations, top), True) == OUT_OF_SPACE:
        return OUT_OF_SPACE
    counters.annotations += 1
    return made


@jit_no_refcount
def add(annotations: Annotations, a: int, b: int) -> int:
    """The sum of two annotations: one of them if the other is zero, else a new one; or OUT_OF_SPACE."""
    if a == b:
        return 0
    for summand in (a, b):
        if _rewrite(annotations, summand, MOST_WORK_OF_SUMMAND, False) == OUT_OF_SPACE:
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
    annotations.deaths_seen[made] = min(annotations.deaths_seen[a], annotations.deaths_seen[b])
    counters.pool_used = out
    counters.annotations += 1
    return made

"""Shortcut 2, active edges: when few classes live, few edges have a non-zero annotation; list them, skip the rest.

An edge between two vertices on which no active edge ends has the annotation zero, and so has every cycle through its
lune: no class can die there. Such an edge only needs the test whether its lune is empty.
"""

from __future__ import annotations

import numpy as np

from topokd.topology.kernels import edge_order
from topokd.topology.kernels.annotations import evaluate_edge, update
from topokd.topology.kernels.settings import jit_inline, jit_no_refcount
from topokd.topology.kernels.state import EDGES_PER_BATCH, OUT_OF_SPACE, Annotations, Graph, edge_index

MIN_EDGES_PER_VERTEX = 4  # edges that must have entered, per vertex, before the list is tried
MIN_VERTICES_PER_CLASS = 4  # then at most one living class per this many vertices


@jit_inline
def is_living(annotations: Annotations, annotation: int) -> bool:
    """Whether an annotation is known to hold a living class; if not, `update` finds out.

    This is so for most edges, and spares a call for each: it would copy the tuple of all arrays.
    """
    known = annotations.deaths_seen[annotation] == annotations.counters[0].deaths
    return known and annotations.length[annotation] > 0


@jit_inline
def put_on_list(is_active: np.ndarray, annotations: Annotations, p: int, q: int) -> None:
    """Add an edge to the list, which has room for it."""
    active_edges, counters = annotations.active_edges, annotations.counters[0]
    active_edges[counters.active_edges, 0], active_edges[counters.active_edges, 1] = p, q
    counters.active_edges += 1
    is_active[p], is_active[q] = 1, 1


@jit_no_refcount
def activate(graph: Graph, annotations: Annotations, p: int, q: int) -> int:
    """Evaluate an edge and list it if a living class is in it. Returns its annotation, or OUT_OF_SPACE."""
    edge_annotation, row_start, active_edges = graph.edge_annotation, graph.row_start, annotations.active_edges
    counters = annotations.counters[0]
    annotation: int = np.int64(edge_annotation[edge_index(row_start, p, q)])  # type: ignore[assignment]
    if annotation < 0:
        v = -1 - annotation
        of_p, of_q = edge_annotation[edge_index(row_start, p, v)], edge_annotation[edge_index(row_start, q, v)]
        if of_p + of_q == max(of_p, of_q):  # neither is unknown, and one is zero
            annotation = of_p + of_q
            edge_annotation[edge_index(row_start, p, q)] = annotation
        else:
            annotation = evaluate_edge(graph, annotations, p, q)
    if annotation <= 0:
        return annotation
    if counters.active_edges == active_edges.shape[0]:
        return OUT_OF_SPACE
    if not is_living(annotations, annotation) and update(annotations, annotation) == OUT_OF_SPACE:
        return OUT_OF_SPACE
    if annotations.length[annotation] == 0:
        edge_annotation[edge_index(row_start, p, q)] = 0
        return 0
    put_on_list(graph.is_active, annotations, p, q)
    return annotation


@jit_no_refcount
def activate_batch(graph: Graph, annotations: Annotations, edges: np.ndarray, begin: int, end: int) -> tuple[int, bool]:
    """`activate` up to a batch of edges that have entered already.

    Of the edges between two inactive vertices only those that created a class have a non-zero annotation.

    Args:
        graph: the graph so far; ``edge_annotation`` and ``is_active`` are updated.
        annotations: all of them; updated, with the list of active edges.
        edges: (e,) uint64 in filtration order, see `edge_order`.
        begin: the first edge.
        end: the first edge that is not taken; of more than `EDGES_PER_BATCH` only so many are taken.

    Returns:
        The edge at which it stopped, and whether for lack of space.
    """
    position, is_active, birth_edge = graph.position, graph.is_active, annotations.birth_edge
    counters = annotations.counters[0]
    end = min(end, begin + EDGES_PER_BATCH)
    for k in range(begin, end):
        i, j = edge_order.ends(edges[k])
        p, q = position[i], position[j]
        number = counters.births_listed
        creates = number < counters.births and birth_edge[number, 0] == i and birth_edge[number, 1] == j
        if (creates or is_active[p] | is_active[q] != 0) and activate(graph, annotations, p, q) == OUT_OF_SPACE:
            return k, True
        counters.births_listed += creates
    return end, False


@jit_no_refcount
def prune(graph: Graph, annotations: Annotations) -> int:
    """Remove edges with only dead classes from the list. Returns 0 or OUT_OF_SPACE."""
    edge_annotation, row_start, is_active = graph.edge_annotation, graph.row_start, graph.is_active
    active_edges, counters = annotations.active_edges, annotations.counters[0]
    for k in range(counters.active_edges):
        annotation = np.int64(edge_annotation[edge_index(row_start, active_edges[k, 0], active_edges[k, 1])])
        if not is_living(annotations, annotation) and update(annotations, annotation) == OUT_OF_SPACE:
            return OUT_OF_SPACE
    for p in range(is_active.shape[0]):
        is_active[p] = 0
    remaining = 0
    for k in range(counters.active_edges):
        p, q = active_edges[k, 0], active_edges[k, 1]
        edge = edge_index(row_start, p, q)
        if annotations.length[edge_annotation[edge]] == 0:
            edge_annotation[edge] = 0
        else:
            active_edges[remaining, 0], active_edges[remaining, 1] = p, q
            is_active[p], is_active[q] = 1, 1
            remaining += 1
    counters.active_edges = remaining
    return 0

"""Control of the sweep: edges enter in filtration order; each one merges components, creates a class, kills classes, or
changes nothing. See the package's docstring.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from topokd.topology.kernels import active_edges, candidates, edge_order, lunes
from topokd.topology.kernels.annotations import (
    annotate_square,
    create_class,
    kill_class,
    refresh_is_due,
    refresh_substitutes,
)
from topokd.topology.kernels.bitset import ONE, ZERO, lowest_member
from topokd.topology.kernels.settings import jit, jit_inline, jit_no_refcount
from topokd.topology.kernels.state import (
    CANDIDATE,
    EDGES_PER_BATCH,
    OUT_OF_SPACE,
    Annotations,
    Graph,
    all_dead_and_connected,
    compact,
    edge_index,
    grow,
    initial_annotations,
    initial_graph,
)

BATCH_DONE, ALL_CLASSES_DEAD = 0, 1  # why a batch ended; or OUT_OF_SPACE


class SweepResult(NamedTuple):
    """Persistence pairs of degrees 0 and 1; the classes of degree 1 in order of birth."""

    dead_vertex: np.ndarray  # (merges,) oldest vertex of the component that dies
    merging_edge: np.ndarray  # (merges, 2) the edge that kills it
    component: np.ndarray  # (components,) oldest vertex of each component that is left
    birth_edge: np.ndarray  # (births, 2)
    death_triangle: np.ndarray  # (births, 3), -1 if the class lives
    death_order: np.ndarray  # (births,), -1 if the class lives
    truncated_at: float  # value of the last edge that entered before the sweep was stopped; inf if it was not
    statistics: np.ndarray  # (3,) edges entered, relations tested, annotations made


@jit
def pairs(filtration: np.ndarray, limit: float, stop: np.ndarray) -> SweepResult:
    """Let the edges enter, up to `limit` or until nothing more can happen.

    Args:
        filtration: (n, n) values of the edges, symmetric.
        limit: highest value of an edge that enters.
        stop: (1,) uint8; the sweep stops when another thread sets it.
    """
    n = filtration.shape[0]
    radius, centrality = edge_order.enclosing_radius(filtration)
    limit = min(limit, radius)
    bounds, first = edge_order.rounds(filtration, limit)
    edges = edge_order.collect(filtration, bounds, first, np.empty(0, np.uint64), edge_order.EARLY_ROUNDS)
    graph = initial_graph(filtration, centrality)
    annotations = initial_annotations()
    counters = annotations.counters  # the same array however often the rest grows
    truncated_at = np.inf
    # typed, not literal: Numba would compile what is called with literals twice
    marked: bool | np.bool_ = np.bool_(False)  # if candidates are marked
    complete: bool | np.bool_ = False  # if no future edge can create or kill
    listing: bool | np.bool_ = np.bool_(False)  # if active edges are listed
    list_at = np.int64(active_edges.MIN_EDGES_PER_VERTEX * n)
    e = np.int64(0)
    for turn in range(edge_order.ROUNDS):
        if complete or truncated_at < np.inf or first[turn + 1] <= e:
            continue
        if turn >= edge_order.EARLY_ROUNDS and edges.shape[0] < first[edge_order.ROUNDS]:
            edges = edge_order.collect(filtration, bounds, first, edges, edge_order.ROUNDS)
        edge_order.sort(edges[e : first[turn + 1]], filtration)
        while e < first[turn + 1] and not complete:
            if stop[0] != 0:
                reached = 0.0 if e == 0 else edge_order.value_of(filtration, edges[e - 1])
                if e == 0 or edge_order.value_of(filtration, edges[e]) > reached:  # never between equal values
                    truncated_at = reached
                    break
            living = counters[0].births - counters[0].deaths
            if e >= list_at and (listing or living * active_edges.MIN_VERTICES_PER_CLASS <= n):
                annotations = _list_active_edges(graph, annotations, edges, e, listing)
                listing, list_at = np.bool_(True), e + max(counters[0].active_edges, n)
            end = min(e + EDGES_PER_BATCH, first[turn + 1])
            e, why = _enter_edges(graph, annotations, edges, e, end, marked, listing)
            if counters[0].pool_used > counters[0].compact_at:
                compact(annotations)
            if why == OUT_OF_SPACE:
                annotations = grow(annotations)
            while refresh_substitutes(annotations) == OUT_OF_SPACE:
                annotations = grow(annotations)
            if why == ALL_CLASSES_DEAD and not marked:
                candidates.mark(graph, annotations, limit)
                marked = True
            complete = marked and counters[0].candidates == 0 and all_dead_and_connected(counters[0], n)
    return _result(graph, annotations, e, truncated_at)


@jit
def _list_active_edges(graph: Graph, annotations: Annotations, edges: np.ndarray, e: int, listing: bool) -> Annotations:
    """Remove edges with only dead classes from the list; the first time, list what is active of the first `e` edges."""
    while active_edges.prune(graph, annotations) == OUT_OF_SPACE:
        annotations = grow(annotations)
    if listing:  # all edges up to here have been through the list when they entered
        annotations.counters[0].births_listed = annotations.counters[0].births
        return annotations
    listed = np.int64(0)
    while listed < e:
        listed, full = active_edges.activate_batch(graph, annotations, edges, listed, e)
        if full:
            annotations = grow(annotations)
    return annotations


@jit
def _result(graph: Graph, annotations: Annotations, entered: int, truncated_at: float) -> SweepResult:
    """The pairs found, once `entered` edges have entered."""
    counters = annotations.counters[0]
    births, merges = counters.births, counters.merges
    n = graph.parent.shape[0]
    component = np.empty(n - merges, np.int64)
    components = 0
    for v in range(n):
        if graph.parent[v] == v:
            component[components] = v
            components += 1
    statistics = np.empty(3, np.int64)
    statistics[0], statistics[1], statistics[2] = entered, counters.relations, counters.annotations
    return SweepResult(
        graph.dead_vertex[:merges],
        graph.merging_edge[:merges],
        component,
        annotations.birth_edge[:births],
        annotations.death_triangle[:births],
        annotations.death_order[:births],
        truncated_at,
        statistics,
    )


@jit_no_refcount
def _enter_edges(
    graph: Graph, annotations: Annotations, edges: np.ndarray, e: int, end: int, marked: bool, listing: bool
) -> tuple[int, int]:
    """Let the edges `e` to `end` enter. Returns the next edge, and why it stopped there."""
    position, adjacent, is_active = graph.position, graph.adjacent, graph.is_active
    edge_annotation, row_start, counters = graph.edge_annotation, graph.row_start, annotations.counters[0]
    lune, component, rest = graph.scratch_lune, graph.scratch_component, graph.scratch_rest
    n = position.shape[0]
    while e < end:
        if listing and counters.active_edges == annotations.active_edges.shape[0]:
            return e, OUT_OF_SPACE
        i, j = edge_order.ends(edges[e])
        p, q = position[i], position[j]
        candidate = marked and edge_annotation[edge_index(row_start, p, q)] == CANDIDATE
        event, full = False, False
        if counters.births == counters.deaths or (listing and is_active[p] | is_active[q] == 0):
            # no class can die here; and once candidates are marked, only they can have an empty lune
            common = ONE if marked and not candidate else _common_neighbours(adjacent[p], adjacent[q])
            if candidate and common != ZERO:
                edge_annotation[edge_index(row_start, p, q)] = 0
        else:
            common = _fill_lune(adjacent[p], adjacent[q], lune)
            if common != ZERO:
                hub = lowest_member(lune)
                edge_annotation[edge_index(row_start, p, q)] = -1 - hub
                if not lunes.is_connected(adjacent, lune, component, rest, hub):
                    event = True
                    full = _attach_cells(graph, annotations, i, j, p, q) == OUT_OF_SPACE
                if listing and not full:
                    of_p = edge_annotation[edge_index(row_start, p, hub)]
                    of_q = edge_annotation[edge_index(row_start, q, hub)]
                    if of_p == 0 and of_q == 0:
                        edge_annotation[edge_index(row_start, p, q)] = 0
                    elif of_p + of_q == max(of_p, of_q) and active_edges.is_living(annotations, of_p + of_q):
                        edge_annotation[edge_index(row_start, p, q)] = of_p + of_q
                        active_edges.put_on_list(is_active, annotations, p, q)
                    else:
                        full = active_edges.activate(graph, annotations, p, q) == OUT_OF_SPACE
        if common == ZERO:
            event = True
            full = _merge_or_create(graph, annotations, i, j, p, q) == OUT_OF_SPACE
            if listing and not full and edge_annotation[edge_index(row_start, p, q)] > 0:
                active_edges.activate(graph, annotations, p, q)
        if full:  # the same edge enters again after grow
            if candidate:
                edge_annotation[edge_index(row_start, p, q)] = CANDIDATE
            return e, OUT_OF_SPACE
        adjacent[p, q >> 6] |= ONE << np.uint64(q & 63)
        adjacent[q, p >> 6] |= ONE << np.uint64(p & 63)
        counters.candidates -= candidate
        e += 1
        if event and all_dead_and_connected(counters, n):
            return e, ALL_CLASSES_DEAD
        if event and (counters.pool_used > counters.compact_at or refresh_is_due(counters)):
            return e, BATCH_DONE
    return e, BATCH_DONE


@jit_inline
def _common_neighbours(of_p: np.ndarray, of_q: np.ndarray) -> np.uint64:
    """Zero if the lune is empty."""
    common = ZERO
    for w in range(of_p.shape[0]):
        common |= of_p[w] & of_q[w]
    return common


@jit_inline
def _fill_lune(of_p: np.ndarray, of_q: np.ndarray, lune: np.ndarray) -> np.uint64:
    """Write the lune of two positions. Returns zero if it is empty."""
    common = ZERO
    for w in range(lune.shape[0]):
        both = of_p[w] & of_q[w]
        lune[w] = both
        common |= both
    return common


@jit_no_refcount
def _merge_or_create(graph: Graph, annotations: Annotations, i: int, j: int, p: int, q: int) -> int:
    """Edge (i, j) has an empty lune: merge components or create a class. Returns its annotation or OUT_OF_SPACE."""
    parent, counters = graph.parent, annotations.counters[0]
    of_i, of_j = _find(parent, i), _find(parent, j)
    annotation = 0
    if of_i == of_j:
        annotation = create_class(annotations, i, j)
        if annotation == OUT_OF_SPACE:
            return OUT_OF_SPACE
    else:  # the elder rule: all vertices are born at 0, so age is the index
        older, younger = min(of_i, of_j), max(of_i, of_j)
        parent[younger] = older
        graph.dead_vertex[counters.merges] = younger
        graph.merging_edge[counters.merges, 0], graph.merging_edge[counters.merges, 1] = i, j
        counters.merges += 1
    graph.edge_annotation[edge_index(graph.row_start, p, q)] = annotation
    return annotation


@jit_no_refcount
def _attach_cells(graph: Graph, annotations: Annotations, i: int, j: int, p: int, q: int) -> int:
    """A lune with several components: each one but the first kills a class or none. Returns 0 or OUT_OF_SPACE.

    Any member of a component shows whether its square is a boundary already; most are. Only otherwise is the member
    searched that makes the killing triangle.
    """
    members = graph.scratch_members
    count = lunes.find_components(graph)
    all_boundaries, boundary = True, 0
    for k in range(1, count):
        boundary = annotate_square(graph, annotations, p, q, members[0], members[k])
        if boundary == OUT_OF_SPACE:
            return OUT_OF_SPACE
        all_boundaries = all_boundaries and boundary == 0
    if not all_boundaries:
        count = lunes.find_first_members(graph, i, j)
        for k in range(1, count):
            if count > 2:  # with two components there is one square, for any choice of members
                boundary = annotate_square(graph, annotations, p, q, members[0], members[k])
            if boundary == OUT_OF_SPACE:
                return OUT_OF_SPACE
            if boundary > 0:
                kill_class(annotations, boundary, i, j, graph.vertex[members[k]])
    annotations.counters[0].relations += count - 1
    return 0


@jit_no_refcount
def _find(parent: np.ndarray, v: int) -> int:
    while parent[v] != v:
        parent[v] = parent[parent[v]]
        v = parent[v]
    return v

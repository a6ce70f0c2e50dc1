"""The sweep of a sparse graph: time and memory depend on its edges and triangles, not on the pairs of vertices.

It is the sweep of `topokd.topology.kernels.sweep` without its shortcuts, which pay where most pairs of vertices are
edges: neighbours are lists instead of bitsets, and annotations are stored per edge that exists.
"""

from __future__ import annotations

import numpy as np

from topokd.topology.kernels.annotations import create_class, refresh_is_due, refresh_substitutes
from topokd.topology.kernels.graph_lunes import EdgeLists, attach_cells, clear_lune, fill_lune, find_components
from topokd.topology.kernels.settings import jit, jit_no_refcount
from topokd.topology.kernels.state import OUT_OF_SPACE, Annotations, compact, grow, initial_annotations
from topokd.topology.kernels.sweep import SweepResult


@jit
def pairs(ends: np.ndarray, start: np.ndarray, vertex: np.ndarray, number: np.ndarray, max_dim: int) -> SweepResult:
    """Let all edges enter.

    Args:
        ends: (m, 2) int32 vertices of the edges in filtration order, the lower one first.
        start: (n + 1,) int64, where the neighbours of each vertex begin.
        vertex: (2 m,) int32 neighbours of vertex after vertex, rising.
        number: (2 m,) int32 edges to them.
        max_dim: 0 or 1.
    """
    n, m = start.shape[0] - 1, ends.shape[0] if max_dim == 0 else _edges_of_cone(start, number, ends.shape[0])
    lists = EdgeLists(
        ends,
        start,
        vertex,
        number,
        np.zeros(ends.shape[0], np.int32),
        np.empty((ends.shape[0], 2), np.int32),
        np.empty(n, np.int32),
        np.full(n, np.int32(-1)),
        np.empty(n, np.int32),
        np.empty((n, 2), np.int32),
        np.empty(n, np.int32),
    )
    annotations = initial_annotations()
    counters = annotations.counters
    parent, dead, joins = np.arange(n), np.empty(n, np.int64), np.zeros(ends.shape[0], np.bool_)
    e = np.int64(0)
    while e < m:
        e, full = _enter(lists, annotations, parent, dead, joins, e, m, max_dim)
        if counters[0].pool_used > counters[0].compact_at:
            compact(annotations)
        if full:
            annotations = grow(annotations)
        while refresh_substitutes(annotations) == OUT_OF_SPACE:
            annotations = grow(annotations)
    births, merges = counters[0].births, counters[0].merges
    return SweepResult(
        dead[:merges].copy(),
        ends[joins].astype(np.int64),
        np.flatnonzero(parent == np.arange(n)),
        annotations.birth_edge[:births],
        annotations.death_triangle[:births],
        annotations.death_order[:births],
        np.inf,
        np.array([e, counters[0].relations, counters[0].annotations]),
    )


@jit_no_refcount
def _edges_of_cone(start: np.ndarray, number: np.ndarray, m: int) -> int:
    """How many edges have entered when first a vertex is joined to all others: from then on nothing happens."""
    n = start.shape[0] - 1
    for v in range(n):
        if start[v + 1] - start[v] < n - 1 or n == 1:
            continue
        last = 0
        for k in range(start[v], start[v + 1]):
            last = max(last, number[k])
        m = min(m, last + 1)
    return m


@jit_no_refcount
def _enter(
    lists: EdgeLists,
    annotations: Annotations,
    parent: np.ndarray,
    dead: np.ndarray,
    joins: np.ndarray,
    e: int,
    end: int,
    max_dim: int,
) -> tuple[int, bool]:
    """Let edges enter, until space runs out or the annotations need care.

    Args:
        lists: the graph; annotations of edges are written.
        annotations: all of them; updated.
        parent: (n,) union-find of components; updated.
        dead: (n,) oldest vertex of each component that dies; written.
        joins: (m,) whether each edge merges two components; written.
        e: the next edge.
        end: the last one, and one more.
        max_dim: 0 or 1; without degree 1 lunes are not looked at.

    Returns:
        The next edge, and whether it stopped for lack of space.
    """
    counters = annotations.counters[0]
    while e < end:
        alive = counters.births > counters.deaths
        count = 0 if max_dim == 0 else fill_lune(lists, e, lists.lune.shape[0] if alive else 1)
        if count == 0:
            i, j = lists.ends[e, 0], lists.ends[e, 1]
            a, b = _root(parent, i), _root(parent, j)
            if a != b:  # the elder rule: all vertices are born at 0, so age is the number
                parent[max(a, b)], joins[e] = min(a, b), True
                dead[counters.merges] = max(a, b)
                counters.merges += 1
            elif max_dim > 0:
                made = create_class(annotations, i, j)
                if made == OUT_OF_SPACE:
                    return e, True
                lists.annotation[e] = made
            e += 1
            continue
        event = False
        if alive:  # else no class can die, and all annotations are zero
            hub = lists.lune[0]
            lists.annotation[e], lists.sides[e, 0], lists.sides[e, 1] = -1, lists.to[hub, 0], lists.to[hub, 1]
            components = 1 if count == 1 else find_components(lists, e, count)
            if components > 1:
                event = True
                if attach_cells(lists, annotations, e, components) == OUT_OF_SPACE:
                    clear_lune(lists, count)
                    return e, True
            if lists.annotation[lists.sides[e, 0]] == 0 and lists.annotation[lists.sides[e, 1]] == 0:
                lists.annotation[e] = 0
        clear_lune(lists, count)
        e += 1
        if event and (counters.pool_used > counters.compact_at or refresh_is_due(counters)):
            return e, False
    return e, False


@jit_no_refcount
def _root(parent: np.ndarray, v: int) -> int:
    while parent[v] != v:
        parent[v] = parent[parent[v]]
        v = parent[v]
    return v

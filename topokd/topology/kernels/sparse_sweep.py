"""The sweep without a matrix: edges near living classes, from a search for neighbours, enter in filtration order.

It is the sweep of `topokd.topology.kernels.sweep` with one shortcut, active edges, taken to its end. All edges that
merge components or create classes are known beforehand (`relative_neighbours`). The others matter only where a class
lives: an edge between two vertices on which no active edge ends has the annotation zero, and so has every cycle
through its lune. So edges are looked for around active vertices only, in shells of growing radius, and the sweep ends
with the last death. Whether two vertices are adjacent is read off their coordinates. Memory is linear in the edges at
active vertices.
"""

from __future__ import annotations

import numpy as np

from topokd.topology.kernels.annotations import refresh_substitutes, update
from topokd.topology.kernels.kd_tree import STACK, Tree, build, code, remove, shell
from topokd.topology.kernels.peel import peel
from topokd.topology.kernels.relative_neighbours import in_order, merges, relative_neighbours
from topokd.topology.kernels.settings import jit, jit_no_refcount
from topokd.topology.kernels.sparse_events import SHELL_DONE, WAKE, enter
from topokd.topology.kernels.sparse_state import (
    Heap,
    NeighbourLists,
    append,
    clear_annotation,
    empty_heap,
    initial_neighbours,
    moved,
    push,
    with_room,
    with_space,
)
from topokd.topology.kernels.state import OUT_OF_SPACE, Annotations, compact, grow, initial_annotations
from topokd.topology.kernels.sweep import SweepResult

PEEL_AT = 8.0  # edges ahead in a shell, per vertex, at which vertices that are dominated are left out
SMALLEST = 5e-324  # positive number
GROWTH = 2.2  # of the number of neighbours within the radius, about, from shell to shell


@jit
def pairs(x: np.ndarray, limit: float, most: int, allowed: float) -> SweepResult:
    """Persistence pairs of a cloud; with `truncated_at` 0 and no deaths that count if too many edges had to enter.

    Args:
        x: (n, c) points.
        limit: highest squared length of an edge that enters.
        most: neighbours that the lists may hold; MemoryError above it.
        allowed: edges that may enter, about.
    """
    n = x.shape[0]
    tree = build(x)
    edges, values = relative_neighbours(tree, limit)
    joins, dead_vertex, left = merges(tree, edges)
    merging = _numbered(tree, edges[joins])
    births, birth_values = edges[~joins], values[~joins]
    lists = initial_neighbours(n)
    lists.counters[0].most = most
    if birth_values.shape[0] == 0 or birth_values[0] > 0:
        _leave_out_duplicates(tree, lists, edges, values)
    annotations = initial_annotations()
    annotations, entered = _sweep(tree, lists, births, birth_values, values, limit, allowed, annotations)
    count = annotations.counters[0].births
    return SweepResult(
        dead_vertex,
        merging,
        left,
        annotations.birth_edge[:count],
        annotations.death_triangle[:count],
        annotations.death_order[:count],
        0.0 if entered > allowed else np.inf,
        np.array([entered, annotations.counters[0].relations, annotations.counters[0].annotations]),
    )


@jit
def components(x: np.ndarray, limit: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Degree 0 of the points `x` (n, c), up to the squared length `limit`.

    Returns:
        As in `SweepResult`: the oldest vertex of each component that dies, the edge that kills it, and the oldest
        vertex of each component that is left.
    """
    tree = build(x)
    edges, _ = relative_neighbours(tree, limit)
    joins, dead, left = merges(tree, edges)
    return dead, _numbered(tree, edges[joins]), left


@jit
def _leave_out_duplicates(tree: Tree, lists: NeighbourLists, edges: np.ndarray, values: np.ndarray) -> None:
    """Of the points in one place only that with the lowest number matters: it dominates the others (see `peel`)."""
    label = tree.label
    e = 0
    while e < values.shape[0] and values[e] == 0:
        p, q = edges[e]
        if label[p] > label[q]:
            p, q = q, p
        if np.all(tree.coords[p] == tree.coords[q]):
            remove(tree, q)
            lists.dominator[q] = p
        e += 1


@jit
def _numbered(tree: Tree, edges: np.ndarray) -> np.ndarray:
    """Edges as original numbers, the lower one first."""
    out = np.empty_like(edges)
    for e in range(edges.shape[0]):
        i, j = tree.label[edges[e, 0]], tree.label[edges[e, 1]]
        out[e, 0], out[e, 1] = min(i, j), max(i, j)
    return out


@jit
def _sweep(
    tree: Tree,
    lists: NeighbourLists,
    births: np.ndarray,
    birth_values: np.ndarray,
    values: np.ndarray,
    limit: float,
    allowed: float,
    annotations: Annotations,
) -> tuple[Annotations, int]:
    """All deaths; returns the annotations, and how many edges have entered, or would have if they
    are more than allowed."""
    n, c = tree.coords.shape
    heap = empty_heap()
    counters = lists.counters[0]
    stack, members, distance = np.empty(STACK, np.int64), np.empty(n, np.int64), np.empty(n)
    factor = GROWTH ** (2.0 / c)
    inner, outer = -1.0, -1.0
    b, living = np.int64(0), np.int64(0)
    active: np.ndarray = np.empty(0, np.int64)
    peel_at = PEEL_AT
    while b < births.shape[0] or living > 0:
        if inner >= limit:
            break
        if active.shape[0] > 0 and _edges_ahead(lists, active) > peel_at * tree.left[1]:
            left = tree.left[1]
            peel_at = PEEL_AT if 8 * peel(tree, lists, outer) > left else 2 * peel_at
            while _forget(lists, annotations) == OUT_OF_SPACE:
                annotations = grow(annotations)
            active = np.flatnonzero(lists.is_active)
        ahead = _edges_ahead(lists, active)
        if counters.entered + ahead > allowed:
            return annotations, counters.entered + np.int64(ahead) + 1
        inner = outer
        if active.shape[0] == 0:  # nothing happens before the next birth
            inner = outer = max(outer, birth_values[b])
        outer = max(outer * factor, values[values.shape[0] // 2])
        if outer <= inner:  # 0, or so small that it does not grow
            outer = max(values[-1], 2 * inner + SMALLEST)
        outer = min(limit, outer)
        lists, edges, edge_values = _next_shell(tree, lists, active, inner, outer, stack, members, distance)
        e, why = np.int64(0), WAKE
        while why != SHELL_DONE:
            b, e, why = enter(tree, lists, heap, annotations, births, birth_values, b, edges, edge_values, e, outer)
            if annotations.counters[0].pool_used > annotations.counters[0].compact_at:
                compact(annotations)
            if why == OUT_OF_SPACE:
                annotations = grow(annotations)
            for k in range(counters.wakes):
                lists, heap = _wake(tree, lists, heap, k, outer, stack, members, distance)
            counters.wakes = 0
            while refresh_substitutes(annotations) == OUT_OF_SPACE:
                annotations = grow(annotations)
        living = annotations.counters[0].births - annotations.counters[0].deaths
        while _forget(lists, annotations) == OUT_OF_SPACE:
            annotations = grow(annotations)
        active = np.flatnonzero(lists.is_active)
    return annotations, counters.entered


@jit
def _edges_ahead(lists: NeighbourLists, active: np.ndarray) -> float:
    """About how many edges the next shell has."""
    return lists.size[active].sum() * (GROWTH - 1.0) / 2


@jit
def _next_shell(
    tree: Tree,
    lists: NeighbourLists,
    active: np.ndarray,
    inner: float,
    outer: float,
    stack: np.ndarray,
    members: np.ndarray,
    distance: np.ndarray,
) -> tuple[NeighbourLists, np.ndarray, np.ndarray]:
    """The edges at active vertices in a shell, in order, and lists with room for them."""
    more = np.zeros(active.shape[0], np.int64)
    edges: np.ndarray = np.empty((4096, 2), np.int64)
    values: np.ndarray = np.empty(4096)
    count = 0
    for k in range(active.shape[0]):
        p = active[k]
        near = shell(tree, p, inner, outer, stack, members, distance)
        if 4 * (count + near) > lists.counters[0].most:
            raise MemoryError
        while count + near > values.shape[0]:
            edges, values = np.concatenate((edges, edges)), np.concatenate((values, values))
        for m in range(near):
            q = members[m]
            more[k] += 1
            if distance[m] > inner and (lists.is_active[q] == 0 or p < q):
                edges[count, 0], edges[count, 1], values[count] = p, q, distance[m]
                count += 1
    order = in_order(tree, edges[:count], values[:count])
    return moved(lists, active, more), edges[order], values[order]


@jit
def _wake(
    tree: Tree,
    lists: NeighbourLists,
    heap: Heap,
    k: int,
    outer: float,
    stack: np.ndarray,
    members: np.ndarray,
    distance: np.ndarray,
) -> tuple[NeighbourLists, Heap]:
    """Make a vertex active at the current edge: list its neighbours, and put its edges up to `outer` into the heap."""
    p, q, annotation = lists.wake[k]
    now, own = lists.now[0], lists.now_code[0]
    near = shell(tree, p, -1.0, outer, stack, members, distance)
    lists = with_room(lists, near)
    heap = with_space(heap, lists.counters[0].waiting + near, lists.counters[0].most)
    counters = lists.counters[0]
    lists.start[p], lists.is_active[p] = counters.used, 1
    lists.size[p], lists.busy[p] = 0, 0
    waiting = counters.waiting
    for m in range(near):
        v, value = members[m], distance[m]
        if value < now or (value == now and code(tree.label, p, v) <= own):
            append(lists, p, v, annotation if v == q else 0)
        elif lists.is_active[v] == 0:
            waiting = push(heap.value, heap.code, heap.ends, waiting, tree, value, p, v)
    counters.waiting = waiting
    counters.used += near
    return lists, heap


@jit_no_refcount
def _forget(lists: NeighbourLists, annotations: Annotations) -> int:
    """Clear annotations without a living class; vertices without others become inactive. 0 or OUT_OF_SPACE."""
    for p in range(lists.is_active.shape[0]):
        if lists.is_active[p] == 0:
            continue
        for k in range(lists.start[p] + lists.busy[p] - 1, lists.start[p] - 1, -1):
            annotation = np.int64(lists.annotation[k])
            if update(annotations, annotation) == OUT_OF_SPACE:
                return OUT_OF_SPACE
            if annotations.length[annotation] == 0:
                clear_annotation(lists, p, k)
        if lists.busy[p] == 0:
            lists.is_active[p] = 0
    return 0

"""The sweep without a matrix: edges near living classes, from a search for neighbours, enter in filtration order.

It is the sweep of `topokd.topology.kernels.sweep` with one shortcut, active edges, taken to its end. All edges that merge
components or create classes are known beforehand (`relative_neighbours`). The others matter only where a class lives:
an edge between two vertices on which no active edge ends has the annotation zero, and so has every cycle through its
lune. So edges are looked for around active vertices only, in shells of growing radius, and the sweep ends with the last
death. Whether two vertices are adjacent is read off their coordinates. Memory is linear in the edges at active vertices.
"""

from __future__ import annotations

import numpy as np

from topokd.topology.kernels.annotations import create_class, refresh_substitutes, update
from topokd.topology.kernels.relative_neighbours import in_order, merges, relative_neighbours
from topokd.topology.kernels.settings import jit, jit_no_refcount
from topokd.topology.kernels.sparse_lunes import annotate, attach_cells, components, members
from topokd.topology.kernels.sparse_state import (
    Heap,
    Neighbours,
    empty_heap,
    initial_neighbours,
    moved,
    pop,
    push,
    with_room,
    with_space,
)
from topokd.topology.kernels.state import OUT_OF_SPACE, Annotations, compact, grow, initial_annotations
from topokd.topology.kernels.sweep import SweepResult
from topokd.topology.kernels.tree import STACK, Tree, build, code, shell

SHELL_DONE, WAKE = 0, 1  # why a run of events ended; or OUT_OF_SPACE
GROWTH = 2.2  # of the number of neighbours within the radius, about, from shell to shell


@jit
def pairs(x: np.ndarray, limit: float) -> SweepResult:
    """Persistence pairs of the points `x` (n, c), up to the squared length `limit`."""
    n = x.shape[0]
    tree = build(x)
    edges, values = relative_neighbours(tree, limit)
    joins, dead_vertex, left = merges(tree, edges)
    merging = _numbered(tree, edges[joins])
    births, birth_values = edges[~joins], values[~joins]
    annotations = initial_annotations()
    entered = _sweep(tree, births, birth_values, values, limit, annotations)
    annotations = entered[0]
    found = annotations.counters[0].births
    return SweepResult(
        dead_vertex,
        merging,
        left,
        annotations.birth_edge[:found],
        annotations.death_triangle[:found],
        annotations.death_order[:found],
        np.inf,
        np.array([entered[1], annotations.counters[0].relations, annotations.counters[0].annotations]),
    )


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
    tree: Tree, births: np.ndarray, birth_values: np.ndarray, values: np.ndarray, limit: float, annotations: Annotations
) -> tuple[Annotations, int]:
    """All deaths; returns the annotations, and how many edges have entered."""
    n, c = tree.coords.shape
    lists, heap = initial_neighbours(n), empty_heap()
    counters = lists.counters[0]
    stack, found, distance = np.empty(STACK, np.int64), np.empty(n, np.int64), np.empty(n)
    factor = GROWTH ** (2.0 / c)
    inner, outer = -1.0, -1.0
    b, living = np.int64(0), np.int64(0)
    active = np.empty(0, np.int64)
    while b < births.shape[0] or living > 0:
        if inner >= limit:
            break
        inner = outer
        if active.shape[0] == 0:  # nothing happens before the next birth
            inner = outer = max(outer, birth_values[b])
        outer = min(limit, max(outer * factor, values[values.shape[0] // 2]))
        lists, edges, edge_values = _next_shell(tree, lists, active, inner, outer, stack, found, distance)
        e, why = np.int64(0), WAKE
        while why != SHELL_DONE:
            b, e, why = _enter(tree, lists, heap, annotations, births, birth_values, b, edges, edge_values, e, outer)
            if annotations.counters[0].pool_used > annotations.counters[0].compact_at:
                compact(annotations)
            if why == OUT_OF_SPACE:
                annotations = grow(annotations)
            for k in range(counters.wakes):
                lists, heap = _wake(tree, lists, heap, k, outer, stack, found, distance)
            counters.wakes = 0
            while refresh_substitutes(annotations) == OUT_OF_SPACE:
                annotations = grow(annotations)
        living = annotations.counters[0].births - annotations.counters[0].deaths
        while _forget(lists, annotations) == OUT_OF_SPACE:
            annotations = grow(annotations)
        active = np.flatnonzero(lists.is_active)
    return annotations, counters.entered


@jit
def _next_shell(
    tree: Tree,
    lists: Neighbours,
    active: np.ndarray,
    inner: float,
    outer: float,
    stack: np.ndarray,
    found: np.ndarray,
    distance: np.ndarray,
) -> tuple[Neighbours, np.ndarray, np.ndarray]:
    """The edges at active vertices in a shell, in order, and lists with room for them."""
    more = np.zeros(active.shape[0], np.int64)
    edges, values, count = np.empty((4096, 2), np.int64), np.empty(4096), 0
    for k in range(active.shape[0]):
        p = active[k]
        near = shell(tree, p, inner, outer, stack, found, distance)
        while count + near > values.shape[0]:
            edges, values = np.concatenate((edges, edges)), np.concatenate((values, values))
        for m in range(near):
            q = found[m]
            more[k] += 1
            if distance[m] > inner and (lists.is_active[q] == 0 or p < q):
                edges[count, 0], edges[count, 1], values[count] = p, q, distance[m]
                count += 1
    order = in_order(tree, edges[:count], values[:count])
    return moved(lists, active, more), edges[order], values[order]


@jit
def _wake(
    tree: Tree,
    lists: Neighbours,
    heap: Heap,
    k: int,
    outer: float,
    stack: np.ndarray,
    found: np.ndarray,
    distance: np.ndarray,
) -> tuple[Neighbours, Heap]:
    """Make a vertex active at the current edge: list its neighbours, and put its edges up to `outer` into the heap."""
    p, q, annotation = lists.wake[k]
    now, own = lists.now[0], lists.now_code[0]
    near = shell(tree, p, -1.0, outer, stack, found, distance)
    lists = with_room(lists, near)
    heap = with_space(heap, lists.counters[0].waiting + near)
    counters = lists.counters[0]
    first = counters.used
    lists.start[p], lists.is_active[p] = first, 1
    size, waiting = 0, counters.waiting
    for m in range(near):
        v, value = found[m], distance[m]
        if value < now or (value == now and code(tree.label, p, v) <= own):
            lists.vertex[first + size], lists.annotation[first + size] = v, annotation if v == q else 0
            size += 1
        elif lists.is_active[v] == 0:
            waiting = push(heap.value, heap.code, heap.ends, waiting, tree, value, p, v)
    lists.size[p] = size
    counters.waiting = waiting
    counters.used += near
    return lists, heap


@jit_no_refcount
def _enter(
    tree: Tree,
    lists: Neighbours,
    heap: Heap,
    annotations: Annotations,
    births: np.ndarray,
    birth_values: np.ndarray,
    b: int,
    edges: np.ndarray,
    values: np.ndarray,
    e: int,
    outer: float,
) -> tuple[int, int, int]:
    """Let edges enter until the shell is done, a vertex becomes active, or space runs out.

    Returns the next birth, the next edge of the shell, and why it stopped.
    """
    label, counters = tree.label, lists.counters[0]
    while True:
        value, own, p, q, kind = np.inf, np.int64(0), np.int64(-1), np.int64(-1), 0
        if e < values.shape[0]:
            p, q, value = edges[e, 0], edges[e, 1], values[e]
            own, kind = code(label, p, q), 1
        if counters.waiting > 0 and (heap.value[0] < value or (heap.value[0] == value and heap.code[0] < own)):
            p, q, value, own, kind = heap.ends[0, 0], heap.ends[0, 1], heap.value[0], heap.code[0], 2
        if b < birth_values.shape[0] and birth_values[b] <= outer:
            i, j, born = births[b, 0], births[b, 1], birth_values[b]
            if born < value or (born == value and code(label, i, j) < own):
                made = create_class(annotations, min(label[i], label[j]), max(label[i], label[j]))
                if made == OUT_OF_SPACE:
                    return b, e, OUT_OF_SPACE
                lists.now[0], lists.now_code[0] = born, code(label, i, j)
                _set_annotation(lists, i, j, made)
                b += 1
                if counters.wakes > 0:
                    return b, e, WAKE
                continue
        if kind == 0:
            return b, e, SHELL_DONE
        if _let_in(tree, lists, annotations, p, q, value, own) == OUT_OF_SPACE:
            return b, e, OUT_OF_SPACE
        if kind == 1:
            e += 1
        else:
            counters.waiting = pop(heap.value, heap.code, heap.ends, counters.waiting)
        counters.entered += 1
        if counters.wakes > 0 or annotations.counters[0].pool_used > annotations.counters[0].compact_at:
            return b, e, WAKE


@jit_no_refcount
def _let_in(tree: Tree, lists: Neighbours, annotations: Annotations, p: int, q: int, value: float, own: int) -> int:
    """Let an edge enter that has an active end and creates nothing. Returns 0 or OUT_OF_SPACE."""
    is_active, size = lists.is_active, lists.size
    if is_active[p] == 0 or (is_active[q] != 0 and size[q] < size[p]):
        p, q = q, p
    count = members(tree, lists, p, q, value, own)
    annotation = 0
    if count > 0:
        hub = lists.component[0]
        found = components(tree, lists, count, value, own)
        if found > 1 and attach_cells(tree, lists, annotations, p, q, found) == OUT_OF_SPACE:
            return OUT_OF_SPACE
        annotation = annotate(lists, annotations, p, q, hub)
        if annotation == OUT_OF_SPACE:
            return OUT_OF_SPACE
    for u, v in ((p, q), (q, p)):
        if is_active[u] != 0:
            end = lists.start[u] + size[u]
            lists.vertex[end], lists.annotation[end] = v, annotation
            size[u] += 1
        elif annotation > 0:
            _add_wake(lists, u, v, annotation)
    lists.now[0], lists.now_code[0] = value, own
    return 0


@jit_no_refcount
def _add_wake(lists: Neighbours, p: int, q: int, annotation: int) -> None:
    counters = lists.counters[0]
    lists.wake[counters.wakes, 0], lists.wake[counters.wakes, 1] = p, q
    lists.wake[counters.wakes, 2] = annotation
    counters.wakes += 1


@jit_no_refcount
def _set_annotation(lists: Neighbours, p: int, q: int, annotation: int) -> None:
    """Store the annotation of an edge that is in the lists of its active ends; the others become active."""
    for u, v in ((p, q), (q, p)):
        if lists.is_active[u] == 0:
            _add_wake(lists, u, v, annotation)
            continue
        k = lists.start[u] + lists.size[u] - 1
        while lists.vertex[k] != v:
            k -= 1
        lists.annotation[k] = annotation


@jit_no_refcount
def _forget(lists: Neighbours, annotations: Annotations) -> int:
    """Clear annotations without a living class; vertices without any other are not active. Returns 0 or OUT_OF_SPACE."""
    for p in range(lists.is_active.shape[0]):
        if lists.is_active[p] == 0:
            continue
        left = 0
        for k in range(lists.start[p], lists.start[p] + lists.size[p]):
            annotation = np.int64(lists.annotation[k])
            if annotation != 0:
                if update(annotations, annotation) == OUT_OF_SPACE:
                    return OUT_OF_SPACE
                if annotations.length[annotation] == 0:
                    lists.annotation[k] = 0
                else:
                    left += 1
        if left == 0:
            lists.is_active[p] = 0
    return 0

"""State of the sparse sweep: lists of neighbours of the active vertices, and a heap of edges that are to enter."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from topokd.topology.kernels.kd_tree import STACK, Tree, code
from topokd.topology.kernels.settings import jit, jit_no_refcount

COUNTERS = np.dtype(
    [
        ("used", np.int64),  # entries of the pool of neighbours in use
        ("waiting", np.int64),  # edges in the heap
        ("wakes", np.int64),  # vertices that the last event made active: 0, 1 or 2
        ("entered", np.int64),  # edges that have entered
        ("most", np.int64),  # entries that the pool and the heap may have, for the memory
    ]
)


class NeighbourLists(NamedTuple):
    """Per active vertex, in the pool, all its neighbours by now, each with the annotation of the edge to it."""

    start: np.ndarray  # (n,) first pool entry of each vertex's list
    size: np.ndarray  # (n,) entries in it
    busy: np.ndarray  # (n,) the first entries are the edges with a non-zero annotation
    is_active: np.ndarray  # (n,) whether an edge with a non-zero annotation ends at the vertex; only then it has a list
    vertex: np.ndarray  # (pool,)
    annotation: np.ndarray  # (pool,)
    wake: np.ndarray  # (2, 3) vertices that the last event made active; the other end of the edge, its annotation
    now: np.ndarray  # (1,) squared length of the last edge that entered
    now_code: np.ndarray  # (1,) its code
    dominator: np.ndarray  # (n,) of each vertex that is left out, see `peel`; -1 for the others
    component: np.ndarray  # (n,) scratch: members of the lune, component after component
    bound: np.ndarray  # (n + 1,) scratch: where each component begins
    number: np.ndarray  # (n,) scratch: the component of each member
    earliest: np.ndarray  # (n,) scratch: of each component the member that entered first, -1 without any
    stack: np.ndarray  # (STACK,) scratch: nodes of the tree
    counters: np.ndarray  # (1,) of dtype COUNTERS


class Heap(NamedTuple):
    """Edges that are to enter, the first one on top; ordered by (value, code)."""

    value: np.ndarray  # (capacity,) squared length
    code: np.ndarray  # (capacity,)
    ends: np.ndarray  # (capacity, 2) positions


@jit
def initial_neighbours(n: int) -> NeighbourLists:
    """No vertex is active."""
    return NeighbourLists(
        np.zeros(n, np.int64),
        np.zeros(n, np.int64),
        np.zeros(n, np.int64),
        np.zeros(n, np.uint8),
        np.empty(16 * n + 64, np.int32),
        np.empty(16 * n + 64, np.int32),
        np.zeros((2, 3), np.int64),
        np.zeros(1),
        np.zeros(1, np.int64),
        np.full(n, -1),
        np.empty(n, np.int64),
        np.empty(n + 1, np.int64),
        np.full(n, -1),
        np.empty(n, np.int64),
        np.empty(STACK, np.int64),
        np.zeros(1, COUNTERS),
    )


@jit
def with_room(lists: NeighbourLists, needed: int) -> NeighbourLists:
    """The same lists, with room for `needed` more neighbours in the pool.

    Raises:
        MemoryError: the pool would have more entries than allowed.
    """
    used = lists.counters[0].used
    if used + needed <= lists.vertex.shape[0]:
        return lists
    if 2 * (used + needed) > lists.counters[0].most:
        raise MemoryError
    vertex = np.empty(2 * (used + needed), np.int32)
    annotation = np.empty(2 * (used + needed), np.int32)
    vertex[:used], annotation[:used] = lists.vertex[:used], lists.annotation[:used]
    return _replaced(lists, vertex, annotation)


@jit
def _replaced(lists: NeighbourLists, vertex: np.ndarray, annotation: np.ndarray) -> NeighbourLists:
    return NeighbourLists(
        lists.start,
        lists.size,
        lists.busy,
        lists.is_active,
        vertex,
        annotation,
        lists.wake,
        lists.now,
        lists.now_code,
        lists.dominator,
        lists.component,
        lists.bound,
        lists.number,
        lists.earliest,
        lists.stack,
        lists.counters,
    )


@jit
def moved(lists: NeighbourLists, active: np.ndarray, more: np.ndarray) -> NeighbourLists:
    """The lists of the `active` vertices in a new pool, each with room for `more` neighbours; the others are gone.

    Raises:
        MemoryError: the pool would have more entries than allowed.
    """
    start, size = lists.start, lists.size
    total = 0
    for k in range(active.shape[0]):
        total += size[active[k]] + more[k]
    if total > lists.counters[0].most:
        raise MemoryError
    vertex, annotation = np.empty(total + 64, np.int32), np.empty(total + 64, np.int32)
    used = 0
    for k in range(active.shape[0]):
        p = active[k]
        first, count = start[p], size[p]
        vertex[used : used + count] = lists.vertex[first : first + count]
        annotation[used : used + count] = lists.annotation[first : first + count]
        start[p] = used
        used += count + more[k]
    lists.counters[0].used = used
    return _replaced(lists, vertex, annotation)


@jit_no_refcount
def append(lists: NeighbourLists, p: int, q: int, annotation: int) -> None:
    """Add q to the list of p, which has room."""
    k = lists.start[p] + lists.size[p]
    lists.vertex[k], lists.annotation[k] = q, 0
    lists.size[p] += 1
    if annotation != 0:
        set_annotation(lists, p, k, annotation)


@jit_no_refcount
def set_annotation(lists: NeighbourLists, p: int, k: int, annotation: int) -> None:
    """Give entry k of the list of p, whose annotation is zero, another one."""
    vertex, annotations = lists.vertex, lists.annotation
    first = lists.start[p] + lists.busy[p]
    vertex[k], vertex[first] = vertex[first], vertex[k]
    annotations[k], annotations[first] = annotations[first], annotation
    lists.busy[p] += 1


@jit_no_refcount
def clear_annotation(lists: NeighbourLists, p: int, k: int) -> None:
    """Make the annotation of entry k of the list of p zero; the last non-zero one takes its place."""
    vertex, annotations = lists.vertex, lists.annotation
    last = lists.start[p] + lists.busy[p] - 1
    vertex[k], vertex[last] = vertex[last], vertex[k]
    annotations[k], annotations[last] = annotations[last], 0
    lists.busy[p] -= 1


@jit
def empty_heap() -> Heap:
    """A heap with room for some edges."""
    return Heap(np.empty(4096), np.empty(4096, np.int64), np.empty((4096, 2), np.int64))


@jit
def with_space(heap: Heap, needed: int, most: int) -> Heap:
    """The same heap, with room for `needed` edges in all.

    Raises:
        MemoryError: the heap would have more entries than `most` allows.
    """
    if needed <= heap.value.shape[0]:
        return heap
    size = max(needed, 2 * heap.value.shape[0])
    if 4 * size > most:
        raise MemoryError
    value, codes, ends = np.empty(size), np.empty(size, np.int64), np.empty((size, 2), np.int64)
    old = heap.value.shape[0]
    value[:old], codes[:old], ends[:old] = heap.value, heap.code, heap.ends
    return Heap(value, codes, ends)


@jit_no_refcount
def push(
    value: np.ndarray, codes: np.ndarray, ends: np.ndarray, count: int, tree: Tree, v: float, p: int, q: int
) -> int:
    """Add an edge to a heap with enough space.

    Args:
        value: (capacity,) squared lengths of the heap; written.
        codes: (capacity,) codes; written.
        ends: (capacity, 2) positions; written.
        count: number of edges in the heap.
        tree: the points.
        v: squared length of the edge.
        p: position of one end.
        q: position of the other end.

    Returns:
        The new number of edges.
    """
    own = code(tree.label, p, q)
    k = count
    while k > 0:
        above = (k - 1) >> 1
        if value[above] < v or (value[above] == v and codes[above] <= own):
            break
        value[k], codes[k] = value[above], codes[above]
        ends[k, 0], ends[k, 1] = ends[above, 0], ends[above, 1]
        k = above
    value[k], codes[k], ends[k, 0], ends[k, 1] = v, own, p, q
    return count + 1


@jit_no_refcount
def pop(value: np.ndarray, codes: np.ndarray, ends: np.ndarray, count: int) -> int:
    """Take the first edge off a heap of `count` edges. Returns how many are left."""
    count -= 1
    v, own, p, q = value[count], codes[count], ends[count, 0], ends[count, 1]
    k = 0
    while 2 * k + 1 < count:
        below = 2 * k + 1
        right = below + 1
        if right < count and (
            value[right] < value[below] or (value[right] == value[below] and codes[right] < codes[below])
        ):
            below = right
        if v < value[below] or (v == value[below] and own <= codes[below]):
            break
        value[k], codes[k] = value[below], codes[below]
        ends[k, 0], ends[k, 1] = ends[below, 0], ends[below, 1]
        k = below
    value[k], codes[k], ends[k, 0], ends[k, 1] = v, own, p, q
    return count


@jit_no_refcount
def root(dominator: np.ndarray, v: int) -> int:
    """The end of v's chain of dominators: v itself if nothing dominates it."""
    while dominator[v] >= 0:
        v = dominator[v]
    return v

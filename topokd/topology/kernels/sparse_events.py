"""Events of the sparse sweep: a class is born, or an edge at an active vertex enters."""

from __future__ import annotations

import numpy as np

from topokd.topology.kernels.annotations import create_class
from topokd.topology.kernels.kd_tree import Tree, code
from topokd.topology.kernels.settings import jit_no_refcount
from topokd.topology.kernels.sparse_lunes import annotate, attach_cells, central_member, components_of_lune, members
from topokd.topology.kernels.sparse_state import Heap, NeighbourLists, append, pop, set_annotation
from topokd.topology.kernels.state import OUT_OF_SPACE, Annotations

SHELL_DONE, WAKE = 0, 1  # why a run of events ended; or OUT_OF_SPACE
LONG_LIST = 48  # neighbours from which a search for a central member of the lune is faster than the whole lune


@jit_no_refcount
def enter(
    tree: Tree,
    lists: NeighbourLists,
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

    Args:
        tree: the points.
        lists: neighbours of the active vertices; updated.
        heap: edges of vertices that became active within the shell; those that enter are taken off.
        annotations: all of them; updated.
        births: (k, 2) creating edges in the total order, as positions.
        birth_values: (k,) their squared lengths.
        b: the next one.
        edges: (m, 2) edges of the shell in the total order, as positions.
        values: (m,) their squared lengths.
        e: the next one.
        outer: squared radius up to which creating edges enter.

    Returns:
        The next creating edge, the next edge of the shell, and why it stopped: `SHELL_DONE`, `WAKE` (also where the
        pool is to be compacted) or OUT_OF_SPACE.
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
def _let_in(tree: Tree, lists: NeighbourLists, annotations: Annotations, p: int, q: int, value: float, own: int) -> int:
    """Let an edge enter that has an active end and creates nothing. Returns 0 or OUT_OF_SPACE."""
    is_active, size = lists.is_active, lists.size
    if is_active[p] == 0 or (is_active[q] != 0 and size[q] < size[p]):
        p, q = q, p
    hub = central_member(tree, lists, p, q, value) if size[p] > LONG_LIST else -1
    count = 0 if hub >= 0 else members(tree, lists, p, q, value, own)
    annotation = 0
    if hub >= 0:
        annotation = annotate(lists, annotations, p, q, hub)
    elif count > 0:
        hub = lists.component[0]
        components = components_of_lune(tree, lists, count, value, own)
        if components > 1 and attach_cells(tree, lists, annotations, p, q, components) == OUT_OF_SPACE:
            return OUT_OF_SPACE
        annotation = annotate(lists, annotations, p, q, hub)
    if annotation == OUT_OF_SPACE:
        return OUT_OF_SPACE
    for u, v in ((p, q), (q, p)):
        if is_active[u] != 0:
            append(lists, u, v, annotation)
        elif annotation > 0:
            _add_wake(lists, u, v, annotation)
    lists.now[0], lists.now_code[0] = value, own
    return 0


@jit_no_refcount
def _add_wake(lists: NeighbourLists, p: int, q: int, annotation: int) -> None:
    counters = lists.counters[0]
    lists.wake[counters.wakes, 0], lists.wake[counters.wakes, 1] = p, q
    lists.wake[counters.wakes, 2] = annotation
    counters.wakes += 1


@jit_no_refcount
def _set_annotation(lists: NeighbourLists, p: int, q: int, annotation: int) -> None:
    """Store the annotation of an edge that is in the lists of its active ends; the others become active."""
    for u, v in ((p, q), (q, p)):
        if lists.is_active[u] == 0:
            _add_wake(lists, u, v, annotation)
            continue
        k = lists.start[u] + lists.size[u] - 1
        while lists.vertex[k] != v:
            k -= 1
        set_annotation(lists, u, k, annotation)

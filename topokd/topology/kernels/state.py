"""State of the sweep: arrays in two named tuples and one record of counters, with their growth.

`Graph` is the graph built so far and does not grow. `Annotations` is the cohomology of that graph's
(reduced) Rips complex and grows by `grow`. The diagram in `topokd.topology.kernels` shows both.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from topokd.topology.kernels.bitset import ONE
from topokd.topology.kernels.settings import jit_inline, jit_part
from topokd.topology.kernels.sorting import argsort

OUT_OF_SPACE = -1  # a buffer is full and nothing has changed: call grow, then call again
CANDIDATE = -(1 << 31)  # entry of edge_annotation: a future edge whose lune may be empty when it enters

EDGES_PER_BATCH = 1024  # edges between two looks at the time limit and at the list of active edges
# A pool below this many entries is never compacted, 4 MB: gaps of that size cost nothing.
MIN_POOL_TO_COMPACT = 1 << 20
MAX_GAP_FRACTION = 8  # the pool is compacted again once it has grown by 1/8, so at most about 1/8 of it is gaps

COUNTERS = np.dtype(
    [
        ("births", np.int64),  # classes of degree 1 created
        ("deaths", np.int64),  # classes of degree 1 killed
        ("merges", np.int64),  # components merged: deaths of degree 0
        ("relations", np.int64),  # components of lunes beyond the first, each a 2-cell attached
        ("candidates", np.int64),  # future edges marked CANDIDATE
        ("annotations", np.int64),  # annotations made, the zero annotation included
        ("pool_used", np.int64),  # entries of the pool in use
        ("compact_at", np.int64),  # pool_used at which the pool is compacted
        ("work_of_substitutes", np.int64),  # to add each substitute once
        ("work_in_vain", np.int64),  # on sums that killed nothing, since the substitutes were last rewritten
        ("active_edges", np.int64),  # length of the list of active edges
        ("births_listed", np.int64),  # births whose edges have been through the list of active edges
        ("stack_needed", np.int64),  # size of the stack that was too small, else 0
    ]
)


class Graph(NamedTuple):
    """The graph of the edges that have entered, and scratch space for lunes.

    Bitsets and `edge_annotation` are indexed by position, not by vertex: central vertices have low positions, so the
    lowest member of a lune is a hub that most of the lune is adjacent to.
    """

    filtration: np.ndarray  # (n, n) filtration value of each edge
    position: np.ndarray  # (n,) of each vertex
    vertex: np.ndarray  # (n,) at each position
    adjacent: np.ndarray  # (n, words) closed neighbourhood of each position: a bitset that contains the position itself
    # (n (n - 1) / 2,) per edge, see edge_index: number of its annotation; -1 - v while it is known only to be the sum
    # of the two other edges of its cofacet with third vertex v; or CANDIDATE
    edge_annotation: np.ndarray
    row_start: np.ndarray  # (n,) edge (p, q), p < q, is entry row_start[p] + q
    is_active: np.ndarray  # (n,) whether an active edge ends at the position
    parent: np.ndarray  # (n,) union-find of components, by vertex
    dead_vertex: np.ndarray  # (merges,) oldest vertex of the younger component of each merge
    merging_edge: np.ndarray  # (merges, 2) the edge of each merge
    scratch_lune: np.ndarray  # (words,) lune of the current edge
    scratch_component: np.ndarray  # (words,) one component of it
    scratch_rest: np.ndarray  # (words,) vertices not yet assigned to a component
    scratch_members: np.ndarray  # (n,) one position per component


class Annotations(NamedTuple):
    """Annotation of every edge in the classes of degree 1, over Z/2, and the data of each class.

    An annotation is a rising list of classes, numbered by birth: entries `start : start + length` of `pool`. A
    substitute of many classes is a bitset of -`length` words instead, from the even entry `start` on.
    Annotation 0 is zero.
    """

    pool: np.ndarray  # (capacity,) classes, list after list
    words: np.ndarray  # (capacity / 2,) the same memory, for bitsets
    start: np.ndarray  # (annotations,)
    length: np.ndarray  # (annotations,)
    deaths_seen: np.ndarray  # (annotations,) deaths when it was last written in living classes, or fewer
    substitute: np.ndarray  # (births,) -1 while the class lives, then the annotation that the class equals
    birth_edge: np.ndarray  # (births, 2)
    death_triangle: np.ndarray  # (births, 3), -1 while the class lives
    death_order: np.ndarray  # (births,) which death it was, -1 while the class lives
    active_edges: np.ndarray  # (active_edges, 2) positions
    stack: np.ndarray  # (depth, 2) positions of edges whose annotations are being evaluated
    scratch_sum: np.ndarray  # (births / 64,) bitset of classes: a sum of annotations
    counters: np.ndarray  # (1,) of dtype COUNTERS


@jit_part
def initial_graph(filtration: np.ndarray, centrality: np.ndarray) -> Graph:
    """The graph without edges; vertices get positions by rising `centrality`, their sum of distances."""
    n = filtration.shape[0]
    words = (n + 63) // 64
    adjacent = np.zeros((n, words), np.uint64)
    for p in range(n):
        adjacent[p, p >> 6] = ONE << np.uint64(p & 63)
    vertex = argsort(centrality)
    position, row_start, parent = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
    for p in range(n):
        position[vertex[p]], row_start[p], parent[p] = p, p * (2 * n - p - 3) // 2 - 1, p
    return Graph(
        filtration,
        position,
        vertex,
        adjacent,
        np.zeros(n * (n - 1) // 2, np.int32),
        row_start,
        np.zeros(n, np.uint8),
        parent,
        np.empty(max(1, n - 1), np.int64),
        np.empty((max(1, n - 1), 2), np.int64),
        np.empty(words, np.uint64),
        np.empty(words, np.uint64),
        np.empty(words, np.uint64),
        np.empty(n, np.int64),
    )


@jit_part
def initial_annotations() -> Annotations:
    """No class, and the zero annotation."""
    counters = np.zeros(1, COUNTERS)
    counters[0].annotations = 1
    counters[0].compact_at = MIN_POOL_TO_COMPACT
    substitute = np.empty(256, np.int32)
    for number in range(256):
        substitute[number] = -1
    words = np.empty(2048, np.uint64)
    return Annotations(
        words.view(np.int32),
        words,
        np.zeros(1024, np.int64),
        np.zeros(1024, np.int32),
        np.zeros(1024, np.int32),
        substitute,
        np.empty((256, 2), np.int64),
        np.empty((256, 3), np.int64),
        np.empty(256, np.int64),
        np.empty((256, 2), np.int32),
        np.empty((256, 2), np.int32),
        np.zeros(5, np.uint64),
        counters,
    )


@jit_part
def grow(annotations: Annotations) -> Annotations:
    """Enlarge every buffer that is more than half full (the pool: nearly full).

    Only this function returns the tuple of arrays: to return it from every function that may run out of space would
    cost more than the calls.
    """
    pool, words, start, length = annotations.pool, annotations.words, annotations.start, annotations.length
    deaths_seen = annotations.deaths_seen
    substitute, scratch_sum = annotations.substitute, annotations.scratch_sum
    birth_edge, death_triangle = annotations.birth_edge, annotations.death_triangle
    death_order, active_edges, stack = annotations.death_order, annotations.active_edges, annotations.stack
    counters = annotations.counters[0]
    if 2 * counters.annotations >= start.shape[0]:
        start, length = _enlarged(start, 0), _enlarged(length, 0)
        deaths_seen = _enlarged(deaths_seen, 0)
    if 2 * counters.births >= substitute.shape[0]:
        substitute = _enlarged(substitute, -1)
        scratch_sum = np.zeros(substitute.shape[0] // 64 + 1, np.uint64)
        birth_edge, death_triangle = _more_rows(birth_edge), _more_rows(death_triangle)
        death_order = _enlarged(death_order, 0)
    # two annotations never need more than 2 * substitute.shape[0] entries
    if pool.shape[0] - counters.pool_used < max(pool.shape[0] // 8, 2 * substitute.shape[0]):
        larger = np.empty(8 * words.shape[0], np.uint64)  # pages that are never written take no memory
        for k in range((counters.pool_used + 1) // 2):
            larger[k] = words[k]
        pool, words = larger.view(np.int32), larger
    if 2 * counters.active_edges >= active_edges.shape[0]:
        active_edges = _more_rows(active_edges)
    if 2 * counters.stack_needed >= stack.shape[0]:
        stack = _more_rows(stack)
        counters.stack_needed = 0
    return Annotations(
        pool,
        words,
        start,
        length,
        deaths_seen,
        substitute,
        birth_edge,
        death_triangle,
        death_order,
        active_edges,
        stack,
        scratch_sum,
        annotations.counters,
    )


@jit_part
def _enlarged(array, value):  # type: ignore[no-untyped-def]
    """The array with room for twice as many numbers; new ones are ``value``."""
    larger = np.empty(2 * array.shape[0], array.dtype)
    for k in range(larger.shape[0]):
        larger[k] = array[k] if k < array.shape[0] else value
    return larger


@jit_part
def _more_rows(array):  # type: ignore[no-untyped-def]
    """The array with room for twice as many rows."""
    larger = np.empty((2 * array.shape[0], array.shape[1]), array.dtype)
    for k in range(array.shape[0]):
        for axis in range(array.shape[1]):
            larger[k, axis] = array[k, axis]
    return larger


@jit_part
def compact(annotations: Annotations) -> None:
    """Close the gaps in the pool that rewritten annotations left, and set when to do so again."""
    pool, start, length = annotations.pool, annotations.start, annotations.length
    counters = annotations.counters[0]
    used, starts = 0, np.empty(counters.annotations)  # in float64, which is sorted elsewhere too
    for annotation in range(counters.annotations):
        starts[annotation] = start[annotation]
    for annotation in argsort(starts):
        first, size = start[annotation], np.int64(length[annotation])
        if size < 0:  # a bitset begins at an even entry; it moves down, or stays
            used += used & 1
            size *= -2
        for k in range(size):
            pool[used + k] = pool[first + k]
        start[annotation] = used
        used += size  # type: ignore[assignment]
    counters.pool_used = used
    counters.compact_at = max(counters.compact_at, used + used // MAX_GAP_FRACTION)


@jit_inline
def edge_index(row_start: np.ndarray, p: int, q: int) -> int:
    """Entry of `edge_annotation` of the edge between positions p and q."""
    return row_start[min(p, q)] + max(p, q)


@jit_inline
def all_dead_and_connected(counters: np.record, n: int) -> bool:
    """Whether no class of degree 1 lives and the n vertices are in one component."""
    return counters.births == counters.deaths and counters.merges == n - 1

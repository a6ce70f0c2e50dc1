"""The lune of an edge in the sparse sweep: its members from the list of one end, adjacency from coordinates."""

from __future__ import annotations

import numpy as np

from topokd.topology.kernels.annotations import add, add_four, kill_class, update
from topokd.topology.kernels.kd_tree import Tree, code, is_before, next_leaf, squared
from topokd.topology.kernels.settings import jit_no_refcount
from topokd.topology.kernels.sparse_state import NeighbourLists, root
from topokd.topology.kernels.state import OUT_OF_SPACE, Annotations

CENTRAL = 0.1339  # below 1 - sqrt(3) / 2 = 0.13397


@jit_no_refcount
def members(tree: Tree, lists: NeighbourLists, p: int, q: int, value: float, own: int) -> int:
    """Fill `component` with the lune of edge (p, q), the hub first: the member nearest to its middle.

    Args:
        tree: the points.
        lists: neighbours of the active vertices; ``component`` is written.
        p: position of an active end of the edge.
        q: position of the other end.
        value: its squared length.
        own: its code.

    Returns:
        The number of members.
    """
    coords, label, vertex, lune = tree.coords, tree.label, lists.vertex, lists.component
    first = lists.start[p]
    count, best = 0, np.inf
    for k in range(first, first + lists.size[p]):
        v = vertex[k]
        of_q = squared(coords, q, v)
        if v != q and (of_q < value or (of_q == value and code(label, q, v) < own)):
            lune[count] = v
            middle = of_q + squared(coords, p, v)
            if middle < best:
                best = middle
                lune[0], lune[count] = v, lune[0]
            count += 1
    return count


@jit_no_refcount
def central_member(tree: Tree, lists: NeighbourLists, p: int, q: int, value: float) -> int:
    """A vertex so near to the middle of edge (p, q) that it is adjacent to all of the lune.

    By Apollonius, members of the lune are within sqrt(3) / 2 of the edge's length from its middle; the rest of the
    length is left for the distance of the vertex.

    Args:
        tree: the points.
        lists: only its buffer ``stack`` is used.
        p: position of one end of the edge.
        q: position of the other end.
        value: its squared length.

    Returns:
        The vertex, -1 if there is none.
    """
    coords, low, high, stack = tree.coords, tree.low, tree.high, lists.stack
    within = value * CENTRAL * CENTRAL
    stack[0], depth = 1, 1
    while depth > 0:
        depth -= 1
        node = stack[depth]
        if tree.left[node] == 0:
            continue
        total = 0.0
        for k in range(coords.shape[1]):
            middle = 0.5 * (coords[p, k] + coords[q, k])
            outside = max(low[node, k] - middle, middle - high[node, k], 0.0)
            total += outside * outside
        if total > within:
            continue
        if node < tree.inner:
            stack[depth], stack[depth + 1] = 2 * node, 2 * node + 1
            depth += 2
            continue
        for v in range(tree.first[node], tree.last[node]):
            total = 0.0
            for k in range(coords.shape[1]):
                difference = coords[v, k] - 0.5 * (coords[p, k] + coords[q, k])
                total += difference * difference
            if total < within and tree.alive[v] != 0:
                return v
    return -1


@jit_no_refcount
def components_of_lune(tree: Tree, lists: NeighbourLists, count: int, value: float, own: int) -> int:
    """Sort the members of the lune by component, the hub's first.

    Args:
        tree: the points.
        lists: ``component`` holds the members and is reordered; ``bound`` receives where each component begins.
        count: number of members.
        value: squared length of the edge.
        own: its code.

    Returns:
        The number of components.
    """
    coords, label, lune, bound = tree.coords, tree.label, lists.component, lists.bound
    components, reached = 0, 0  # members before `reached` are in components found so far
    bound[0] = 0
    while reached < count:
        reader = reached
        reached += 1
        while reader < reached:  # members reader : reached have neighbours that are not looked for yet
            u = lune[reader]
            reader += 1
            for k in range(reached, count):
                v = lune[k]
                if is_before(coords, label, u, v, value, own):
                    lune[k], lune[reached] = lune[reached], v
                    reached += 1
        components += 1
        bound[components] = reached
    return components


@jit_no_refcount
def annotation_of(lists: NeighbourLists, p: int, q: int) -> int:
    """Annotation of an edge that has entered."""
    if lists.is_active[p] == 0 or lists.is_active[q] == 0:
        return 0
    if lists.busy[p] > lists.busy[q]:
        p, q = q, p
    vertex, first = lists.vertex, lists.start[p]
    for k in range(first, first + lists.busy[p]):
        if vertex[k] == q:
            return np.int64(lists.annotation[k])  # type: ignore[return-value]
    return 0


@jit_no_refcount
def annotate(lists: NeighbourLists, annotations: Annotations, p: int, q: int, hub: int) -> int:
    """Annotation of edge (p, q) from its cofacet.

    Args:
        lists: neighbours of the active vertices.
        annotations: all of them; updated.
        p: position of one end.
        q: position of the other end.
        hub: position of the third vertex of the cofacet.

    Returns:
        The annotation, 0 if no living class is in it, or OUT_OF_SPACE.
    """
    of_p, of_q = annotation_of(lists, p, hub), annotation_of(lists, q, hub)
    if of_p == of_q:
        return 0
    made: int = of_p + of_q
    if of_p != 0 and of_q != 0:
        made = add(annotations, of_p, of_q)
    if made <= 0:
        return made
    if update(annotations, made) == OUT_OF_SPACE:
        return OUT_OF_SPACE
    return made if annotations.length[made] > 0 else 0


@jit_no_refcount
def attach_cells(tree: Tree, lists: NeighbourLists, annotations: Annotations, p: int, q: int, components: int) -> int:
    """Kill a class, or none, with each of the `components` components of the lune but the first.

    Args:
        tree: the points.
        lists: ``component`` and ``bound`` as `components_of_lune` leaves them; ``bound`` is overwritten.
        annotations: all of them; updated.
        p: position of one end of the edge.
        q: position of the other end.
        components: number of components.

    Returns:
        0 or OUT_OF_SPACE.
    """
    label, lune, bound, counters = tree.label, lists.component, lists.bound, annotations.counters[0]
    all_boundaries = True
    for k in range(1, components):
        boundary = _annotate_square(lists, annotations, p, q, lune[0], lune[bound[k]])
        if boundary == OUT_OF_SPACE:
            return OUT_OF_SPACE
        all_boundaries = all_boundaries and boundary == 0
    counters.relations += components - 1
    if all_boundaries:
        return 0
    _order_components(tree, lists, p, q, components)
    for k in range(1, components):
        boundary = _annotate_square(lists, annotations, p, q, lune[bound[0]], lune[bound[k]])
        if boundary == OUT_OF_SPACE:
            return OUT_OF_SPACE
        if boundary > 0:
            kill_class(annotations, boundary, label[p], label[q], label[lists.earliest[k]])
    return 0


@jit_no_refcount
def _order_components(tree: Tree, lists: NeighbourLists, p: int, q: int, components: int) -> None:
    """Sort components by the member that entered the lune of (p, q) first, and put those members into `earliest`.

    These may be vertices that are left out by now: each is in the component of the vertex that dominates it.
    """
    coords, label, lune, bound = tree.coords, tree.label, lists.component, lists.bound
    number, earliest, stack = lists.number, lists.earliest, lists.stack
    for k in range(components):
        earliest[k] = -1
        for m in range(bound[k], bound[k + 1]):
            number[lune[m]] = k
    value, own = squared(coords, p, q), code(label, p, q)
    stack[0] = 1
    leaf, depth = next_leaf(tree, p, q, value, stack, 1)
    while leaf >= 0:
        for v in range(tree.first[leaf], tree.last[leaf]):
            if v in (p, q) or not is_before(coords, label, p, v, value, own):
                continue
            if is_before(coords, label, q, v, value, own):
                k = number[root(lists.dominator, v)]
                if earliest[k] < 0 or _entry(tree, p, q, v) < _entry(tree, p, q, earliest[k]):
                    earliest[k] = v
        leaf, depth = next_leaf(tree, p, q, value, stack, depth)
    for m in range(bound[components]):
        number[lune[m]] = -1
    for k in range(1, components):
        vertex, begin, at = earliest[k], bound[k], k
        while at > 0 and _entry(tree, p, q, earliest[at - 1]) > _entry(tree, p, q, vertex):
            earliest[at], bound[at] = earliest[at - 1], bound[at - 1]
            at -= 1
        earliest[at], bound[at] = vertex, begin


@jit_no_refcount
def _entry(tree: Tree, p: int, q: int, v: int) -> tuple[float, int]:
    """When v enters the lune of (p, q): squared length and code of the later one of its two edges."""
    of_p, of_q = squared(tree.coords, p, v), squared(tree.coords, q, v)
    code_p, code_q = code(tree.label, p, v), code(tree.label, q, v)
    if of_p > of_q or (of_p == of_q and code_p > code_q):
        return of_p, code_p
    return of_q, code_q


@jit_no_refcount
def _annotate_square(lists: NeighbourLists, annotations: Annotations, p: int, q: int, u: int, v: int) -> int:
    """Annotation of the cycle p, u, q, v in living classes: a new one, 0 if it is a boundary, or OUT_OF_SPACE."""
    sides = (annotation_of(lists, p, u), annotation_of(lists, q, u), annotation_of(lists, p, v),
             annotation_of(lists, q, v))  # fmt: skip
    return 0 if max(sides) == 0 else add_four(annotations, *sides)

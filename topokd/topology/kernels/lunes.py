"""Lunes: whether the lune of an edge is connected, its components, and a vertex to stand for each of them."""

from __future__ import annotations

import numpy as np

from topokd.topology.kernels import borrowing
from topokd.topology.kernels.bits import ONE, ZERO, lowest, lowest_member


@borrowing
def connected(sweep, witness):  # type: ignore[no-untyped-def]
    """Whether the lune is in one part. Four hubs in it, ``witness`` the first, reach all of most."""
    near, lune, part, rest = sweep.near, sweep.lune, sweep.part, sweep.rest
    words = lune.shape[0]
    left = ZERO
    for w in range(words):
        rest[w] = lune[w] & ~near[witness, w]
        left |= rest[w]
    if left == ZERO:
        return True
    one, two, three = _next_lowest(lune, near[witness])
    left = ZERO
    for w in range(words):
        rest[w] &= ~(near[one, w] | near[two, w] | near[three, w])
        left |= rest[w]
    if left == ZERO:
        return True
    for w in range(words):
        part[w] = lune[w] & ~rest[w]
    return _touching(near, part, rest) or _component(near, part, rest) < 0


@borrowing
def _next_lowest(lune, of_v):  # type: ignore[no-untyped-def]
    """The second, third and fourth lowest common member; with fewer of them, some come twice."""
    one, two, three, found = 0, 0, 0, 0
    for w in range(lune.shape[0]):
        members = lune[w] & of_v[w]
        while members != ZERO:
            one, two, three = two, three, w * 64 + lowest(members)
            members &= members - ONE
            found += 1
            if found == 4:
                return one, two, three
    if found < 2:
        two = three
    if found < 3:
        one = two
    return one, two, three


@borrowing
def _touching(near, part, rest):  # type: ignore[no-untyped-def]
    """Whether every member of ``rest`` has a neighbour in ``part``: so it is for most lunes, and it is quickly seen."""
    for w in range(rest.shape[0]):
        left = rest[w]
        while left != ZERO:
            of_v = near[w * 64 + lowest(left)]
            left &= left - ONE
            met = ZERO
            for x in range(part.shape[0]):  # to the end: a loop without exits runs on vectors
                met |= of_v[x] & part[x]
            if met == ZERO:
                return False
    return True


@borrowing
def _component(near, part, rest):  # type: ignore[no-untyped-def]
    """Move from ``rest`` to ``part`` all that is connected to ``part``; returns the lowest that is left, or -1."""
    words = rest.shape[0]
    changed = True
    while changed:
        changed = False
        for w in range(words):
            left = rest[w]
            while left != ZERO:
                v = w * 64 + lowest(left)
                left &= left - ONE
                of_v = near[v]
                met = ZERO
                for x in range(words):
                    met |= of_v[x] & part[x]
                if met != ZERO:
                    changed = True
                    rest[w] &= ~(ONE << np.uint64(v & 63))
                    part[w] |= ONE << np.uint64(v & 63)
                    for x in range(words):
                        joined = of_v[x] & rest[x]
                        part[x] |= joined
                        rest[x] &= ~joined
                    left &= rest[w]
    return lowest_member(rest)


@borrowing
def _part_of(near, part, rest, v):  # type: ignore[no-untyped-def]
    """Move v and what is connected to it from ``rest`` to ``part``, emptied before; the lowest that is left, or -1."""
    for w in range(rest.shape[0]):
        part[w] = rest[w] & near[v, w]
        rest[w] &= ~near[v, w]
    return _component(near, part, rest)


@borrowing
def components(sweep):  # type: ignore[no-untyped-def]
    """Fill ``apart`` with one place of each component of the lune; returns how many."""
    near, lune, part, rest, apart = sweep.near, sweep.lune, sweep.part, sweep.rest, sweep.apart
    for w in range(lune.shape[0]):
        rest[w] = lune[w]
    count, v = 0, lowest_member(lune)
    while v >= 0:
        apart[count] = v
        v = _part_of(near, part, rest, v)
        count += 1
    return count


@borrowing
def representatives(sweep, i, j):  # type: ignore[no-untyped-def]
    """Fill ``apart`` with the place of each component of the lune that first had both edges; returns how many.

    They come in the order in which their triangles with (i, j) do: by the longer of their two edges. So which triangle
    destroys does not depend on how the points are numbered unless two edges are equally long.
    """
    keys, vertex, near = sweep.keys, sweep.vertex, sweep.near
    lune, part, rest, apart = sweep.lune, sweep.part, sweep.rest, sweep.apart
    for w in range(lune.shape[0]):
        rest[w] = lune[w]
    count, v = 0, lowest_member(lune)
    while v >= 0:
        v = _part_of(near, part, rest, v)
        best, first, code_of_first = -1, np.inf, 0
        for w in range(part.shape[0]):
            left = part[w]
            while left != ZERO:
                u = w * 64 + lowest(left)
                left &= left - ONE
                key, code = _later(keys, i, j, vertex[u])
                if key < first or (key == first and code < code_of_first):
                    best, first, code_of_first = u, key, code
        k = count
        while k > 0 and _later(keys, i, j, vertex[apart[k - 1]]) > (first, code_of_first):
            apart[k] = apart[k - 1]
            k -= 1
        apart[k] = best
        count += 1
    return count


@borrowing
def _later(keys, i, j, v):  # type: ignore[no-untyped-def]
    """Key and code of the later one of the edges i v and j v."""
    n = keys.shape[0]
    code_i, code_j = min(i, v) * n + max(i, v), min(j, v) * n + max(j, v)
    if keys[i, v] > keys[j, v] or (keys[i, v] == keys[j, v] and code_i > code_j):
        return keys[i, v], code_i
    return keys[j, v], code_j

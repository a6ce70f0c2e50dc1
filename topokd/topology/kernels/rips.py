"""The sweep of engine ``reduced`` over the edges: lunes as bitsets. ``engines/reduced.py`` explains the idea."""

from __future__ import annotations

import numpy as np
from numba import njit

from topokd.topology.kernels import loops, order
from topokd.topology.kernels.loops import FULL, ONE, ZERO, lowest

OPEN = -(1 << 31)  # mark of an edge still to come whose lune may be empty then
BATCH = 1024  # edges between two looks at the clock
COLD = 8  # one in so many vertices may be warm for the others' edges to be left alone
HUBS = 8  # neighbours of a vertex that may settle its edges to come
TOO_DEEP = -2
FEW = 8  # living loops: so many may concern few vertices only
END, EMPTY, SPLIT, WARM = 0, 1, 2, 3  # why the fast loop stopped: batch done, the lune is empty, in parts, whole


@njit(cache=True, nogil=True)
def pairs(keys, limit, stop):  # type: ignore[no-untyped-def]
    """All pairs of degrees 0 and 1 among the edges with keys up to ``limit``.

    Returns: the vertices whose components ended and the edges (i, j) that merged them; the lowest vertices of the
    components that remain; per loop in order of birth its edge, its destroying triangle (i, j, r) (-1: lives on) and
    the order of its death (-1); the key of the last edge let in when ``stop[0]`` was raised meanwhile, else infinity;
    and counts for measurements: edges processed, relations tested, notes made.
    """
    n = keys.shape[0]
    words = (n + 63) // 64
    near = np.zeros((n, words), np.uint64)  # bitset of the neighbours of each place, itself among them
    for p in range(n):
        near[p, p >> 6] = ONE << np.uint64(p & 63)
    edge_note = np.zeros((n, n), np.int32)  # i < j: note of the edge's class, -1 - witness until asked for, or OPEN
    parent = np.arange(n)
    ended = np.empty(max(1, n - 1), np.int64)
    merged = np.empty((max(1, n - 1), 2), np.int64)
    birth: np.ndarray = np.empty((256, 2), np.int64)
    triangle: np.ndarray = np.empty((256, 3), np.int64)
    death: np.ndarray = np.empty(256, np.int64)
    notes = loops.empty()
    sets = np.empty((3, words), np.uint64)  # lune, part, rest
    apart = np.empty(n, np.int64)
    stack = np.empty((256, 2), np.int64)
    merges, births, deaths, relations, processed = 0, 0, 0, 0, 0
    scanned, open_edges = False, 0
    warm = np.empty(n, np.uint8)  # late in the sweep: whether any edge of a vertex carries a living loop
    past = np.empty(0, np.uint32)  # edges of the rounds before
    late, look_at = False, 32 * n

    radius, sums = order.extent(keys)
    # bitsets hold places, not vertices: central vertices come first, so that the lowest member of a lune is a hub of it
    vertex = np.argsort(sums, kind="mergesort")
    place = np.empty(n, np.int64)
    place[vertex] = np.arange(n)
    limit = min(limit, radius)
    after, reached = -1.0, np.inf
    quiet = False  # no edge to come can create or kill
    for upto in order.bounds(keys, limit):
        if quiet or reached < np.inf or upto <= after:
            continue
        values, codes = order.between(keys, after, upto)
        e = 0
        while e < codes.shape[0] and not quiet:
            if stop[0] != 0 and (e == 0 or values[e] > values[e - 1]):
                reached = values[e - 1] if e > 0 else max(after, 0.0)
                break
            living = births - deaths
            if not late and 0 < living <= FEW and processed + e >= look_at:
                if not scanned:
                    open_edges = _mark_open(keys, limit, near, place, vertex, edge_note)
                    scanned = True
                notes, stack, found = _warm(notes, edge_note, stack, past, codes[:e], warm)
                late = found * COLD <= n
                look_at = 2 * (processed + e)
            end = min(e + BATCH, codes.shape[0])
            e, why, passed = _advance(
                near, edge_note, place, vertex, codes, e, end, sets, living > 0, scanned, late, warm
            )
            open_edges -= passed
            if why == END:
                continue
            i, j = order.ends(codes[e])
            e += 1
            if why == EMPTY:
                p, q = _root(parent, i), _root(parent, j)
                if p != q:
                    parent[max(p, q)] = min(p, q)
                    ended[merges], merged[merges, 0], merged[merges, 1] = max(p, q), i, j
                    edge_note[i, j] = 0
                    merges += 1
                else:
                    if births == death.shape[0]:
                        birth = np.concatenate((birth, np.empty_like(birth)))
                        triangle = np.concatenate((triangle, np.empty_like(triangle)))
                        death = np.concatenate((death, np.empty_like(death)))
                    note = loops.born(notes)
                    while note == FULL:
                        notes = loops.grown(notes)
                        note = loops.born(notes)
                    edge_note[i, j] = note
                    birth[births, 0], birth[births, 1] = i, j
                    triangle[births, :] = -1
                    death[births] = -1
                    births += 1
                    warm[i], warm[j] = 1, 1
            elif why == SPLIT:
                # any member of a component will do to see whether its relation is known already; most are
                parts = _components(near, vertex, sets, apart)
                relations += parts - 1
                known, relation = True, 0
                for k in range(1, parts):
                    notes, stack, relation = _square(notes, edge_note, stack, i, j, apart[0], apart[k])
                    known = known and relation == 0
                if not known:
                    parts = _representatives(keys, near, vertex, sets, i, j, apart)
                for k in range(1, parts if not known else 0):  # the square i, r_0, j, r_k is filled
                    if parts > 2:  # of two components there is one relation, whoever stands for them
                        notes, stack, relation = _square(notes, edge_note, stack, i, j, apart[0], apart[k])
                    if relation == 0:
                        continue
                    loop = loops.died(notes, relation)
                    while loop == FULL:
                        notes = loops.grown(notes)
                        loop = loops.died(notes, relation)
                    triangle[loop, 0], triangle[loop, 1], triangle[loop, 2] = i, j, apart[k]
                    death[loop] = deaths
                    deaths += 1
                    while loops.refreshed(notes) == FULL:
                        notes = loops.grown(notes)
            if late and why != EMPTY:
                note = _settled(notes, edge_note, stack, i, j)
                while note < 0:
                    if note == FULL:
                        notes = loops.grown(notes)
                    else:
                        stack = np.concatenate((stack, np.empty_like(stack)))
                    note = _settled(notes, edge_note, stack, i, j)
                if note > 0:
                    warm[i], warm[j] = 1, 1
            _join(near, place[i], place[j])
            if births == deaths and merges == n - 1:
                if not scanned:
                    open_edges = _mark_open(keys, limit, near, place, vertex, edge_note)
                    scanned = True
                quiet = open_edges == 0
        processed += e
        past = np.concatenate((past, codes[:e]))
        after = upto
    remaining = np.flatnonzero(parent == np.arange(n))
    counts = np.array([processed, relations, notes.counts[1]])
    return (
        ended[:merges],
        merged[:merges],
        remaining,
        birth[:births],
        triangle[:births],
        death[:births],
        reached,
        counts,
    )


@njit(cache=True, nogil=True)
def _advance(  # type: ignore[no-untyped-def]
    near, edge_note, place, vertex, codes, e, end, sets, living, scanned, late, warm
):
    """Let edges in from ``e`` on until one may matter. Returns its place, why it may, how many OPEN edges passed."""
    words = near.shape[1]
    lune, part, rest = sets[0], sets[1], sets[2]
    passed = 0
    while e < end:
        i, j = order.ends(codes[e])
        if scanned:
            if edge_note[i, j] == OPEN:
                passed += 1
            elif not living or (late and warm[i] | warm[j] == 0):
                # its lune is not empty, and no loop lives or none is near: its class is zero and it kills nothing
                _join(near, place[i], place[j])
                e += 1
                continue
        p, q = place[i], place[j]
        of_i, of_j = near[p], near[q]
        present = ZERO
        for w in range(words):
            both = of_i[w] & of_j[w]
            lune[w] = both
            present |= both
        if present == ZERO:
            return e, EMPTY, passed
        if living and not (late and warm[i] | warm[j] == 0):
            witness = _lowest(lune)
            edge_note[i, j] = -1 - vertex[witness]
            of_v = near[witness]
            left = ZERO
            for w in range(words):
                rest[w] = lune[w] & ~of_v[w]
                left |= rest[w]
            if left != ZERO:
                one, two, three = _next_lowest(lune, of_v)  # three more hubs reach most of the others
                of_one, of_two, of_three = near[one], near[two], near[three]
                left = ZERO
                for w in range(words):
                    rest[w] &= ~(of_one[w] | of_two[w] | of_three[w])
                    left |= rest[w]
            if left != ZERO:
                for w in range(words):
                    part[w] = lune[w] & ~rest[w]
                if not _touching(near, part, rest) and _component(near, part, rest) >= 0:
                    return e, SPLIT, passed
            if late:  # the notes of all edges before are known
                one = edge_note[min(i, vertex[witness]), max(i, vertex[witness])]
                other = edge_note[min(j, vertex[witness]), max(j, vertex[witness])]
                if one != 0 and other != 0 and one != other:
                    return e, WARM, passed
                edge_note[i, j] = 0 if one == other else one + other
                if one != other:
                    warm[i], warm[j] = 1, 1
        else:
            edge_note[i, j] = 0
        _join(near, p, q)
        e += 1
    return e, END, passed


@njit(cache=True, nogil=True)
def _warm(notes, edge_note, stack, past, codes, warm):  # type: ignore[no-untyped-def]
    """Work out the notes of the edges let in, in their order, and mark the vertices of those with a living loop.

    Returns notes, stack, and how many vertices they are.
    """
    warm[:] = 0
    for some in (past, codes):
        for code in some:
            i, j = order.ends(code)
            note = edge_note[i, j]
            if note == 0:
                continue
            if note < 0:
                v = -1 - note
                if edge_note[min(i, v), max(i, v)] == 0 and edge_note[min(j, v), max(j, v)] == 0:
                    edge_note[i, j] = 0
                    continue
            note = _settled(notes, edge_note, stack, i, j)
            while note < 0:  # room is needed: too seldom to hand the arrays back from every call
                if note == FULL:
                    notes = loops.grown(notes)
                else:
                    stack = np.concatenate((stack, np.empty_like(stack)))
                note = _settled(notes, edge_note, stack, i, j)
            if note > 0:
                warm[i], warm[j] = 1, 1
    found = 0
    for mark in warm:
        found += mark
    return notes, stack, found


@njit(cache=True, nogil=True)
def _settled(notes, edge_note, stack, i, j):  # type: ignore[no-untyped-def]
    """The note of an edge, i < j, worked out and written in living loops, 0 for nothing; or FULL or TOO_DEEP."""
    note = edge_note[i, j]
    if note < 0:
        note = _class(notes, edge_note, stack, i, j)
    if note > 0:
        note = loops.rewritten(notes, note)
        if note > 0 and notes.length[note] == 0:
            edge_note[i, j] = note = 0
    return note


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def _join(near, p, q):  # type: ignore[no-untyped-def]
    near[p, q >> 6] |= ONE << np.uint64(q & 63)
    near[q, p >> 6] |= ONE << np.uint64(p & 63)


@njit(cache=True, nogil=True)
def _root(parent, v):  # type: ignore[no-untyped-def]
    while parent[v] != v:
        parent[v] = parent[parent[v]]
        v = parent[v]
    return v


@njit(cache=True, nogil=True)
def _lowest(bits):  # type: ignore[no-untyped-def]
    """The lowest member of a bitset, -1 where there is none."""
    for w in range(bits.shape[0]):
        if bits[w] != ZERO:
            return w * 64 + lowest(bits[w])
    return -1


@njit(cache=True, nogil=True)
def _split(near, members, part, rest, v):  # type: ignore[no-untyped-def]
    """``part``: v and its neighbours among the members; ``rest``: the other members."""
    of_v = near[v]
    for w in range(members.shape[0]):
        member = members[w]
        part[w] = member & of_v[w]
        rest[w] = member & ~of_v[w]


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
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
                meets = False
                for x in range(words):
                    if of_v[x] & part[x] != ZERO:
                        meets = True
                        break
                if meets:
                    changed = True
                    rest[w] &= ~(ONE << np.uint64(v & 63))
                    part[w] |= ONE << np.uint64(v & 63)
                    for x in range(words):
                        joined = of_v[x] & rest[x]
                        part[x] |= joined
                        rest[x] &= ~joined
                    left &= rest[w]
    return _lowest(rest)


@njit(cache=True, nogil=True)
def _components(near, vertex, sets, apart):  # type: ignore[no-untyped-def]
    """Fill ``apart`` with one vertex of each component of the lune; returns how many."""
    lune, part, rest = sets[0], sets[1], sets[2]
    rest[:] = lune
    count, v = 0, _lowest(lune)
    while v >= 0:
        apart[count] = vertex[v]
        _split(near, rest, part, rest, v)
        v = _component(near, part, rest)
        count += 1
    return count


@njit(cache=True, nogil=True)
def _representatives(keys, near, vertex, sets, i, j, apart):  # type: ignore[no-untyped-def]
    """Fill ``apart`` with the vertex of each component of the lune that first had both edges; returns how many.

    They come in the order in which their triangles with (i, j) do: by the longer of their two edges. So which triangle
    destroys does not depend on how the points are numbered unless two edges are equally long.
    """
    lune, part, rest = sets[0], sets[1], sets[2]
    rest[:] = lune
    count, v = 0, _lowest(lune)
    while v >= 0:
        _split(near, rest, part, rest, v)
        v = _component(near, part, rest)
        best, first, code_of_first = -1, np.inf, 0
        for w in range(part.shape[0]):
            left = part[w]
            while left != ZERO:
                u = vertex[w * 64 + lowest(left)]
                left &= left - ONE
                key, code = _later(keys, i, j, u)
                if key < first or (key == first and code < code_of_first):
                    best, first, code_of_first = u, key, code
        k = count
        while k > 0 and _later(keys, i, j, apart[k - 1]) > (first, code_of_first):
            apart[k] = apart[k - 1]
            k -= 1
        apart[k] = best
        count += 1
    return count


@njit(cache=True, nogil=True)
def _later(keys, i, j, v):  # type: ignore[no-untyped-def]
    """Key and code of the later one of the edges i v and j v."""
    n = keys.shape[0]
    code_i, code_j = min(i, v) * n + max(i, v), min(j, v) * n + max(j, v)
    if keys[i, v] > keys[j, v] or (keys[i, v] == keys[j, v] and code_i > code_j):
        return keys[i, v], code_i
    return keys[j, v], code_j


@njit(cache=True, nogil=True)
def _square(notes, edge_note, stack, i, j, witness, r):  # type: ignore[no-untyped-def]
    """The class of the closed path i, witness, j, r, in living loops. Returns notes, stack, and its note (0: zero)."""
    while True:
        total = 0
        for p, q in ((i, witness), (j, witness), (i, r), (j, r)):
            note = edge_note[min(p, q), max(p, q)]
            if note < 0:
                note = _class(notes, edge_note, stack, min(p, q), max(p, q))
            if note == FULL:
                total = FULL
            elif note == TOO_DEEP:
                stack = np.concatenate((stack, np.empty_like(stack)))
                total = FULL
            elif total == 0 or note == 0:
                total += note
            else:
                total = loops.added(notes, total, note)
            if total == FULL:
                break
        if total != FULL:
            total = loops.rewritten(notes, total)
        if total != FULL:
            return notes, stack, total if notes.length[total] > 0 else 0
        notes = loops.grown(notes)


@njit(cache=True, nogil=True)
def _class(notes, edge_note, stack, i, j):  # type: ignore[no-untyped-def]
    """The note of an edge, i < j: the sum over the other two edges of its witness's triangle, kept once found.

    FULL and TOO_DEEP when the notes or the stack need more room; what was found by then is kept.
    """
    stack[0, 0], stack[0, 1] = i, j
    depth = 1
    while depth > 0:
        p, q = stack[depth - 1, 0], stack[depth - 1, 1]
        note = edge_note[p, q]
        if note >= 0:
            depth -= 1
            continue
        v = -1 - note
        one, other = edge_note[min(p, v), max(p, v)], edge_note[min(q, v), max(q, v)]
        if one >= 0 and other >= 0:
            note = one + other
            if one != 0 and other != 0:
                note = loops.added(notes, one, other)
                if note == FULL:
                    return FULL
            edge_note[p, q] = note
            depth -= 1
            continue
        if depth == stack.shape[0]:
            return TOO_DEEP
        end = p if one < 0 else q
        stack[depth, 0], stack[depth, 1] = min(end, v), max(end, v)
        depth += 1
    return edge_note[i, j]


@njit(cache=True, nogil=True)
def _mark_open(keys, limit, near, place, vertex, edge_note):  # type: ignore[no-untyped-def]
    """Mark the edges to come that no vertex w is known to close: d(i, w), d(w, j) before d(i, j). Returns how many.

    A few neighbours of i settle nearly all edges of a row at once; what they leave is tried with every vertex.
    """
    n = keys.shape[0]
    shortest = np.empty(n)
    candidates = np.empty(n + 1, np.int64)
    found = 0
    for i in range(n):
        shortest[:] = np.inf
        tried, unsettled = 0, n
        for w in range(near.shape[1]):
            left = near[place[i], w]
            while left != ZERO and tried < HUBS and unsettled > 0:
                of_v = keys[vertex[w * 64 + lowest(left)]]
                unsettled = _nearer(shortest[i + 1 :], of_v[i + 1 :], keys[i, i + 1 :])
                left &= left - ONE
                tried += 1
        p = place[i]
        for c in range(_not_below(keys[i, i + 1 :], shortest[i + 1 :], limit, candidates)):
            j = i + 1 + candidates[c]
            key, q = keys[i, j], place[j]
            if near[p, q >> 6] >> np.uint64(q & 63) & ONE != ZERO:
                continue
            if not (_closed(keys[j], near[p], vertex, key) or _closed(keys[i], near[q], vertex, key)):
                edge_note[i, j] = OPEN
                for v in range(n):  # a vertex that is joined to neither yet
                    if keys[i, v] < key and keys[j, v] < key and v != i and v != j:
                        edge_note[i, j] = 0
                        break
                found += edge_note[i, j] == OPEN
    return found


@njit(cache=True, nogil=True)
def _closed(row, members, vertex, key):  # type: ignore[no-untyped-def]
    """Whether any vertex of the set comes before ``key`` in the row."""
    for w in range(members.shape[0]):
        left = members[w]
        while left != ZERO:
            if row[vertex[w * 64 + lowest(left)]] < key:
                return True
            left &= left - ONE
    return False


@njit(cache=True, nogil=True)
def _not_below(of_i, shortest, limit, places):  # type: ignore[no-untyped-def]
    """Fill ``places`` with those where ``shortest`` is not below ``of_i``, and that within the limit; how many."""
    count = 0
    for j in range(of_i.shape[0]):
        places[count] = j
        count += (shortest[j] >= of_i[j]) & (of_i[j] <= limit)
    return count


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def _nearer(shortest, of_v, of_i):  # type: ignore[no-untyped-def]
    """``shortest`` = min(itself, ``of_v``); returns how many are not below ``of_i`` yet."""
    unsettled = 0
    for j in range(shortest.shape[0]):
        shortest[j] = min(shortest[j], of_v[j])
        unsettled += shortest[j] >= of_i[j]
    return unsettled

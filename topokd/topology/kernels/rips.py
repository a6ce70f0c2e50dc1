"""The sweep of engine ``reduced`` over the edges: lunes as bitsets. ``engines/reduced.py`` explains the idea.

Where few loops live, the edges that carry them are few too and are kept in a list. An edge between two places that none
of these touches carries nothing, and every path through its lune is zero, so it is let in after a look at whether its
lune is empty.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from topokd.topology.kernels import BORROWING, borrowing, compiled, loops, order
from topokd.topology.kernels.loops import BIRTHS, CARRIERS, DEATHS, DEPTH, FULL, ONE, USED, ZERO, lowest

OPEN = -(1 << 31)  # mark of an edge still to come whose lune may be empty then
BATCH = 1024  # edges between two looks at the clock
FIRST = 4  # edges per vertex that are in before carriers are listed
FEW = 4  # loops may live per so many vertices by then
COLD = 3  # one in so many places may be warm for the list to pay
HUBS = 8  # neighbours of a vertex that may settle its edges to come
END, CALM = 0, 1  # why the fast loop stopped: batch done; one component and no living loop; or FULL
SMALL = 1 << 20  # entries of notes; below that the gaps between them do not matter
MERGES, RELATIONS, OPENED, LISTED, TIDY_AT = range(5)  # places in ``tally``


class Sweep(NamedTuple):
    """What the sweep knows of the edges let in, but for notes.

    Bitsets and notes know places, not vertices: central vertices come first, so that the lowest member of a lune is a
    hub of it, and what is asked of hubs lies together.
    """

    keys: np.ndarray
    place: np.ndarray  # of each vertex
    vertex: np.ndarray  # at each place
    near: np.ndarray  # bitset of the neighbours of each place, itself among them
    edge_note: np.ndarray  # of each edge (see :func:`_at`) its class's note, -1 - witness until asked for, or OPEN
    row: np.ndarray  # where the edges of each place to later ones begin there
    warm: np.ndarray  # whether a listed carrier touches the place
    parent: np.ndarray  # of each vertex, in the forest of components
    ended: np.ndarray  # vertices whose components ended
    merged: np.ndarray  # edges that did that
    lune: np.ndarray  # bitsets of the edge that is looked at: its lune, one part of it, the rest
    part: np.ndarray
    rest: np.ndarray
    apart: np.ndarray  # one place per component of the lune
    tally: (
        np.ndarray
    )  # merges, relations tested, OPEN edges to come, births listed, entries of notes at which to tidy up


@compiled
def pairs(keys, limit, stop):  # type: ignore[no-untyped-def]
    """All pairs of degrees 0 and 1 among the edges with keys up to ``limit``.

    Returns: the vertices whose components ended and the edges (i, j) that merged them; the lowest vertices of the
    components that remain; per loop in order of birth its edge, its destroying triangle (i, j, r) (-1: lives on) and
    the order of its death (-1); the key of the last edge let in when ``stop[0]`` was raised meanwhile, else infinity;
    and counts for measurements: edges processed, relations tested, notes made.
    """
    n = keys.shape[0]
    radius, sums = order.extent(keys)
    bounds, last = order.rounds(keys, min(limit, radius))
    edges = order.gathered(keys, bounds, last, np.empty(0, np.uint64), order.EARLY)
    sweep = _begun(keys, sums)
    notes = loops.empty()
    tally, counts = sweep.tally, notes.counts
    reached = np.inf
    scanned, quiet = False, False  # quiet: no edge to come can create or kill
    eager, listed, look_at = False, 0, FIRST * n
    tally[TIDY_AT] = SMALL
    e = 0
    for turn in range(order.ROUNDS):
        if quiet or reached < np.inf or last[turn + 1] <= e:
            continue
        if turn >= order.EARLY and edges.shape[0] < last[order.ROUNDS]:
            edges = order.gathered(keys, bounds, last, edges, order.ROUNDS)
        order.sort(edges[e : last[turn + 1]], keys)
        while e < last[turn + 1] and not quiet:
            if stop[0] != 0:
                before = 0.0 if e == 0 else order.key(keys, edges[e - 1])
                if e == 0 or order.key(keys, edges[e]) > before:
                    reached = before
                    break
            if e >= look_at and (eager or (counts[BIRTHS] - counts[DEATHS]) * FEW <= n):
                while _strike_out(sweep, notes) == FULL:
                    notes = loops.grown(notes)
                if eager:  # all that came since are listed
                    listed, tally[LISTED] = e, counts[BIRTHS]
                while listed < e and sweep.warm.sum() * COLD <= n:
                    listed, why = _list(sweep, notes, edges, listed, e)
                    if why == FULL:
                        notes = loops.grown(notes)
                eager = sweep.warm.sum() * COLD <= n
                look_at = e + max(counts[CARRIERS], n) if eager else 2 * e
            e, why = _advance(sweep, notes, edges, e, min(e + BATCH, last[turn + 1]), scanned, eager)
            if counts[USED] > tally[TIDY_AT]:
                tally[TIDY_AT] = max(tally[TIDY_AT], loops.tidied(notes))
            if why == FULL:
                notes = loops.grown(notes)
            while loops.refreshed(notes) == FULL:
                notes = loops.grown(notes)
            if why == CALM and not scanned:
                tally[OPENED] = _mark_open(sweep, min(limit, radius))
                scanned = True
            calm = counts[BIRTHS] == counts[DEATHS] and tally[MERGES] == n - 1
            quiet = calm and scanned and tally[OPENED] == 0
    births, merges = counts[BIRTHS], tally[MERGES]
    return (
        sweep.ended[:merges],
        sweep.merged[:merges],
        np.flatnonzero(sweep.parent == np.arange(n)),
        notes.birth[:births],
        notes.triangle[:births],
        notes.death[:births],
        reached,
        np.array([e, tally[RELATIONS], counts[loops.MADE]]),
    )


@compiled
def _begun(keys, sums):  # type: ignore[no-untyped-def]
    """The sweep before the first edge."""
    n = keys.shape[0]
    words = (n + 63) // 64
    near = np.zeros((n, words), np.uint64)
    for p in range(n):
        near[p, p >> 6] = ONE << np.uint64(p & 63)
    vertex = np.argsort(sums, kind="mergesort")
    place = np.empty(n, np.int64)
    place[vertex] = np.arange(n)
    edge_note, warm, every = np.zeros(n * (n - 1) // 2, np.int32), np.zeros(n, np.uint8), np.arange(n)
    row = every * (2 * n - every - 3) // 2 - 1
    ended, merged = np.empty(max(1, n - 1), np.int64), np.empty((max(1, n - 1), 2), np.int64)
    lune, part, rest = np.empty(words, np.uint64), np.empty(words, np.uint64), np.empty(words, np.uint64)
    apart, tally = np.empty(n, np.int64), np.zeros(5, np.int64)
    return Sweep(
        keys, place, vertex, near, edge_note, row, warm, np.arange(n), ended, merged, lune, part, rest, apart, tally
    )


@borrowing
def _advance(sweep, notes, edges, e, end, scanned, eager):  # type: ignore[no-untyped-def]
    """Let edges in from ``e`` on. Returns how far it came, and why it stopped there."""
    place, near, lune, warm = sweep.place, sweep.near, sweep.lune, sweep.warm
    edge_note, row = sweep.edge_note, sweep.row
    tally, counts = sweep.tally, notes.counts
    n, words = near.shape
    while e < end:
        i, j = order.ends(edges[e])
        p, q = place[i], place[j]
        opened = scanned and edge_note[_at(row, p, q)] == OPEN
        calm, event = counts[BIRTHS] == counts[DEATHS], False
        full = eager and counts[CARRIERS] == notes.carriers.shape[0]
        present = ZERO
        if calm or (eager and warm[p] | warm[q] == 0):
            if scanned and not opened:  # it is known to have a vertex in its lune
                present = ONE
            else:
                for w in range(words):
                    present |= near[p, w] & near[q, w]
            if opened and present != ZERO:
                edge_note[_at(row, p, q)] = 0
        else:
            for w in range(words):
                both = near[p, w] & near[q, w]
                lune[w] = both
                present |= both
            if present != ZERO:
                witness = _lowest(lune)
                edge_note[_at(row, p, q)] = -1 - witness
                if not _connected(sweep, witness):
                    event = True
                    full |= _split(sweep, notes, i, j, p, q) == FULL
                if eager and not full:
                    one, other = edge_note[_at(row, p, witness)], edge_note[_at(row, q, witness)]
                    if one == 0 and other == 0:
                        edge_note[_at(row, p, q)] = 0
                    else:
                        full |= _listed(sweep, notes, p, q) == FULL
        if present == ZERO and not full:
            event = True
            full = _empty(sweep, notes, i, j, p, q) == FULL
            if eager and not full and edge_note[_at(row, p, q)] > 0:
                _listed(sweep, notes, p, q)
        if full:  # the edge comes again
            if opened:
                edge_note[_at(row, p, q)] = OPEN
            return e, FULL
        near[p, q >> 6] |= ONE << np.uint64(q & 63)
        near[q, p >> 6] |= ONE << np.uint64(p & 63)
        tally[OPENED] -= opened
        e += 1
        if event and counts[BIRTHS] == counts[DEATHS] and tally[MERGES] == n - 1:
            return e, CALM
        if event and counts[USED] > tally[TIDY_AT]:
            return e, END
    return e, END


@njit(cache=True, nogil=True, inline="always")
def _at(row, p, q):  # type: ignore[no-untyped-def]
    """Where the note of edge (p, q) is."""
    return row[min(p, q)] + max(p, q)


@borrowing
def _empty(sweep, notes, i, j, p, q):  # type: ignore[no-untyped-def]
    """An empty lune: the edge merges two components or closes a loop. Returns FULL, or its note."""
    parent, tally = sweep.parent, sweep.tally
    one, other = _root(parent, i), _root(parent, j)
    if one == other:
        note = loops.born(notes, i, j)
        if note == FULL:
            return FULL
    else:
        parent[max(one, other)] = min(one, other)
        merges = tally[MERGES]
        sweep.ended[merges], sweep.merged[merges, 0], sweep.merged[merges, 1] = max(one, other), i, j
        tally[MERGES] += 1
        note = 0
    sweep.edge_note[_at(sweep.row, p, q)] = note
    return note


@borrowing
def _split(sweep, notes, i, j, p, q):  # type: ignore[no-untyped-def]
    """A lune in several parts: each but the first gives a relation. Returns FULL, to be called again, or 0.

    Any member of a part will do to see whether its relation is known already; most are.
    """
    apart = sweep.apart
    parts = _components(sweep)
    known, relation = True, 0
    for k in range(1, parts):
        relation = _square(sweep, notes, p, q, apart[0], apart[k])
        if relation == FULL:
            return FULL
        known = known and relation == 0
    if not known:
        parts = _representatives(sweep, i, j)
    for k in range(1, parts if not known else 0):  # the square i, r_0, j, r_k is filled
        if parts > 2:  # of two components there is one relation, whoever stands for them
            relation = _square(sweep, notes, p, q, apart[0], apart[k])
        if relation == FULL:
            return FULL
        if relation > 0:
            loops.died(notes, relation, i, j, sweep.vertex[apart[k]])
    sweep.tally[RELATIONS] += parts - 1
    return 0


@borrowing
def _listed(sweep, notes, p, q):  # type: ignore[no-untyped-def]
    """Work out the note of an edge and list it if a living loop is in it. Returns the note, or FULL."""
    edge_note, row, carriers, counts = sweep.edge_note, sweep.row, notes.carriers, notes.counts
    note = edge_note[_at(row, p, q)]
    if note < 0:
        note = _class(sweep, notes, p, q)
    if note <= 0:
        return note
    if counts[CARRIERS] == carriers.shape[0] or loops.rewritten(notes, note) == FULL:
        return FULL
    if notes.length[note] == 0:
        edge_note[_at(row, p, q)] = 0
        return 0
    carriers[counts[CARRIERS], 0], carriers[counts[CARRIERS], 1] = p, q
    counts[CARRIERS] += 1
    sweep.warm[p], sweep.warm[q] = 1, 1
    return note


@borrowing
def _list(sweep, notes, edges, begin, end):  # type: ignore[no-untyped-def]
    """:func:`_listed` for a batch of edges that are in already. Returns how far it came, and END or FULL.

    Only a birth brings a loop to two places that are not warm.
    """
    place, warm, birth, tally = sweep.place, sweep.warm, notes.birth, sweep.tally
    end = min(end, begin + BATCH)
    for k in range(begin, end):
        i, j = order.ends(edges[k])
        p, q = place[i], place[j]
        b = tally[LISTED]
        born = b < notes.counts[BIRTHS] and birth[b, 0] == i and birth[b, 1] == j
        if (born or warm[p] | warm[q] != 0) and _listed(sweep, notes, p, q) == FULL:
            return k, FULL
        tally[LISTED] += born
    return end, END


@borrowing
def _strike_out(sweep, notes):  # type: ignore[no-untyped-def]
    """Take the carriers whose loops have all died off the list. Returns how many remain, or FULL."""
    edge_note, row, warm, counts, carriers = sweep.edge_note, sweep.row, sweep.warm, notes.counts, notes.carriers
    for k in range(counts[CARRIERS]):
        if loops.rewritten(notes, edge_note[_at(row, carriers[k, 0], carriers[k, 1])]) == FULL:
            return FULL
    for p in range(warm.shape[0]):
        warm[p] = 0
    kept = 0
    for k in range(counts[CARRIERS]):
        p, q = carriers[k, 0], carriers[k, 1]
        if notes.length[edge_note[_at(row, p, q)]] == 0:
            edge_note[_at(row, p, q)] = 0
        else:
            carriers[kept, 0], carriers[kept, 1] = p, q
            warm[p], warm[q] = 1, 1
            kept += 1
    counts[CARRIERS] = kept
    return kept


@borrowing
def _root(parent, v):  # type: ignore[no-untyped-def]
    while parent[v] != v:
        parent[v] = parent[parent[v]]
        v = parent[v]
    return v


@borrowing
def _lowest(bits):  # type: ignore[no-untyped-def]
    """The lowest member of a bitset, -1 where there is none."""
    for w in range(bits.shape[0]):
        if bits[w] != ZERO:
            return w * 64 + lowest(bits[w])
    return -1


@borrowing
def _connected(sweep, witness):  # type: ignore[no-untyped-def]
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
    return _lowest(rest)


@borrowing
def _part_of(near, part, rest, v):  # type: ignore[no-untyped-def]
    """Move v and what is connected to it from ``rest`` to ``part``, emptied before; the lowest that is left, or -1."""
    for w in range(rest.shape[0]):
        part[w] = rest[w] & near[v, w]
        rest[w] &= ~near[v, w]
    return _component(near, part, rest)


@borrowing
def _components(sweep):  # type: ignore[no-untyped-def]
    """Fill ``apart`` with one place of each component of the lune; returns how many."""
    near, lune, part, rest, apart = sweep.near, sweep.lune, sweep.part, sweep.rest, sweep.apart
    for w in range(lune.shape[0]):
        rest[w] = lune[w]
    count, v = 0, _lowest(lune)
    while v >= 0:
        apart[count] = v
        v = _part_of(near, part, rest, v)
        count += 1
    return count


@borrowing
def _representatives(sweep, i, j):  # type: ignore[no-untyped-def]
    """Fill ``apart`` with the place of each component of the lune that first had both edges; returns how many.

    They come in the order in which their triangles with (i, j) do: by the longer of their two edges. So which triangle
    destroys does not depend on how the points are numbered unless two edges are equally long.
    """
    keys, vertex, near = sweep.keys, sweep.vertex, sweep.near
    lune, part, rest, apart = sweep.lune, sweep.part, sweep.rest, sweep.apart
    for w in range(lune.shape[0]):
        rest[w] = lune[w]
    count, v = 0, _lowest(lune)
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


@borrowing
def _square(sweep, notes, p, q, one, other):  # type: ignore[no-untyped-def]
    """The class of the closed path p, one, q, other, in living loops: its new note (0: zero), or FULL."""
    four = (_known(sweep, notes, p, one), _known(sweep, notes, q, one),
            _known(sweep, notes, p, other), _known(sweep, notes, q, other))  # fmt: skip
    if min(four) == FULL:
        return FULL
    if max(four) == 0:
        return 0
    return loops.total(notes, *four)


@borrowing
def _known(sweep, notes, p, q):  # type: ignore[no-untyped-def]
    """The note of an edge, worked out, or FULL."""
    note = sweep.edge_note[_at(sweep.row, p, q)]
    return note if note >= 0 else _class(sweep, notes, p, q)


@borrowing
def _class(sweep, notes, first, second):  # type: ignore[no-untyped-def]
    """The note of an edge: the sum over the other two edges of its witness's triangle, kept once found.

    Or FULL; what was found by then is kept.
    """
    edge_note, row, stack = sweep.edge_note, sweep.row, notes.stack
    stack[0, 0], stack[0, 1] = first, second
    depth = 1
    while depth > 0:
        p, q = stack[depth - 1, 0], stack[depth - 1, 1]
        note = edge_note[_at(row, p, q)]
        if note >= 0:
            depth -= 1
            continue
        v = -1 - note
        one, other = edge_note[_at(row, p, v)], edge_note[_at(row, q, v)]
        if one >= 0 and other >= 0:
            note = one + other
            if one != 0 and other != 0:
                note = loops.added(notes, one, other)
                if note == FULL:
                    return FULL
            edge_note[_at(row, p, q)] = note
            depth -= 1
            continue
        if depth == stack.shape[0]:
            notes.counts[DEPTH] = depth
            return FULL
        end = p if one < 0 else q
        stack[depth, 0], stack[depth, 1] = end, v
        depth += 1
    return edge_note[_at(row, first, second)]


@compiled
def _mark_open(sweep, limit):  # type: ignore[no-untyped-def]
    """Mark the edges to come that no vertex w is known to close: d(i, w), d(w, j) before d(i, j). Returns how many.

    Hubs are in most lunes already, a few neighbours of i settle nearly all others of a row at once, and what they leave
    is tried with every vertex.
    """
    keys, near, place, vertex = sweep.keys, sweep.near, sweep.place, sweep.vertex
    edge_note, row = sweep.edge_note, sweep.row
    n = keys.shape[0]
    shortest = np.empty(n)
    hubs = np.empty(n, np.uint64)  # those joined to each vertex
    for v in range(n):
        hubs[v] = near[place[v], 0]
    candidates = np.empty(n + 1, np.int64)
    found = 0
    for i in range(n):
        of_i, of_p = keys[i], near[place[i]]
        count = _without_hub(hubs, of_i, i, limit, candidates)
        if count > n // HUBS:
            shortest[i + 1 :] = np.inf
            tried, unsettled = 0, n
            for w in range(near.shape[1]):
                left = of_p[w]
                while left != ZERO and tried < HUBS and unsettled > 0:
                    of_v = keys[vertex[w * 64 + lowest(left)]]
                    unsettled = _nearer(shortest[i + 1 :], of_v[i + 1 :], of_i[i + 1 :])
                    left &= left - ONE
                    tried += 1
            total, count = count, 0
            for c in range(total):
                j = candidates[c]
                candidates[count] = j
                count += shortest[j] >= of_i[j]
        for c in range(count):
            j = candidates[c]
            of_q = near[place[j]]
            present = ZERO
            for w in range(of_p.shape[0]):
                present |= of_p[w] & of_q[w]
            if present == ZERO and not _closed(of_i, keys[j], of_i[j]):
                edge_note[_at(row, place[i], place[j])] = OPEN
                found += 1
    return found


@borrowing
def _without_hub(hubs, of_i, i, limit, candidates):  # type: ignore[no-untyped-def]
    """Fill ``candidates`` with the vertices after i that share no hub with it, as far as the limit; how many."""
    count = 0
    for j in range(i + 1, of_i.shape[0]):
        candidates[count] = j
        count += (hubs[i] & hubs[j] == ZERO) & (of_i[j] <= limit)
    return count


@borrowing
def _closed(of_i, of_j, key):  # type: ignore[no-untyped-def]
    """Whether any vertex comes before ``key`` in both rows."""
    for first in range(0, of_i.shape[0], 64):
        met = 0
        for v in range(first, min(first + 64, of_i.shape[0])):  # to the end: a loop without exits runs on vectors
            met |= (of_i[v] < key) & (of_j[v] < key)
        if met != 0:
            return True
    return False


@njit(**BORROWING, fastmath={"nnan", "nsz"})
def _nearer(shortest, of_v, of_i):  # type: ignore[no-untyped-def]
    """``shortest`` = min(itself, ``of_v``); returns how many are not below ``of_i`` yet."""
    unsettled = 0
    for j in range(shortest.shape[0]):
        shortest[j] = min(shortest[j], of_v[j])
        unsettled += shortest[j] >= of_i[j]
    return unsettled

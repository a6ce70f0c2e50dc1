"""The sweep of engine ``reduced`` over the edges, one by one. ``engines/reduced.py`` explains the idea.

Its parts: :mod:`order` sorts the edges, :mod:`state` knows those let in, :mod:`lunes` finds the components of a lune,
:mod:`classes` the loops that a path through it is in, :mod:`loops` keeps these and their deaths. :mod:`carriers` and
:mod:`open_edges` say which edges need no such look, and when none to come does.
"""

from __future__ import annotations

import numpy as np

from topokd.topology.kernels import borrowing, carriers, classes, compiled, loops, lunes, open_edges, order, state
from topokd.topology.kernels.bits import ONE, ZERO, lowest_member
from topokd.topology.kernels.loops import BIRTHS, CARRIERS, DEATHS, FULL, USED
from topokd.topology.kernels.state import BATCH, CALM, END, LISTED, MERGES, OPEN, OPENED, RELATIONS, TIDY_AT, at

SMALL = 1 << 20  # entries of notes; below that the gaps between them do not matter


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
    sweep = state.begun(keys, sums)
    notes = loops.empty()
    tally, counts = sweep.tally, notes.counts
    reached = np.inf
    scanned, quiet = False, False  # quiet: no edge to come can create or kill
    eager, listed, look_at = False, 0, carriers.FIRST * n
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
            if e >= look_at and (eager or (counts[BIRTHS] - counts[DEATHS]) * carriers.FEW <= n):
                while carriers.strike_out(sweep, notes) == FULL:
                    notes = loops.grown(notes)
                if eager:  # all that came since are listed
                    listed, tally[LISTED] = e, counts[BIRTHS]
                while listed < e and sweep.warm.sum() * carriers.COLD <= n:
                    listed, why = carriers.list_batch(sweep, notes, edges, listed, e)
                    if why == FULL:
                        notes = loops.grown(notes)
                eager = sweep.warm.sum() * carriers.COLD <= n
                look_at = e + max(counts[CARRIERS], n) if eager else 2 * e
            e, why = _advance(sweep, notes, edges, e, min(e + BATCH, last[turn + 1]), scanned, eager)
            if counts[USED] > tally[TIDY_AT]:
                tally[TIDY_AT] = max(tally[TIDY_AT], loops.tidied(notes))
            if why == FULL:
                notes = loops.grown(notes)
            while loops.refreshed(notes) == FULL:
                notes = loops.grown(notes)
            if why == CALM and not scanned:
                tally[OPENED] = open_edges.mark(sweep, min(limit, radius))
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
        opened = scanned and edge_note[at(row, p, q)] == OPEN
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
                edge_note[at(row, p, q)] = 0
        else:
            for w in range(words):
                both = near[p, w] & near[q, w]
                lune[w] = both
                present |= both
            if present != ZERO:
                witness = lowest_member(lune)
                edge_note[at(row, p, q)] = -1 - witness
                if not lunes.connected(sweep, witness):
                    event = True
                    full |= _split(sweep, notes, i, j, p, q) == FULL
                if eager and not full:
                    one, other = edge_note[at(row, p, witness)], edge_note[at(row, q, witness)]
                    if one == 0 and other == 0:
                        edge_note[at(row, p, q)] = 0
                    else:
                        full |= carriers.listed(sweep, notes, p, q) == FULL
        if present == ZERO and not full:
            event = True
            full = _empty(sweep, notes, i, j, p, q) == FULL
            if eager and not full and edge_note[at(row, p, q)] > 0:
                carriers.listed(sweep, notes, p, q)
        if full:  # the edge comes again
            if opened:
                edge_note[at(row, p, q)] = OPEN
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
    sweep.edge_note[at(sweep.row, p, q)] = note
    return note


@borrowing
def _split(sweep, notes, i, j, p, q):  # type: ignore[no-untyped-def]
    """A lune in several parts: each but the first gives a relation. Returns FULL, to be called again, or 0.

    Any member of a part will do to see whether its relation is known already; most are.
    """
    apart = sweep.apart
    parts = lunes.components(sweep)
    known, relation = True, 0
    for k in range(1, parts):
        relation = classes.of_square(sweep, notes, p, q, apart[0], apart[k])
        if relation == FULL:
            return FULL
        known = known and relation == 0
    if not known:
        parts = lunes.representatives(sweep, i, j)
    for k in range(1, parts if not known else 0):  # the square i, r_0, j, r_k is filled
        if parts > 2:  # of two components there is one relation, whoever stands for them
            relation = classes.of_square(sweep, notes, p, q, apart[0], apart[k])
        if relation == FULL:
            return FULL
        if relation > 0:
            loops.died(notes, relation, i, j, sweep.vertex[apart[k]])
    sweep.tally[RELATIONS] += parts - 1
    return 0


@borrowing
def _root(parent, v):  # type: ignore[no-untyped-def]
    while parent[v] != v:
        parent[v] = parent[parent[v]]
        v = parent[v]
    return v

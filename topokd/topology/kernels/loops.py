"""Annotations: the homology class of every edge, as a rising list of the loops' birth numbers, over Z/2.

Each list is a run of ``pool``; note k occupies ``pool[start[k] : start[k] + length[k]]``, and note 0 is the empty one.
A class that died equals the older classes of note ``killer[class]`` (-1 while it lives); notes are rewritten in living
classes only when they are looked at, ``stamp`` being the number of deaths they already know of.

What needs room and finds none returns FULL and has changed nothing that counts: :func:`grown`, and call it again. (Only
:func:`grown` returns the arrays: handing them back from every call would cost more than the calls.)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from topokd.topology.kernels import borrowing, compiled
from topokd.topology.kernels.bits import ONE, ZERO, lowest

FULL = -1
USED, MADE, DEATHS, BIRTHS, REFRESHED, CARRIERS, DEPTH = range(7)  # places in ``counts``
WASTE = 8  # of the pool's use, one in so many may be gaps that rewritten notes left
REFRESH = 16  # the killers are rewritten whenever a 16th more classes have died


class Notes(NamedTuple):
    """Notes, loops, and what is needed to work them out.

    ``birth`` (k, 2), ``triangle`` (k, 3), ``death`` (k): of each loop its edge, and once it has died the triangle that
    it died of and which death that was. ``carriers`` (k, 2): edges with notes that are not empty, once they are listed.
    ``stack`` (k, 2): edges whose notes are being worked out. ``counts``: pool used, notes made, deaths, births, deaths
    at the last refresh, carriers, depth of the stack that was not enough.
    """

    pool: np.ndarray
    start: np.ndarray
    length: np.ndarray
    stamp: np.ndarray
    killer: np.ndarray
    scratch: np.ndarray
    birth: np.ndarray
    triangle: np.ndarray
    death: np.ndarray
    carriers: np.ndarray
    stack: np.ndarray
    counts: np.ndarray


@compiled
def empty():  # type: ignore[no-untyped-def]
    """Only note 0."""
    start, length, stamp = np.zeros(1024, np.int64), np.zeros(1024, np.int32), np.zeros(1024, np.int32)
    birth, triangle, death = np.empty((256, 2), np.int64), np.empty((256, 3), np.int64), np.empty(256, np.int64)
    carriers, stack = np.empty((256, 2), np.int32), np.empty((256, 2), np.int32)
    killer, scratch = np.full(256, -1, np.int32), np.zeros(5, np.uint64)
    counts = np.zeros(7, np.int64)
    counts[MADE] = 1
    pool = np.empty(4096, np.int32)
    return Notes(pool, start, length, stamp, killer, scratch, birth, triangle, death, carriers, stack, counts)


@compiled
def grown(notes):  # type: ignore[no-untyped-def]
    """More room for whatever is more than half full, or nearly full in the case of the pool."""
    pool, start, length, stamp = notes.pool, notes.start, notes.length, notes.stamp
    killer, scratch, counts = notes.killer, notes.scratch, notes.counts
    birth, triangle, death = notes.birth, notes.triangle, notes.death
    carriers, stack = notes.carriers, notes.stack
    if 2 * counts[MADE] >= start.shape[0]:
        start = np.concatenate((start, np.zeros_like(start)))
        length = np.concatenate((length, np.zeros_like(length)))
        stamp = np.concatenate((stamp, np.zeros_like(stamp)))
    if 2 * counts[BIRTHS] >= killer.shape[0]:
        killer = np.concatenate((killer, np.full(killer.shape[0], -1, np.int32)))
        scratch = np.zeros(killer.shape[0] // 64 + 1, np.uint64)
        birth = np.concatenate((birth, np.empty_like(birth)))
        triangle = np.concatenate((triangle, np.empty_like(triangle)))
        death = np.concatenate((death, np.empty_like(death)))
    if pool.shape[0] - counts[USED] < max(pool.shape[0] // 8, 2 * killer.shape[0]):  # two notes take no more than that
        larger = np.empty(8 * pool.shape[0], np.int32)  # takes no memory where nothing is written
        larger[: counts[USED]] = pool[: counts[USED]]
        pool = larger
    if 2 * counts[CARRIERS] >= carriers.shape[0]:
        carriers = np.concatenate((carriers, np.empty_like(carriers)))
    if 2 * counts[DEPTH] >= stack.shape[0]:
        stack = np.concatenate((stack, np.empty_like(stack)))
        counts[DEPTH] = 0
    return Notes(pool, start, length, stamp, killer, scratch, birth, triangle, death, carriers, stack, counts)


@compiled
def tidied(notes):  # type: ignore[no-untyped-def]
    """Close the gaps that rewritten notes left in the pool. Returns how far its use may grow before the next time."""
    pool, start, length, counts = notes.pool, notes.start, notes.length, notes.counts
    used = 0
    for note in np.argsort(start[: counts[MADE]], kind="mergesort"):
        first = start[note]
        for k in range(length[note]):
            pool[used + k] = pool[first + k]
        start[note] = used
        used += length[note]
    counts[USED] = used
    return used + used // WASTE


@borrowing
def born(notes, i, j):  # type: ignore[no-untyped-def]
    """The note that holds the new class of edge (i, j) alone, or FULL."""
    counts = notes.counts
    number, made = counts[BIRTHS], counts[MADE]
    if number == notes.killer.shape[0] or counts[USED] == notes.pool.shape[0] or made == notes.start.shape[0]:
        return FULL
    notes.pool[counts[USED]] = number
    notes.start[made], notes.length[made], notes.stamp[made] = counts[USED], 1, counts[DEATHS]
    notes.birth[number, 0], notes.birth[number, 1] = i, j
    notes.triangle[number, 0], notes.triangle[number, 1], notes.triangle[number, 2] = -1, -1, -1
    notes.death[number] = -1
    counts[USED] += 1
    counts[MADE] += 1
    counts[BIRTHS] += 1
    return made


@borrowing
def died(notes, relation, i, j, r):  # type: ignore[no-untyped-def]
    """The youngest class of the relation (see :func:`total`) ends, of triangle (i, j, r): it equals the others."""
    counts = notes.counts
    notes.length[relation] -= 1
    youngest = notes.pool[notes.start[relation] + notes.length[relation]]
    notes.triangle[youngest, 0], notes.triangle[youngest, 1], notes.triangle[youngest, 2] = i, j, r
    notes.death[youngest] = counts[DEATHS]
    counts[DEATHS] += 1
    notes.stamp[relation] = counts[DEATHS]
    notes.killer[youngest] = relation


@borrowing
def refreshed(notes):  # type: ignore[no-untyped-def]
    """Rewrite what the dead classes equal, now and then, so that no chain of dead ones grows long. FULL or 0."""
    counts = notes.counts
    if counts[DEATHS] - counts[REFRESHED] < 64 + counts[DEATHS] // REFRESH:
        return 0
    for number in range(counts[BIRTHS]):  # the old ones first: each needs only those before it
        if notes.killer[number] >= 0 and rewritten(notes, notes.killer[number]) == FULL:
            return FULL
    counts[REFRESHED] = counts[DEATHS]
    return 0


@borrowing
def rewritten(notes, note):  # type: ignore[no-untyped-def]
    """Write ``note`` in living classes: a dead one becomes those it equals, youngest first. Returns it, or FULL."""
    pool, start, length, stamp = notes.pool, notes.start, notes.length, notes.stamp
    killer, counts = notes.killer, notes.counts
    if stamp[note] == counts[DEATHS]:
        return note
    first, size = start[note], length[note]
    dead = False
    for k in range(first, first + size):
        if killer[pool[k]] >= 0:
            dead = True
            break
    if not dead:
        stamp[note] = counts[DEATHS]
        return note
    top = pool[first + size - 1] >> 6
    _cast(notes, note)
    count = _reduced(notes, top)
    if count > size:
        if counts[USED] + count > pool.shape[0]:
            _wiped(notes, top)
            return FULL
        first = counts[USED]
        counts[USED] += count
        start[note] = first
    length[note] = count
    stamp[note] = counts[DEATHS]
    _read_off(notes, top, first)
    return note


@borrowing
def total(notes, one, two, three, four):  # type: ignore[no-untyped-def]
    """A new note of the sum of four, in living classes; 0 where it is zero, or FULL."""
    pool, start, length, counts = notes.pool, notes.start, notes.length, notes.counts
    top = -1
    for note in (one, two, three, four):
        if length[note] > 0:
            top = max(top, pool[start[note] + length[note] - 1] >> 6)
            _cast(notes, note)
    count, made, first = _reduced(notes, top), counts[MADE], counts[USED]
    if count == 0:
        return 0
    if first + count > pool.shape[0] or made == start.shape[0]:
        _wiped(notes, top)
        return FULL
    _read_off(notes, top, first)
    start[made], length[made], notes.stamp[made] = first, count, counts[DEATHS]
    counts[USED] += count
    counts[MADE] += 1
    return made


@borrowing
def _cast(notes, note):  # type: ignore[no-untyped-def]
    """Add a note to the sum in ``scratch``."""
    pool, scratch = notes.pool, notes.scratch
    for k in range(notes.start[note], notes.start[note] + notes.length[note]):
        scratch[pool[k] >> 6] ^= ONE << np.uint64(pool[k] & 63)


@borrowing
def _reduced(notes, top):  # type: ignore[no-untyped-def]
    """Write the sum in ``scratch[: top + 1]`` in living classes. Returns how many they are."""
    scratch, killer = notes.scratch, notes.killer
    count = 0
    for word in range(top, -1, -1):
        settled = ZERO  # living classes of this word
        while scratch[word] & ~settled != ZERO:
            left = scratch[word] & ~settled
            bit = 63
            while left >> np.uint64(bit) == ZERO:
                bit -= 1
            equal = killer[word * 64 + bit]
            if equal < 0:
                settled |= ONE << np.uint64(bit)
                count += 1
            else:
                scratch[word] ^= ONE << np.uint64(bit)
                _cast(notes, equal)
    return count


@borrowing
def _read_off(notes, top, first):  # type: ignore[no-untyped-def]
    """Write the sum in ``scratch`` to the pool from ``first`` on, and wipe it."""
    pool, scratch = notes.pool, notes.scratch
    for word in range(top + 1):
        left = scratch[word]
        scratch[word] = ZERO
        while left != ZERO:
            pool[first] = word * 64 + lowest(left)
            first += 1
            left &= left - ONE


@borrowing
def _wiped(notes, top):  # type: ignore[no-untyped-def]
    for word in range(top + 1):
        notes.scratch[word] = ZERO


@borrowing
def added(notes, one, other):  # type: ignore[no-untyped-def]
    """The sum of two notes: one of them where the other is zero, else a new one; or FULL."""
    if one == other:
        return 0
    if rewritten(notes, one) == FULL or rewritten(notes, other) == FULL:
        return FULL
    pool, counts = notes.pool, notes.counts
    if notes.length[one] == 0:
        return other if notes.length[other] > 0 else 0
    if notes.length[other] == 0:
        return one
    made, out = counts[MADE], counts[USED]
    if out + notes.length[one] + notes.length[other] > pool.shape[0] or made == notes.start.shape[0]:
        return FULL
    p, p_end = notes.start[one], notes.start[one] + notes.length[one]
    q, q_end = notes.start[other], notes.start[other] + notes.length[other]
    while p < p_end and q < q_end:
        a, b = pool[p], pool[q]
        if a != b:
            pool[out] = min(a, b)
            out += 1
        p += a <= b
        q += b <= a
    while p < p_end:
        pool[out] = pool[p]
        p += 1
        out += 1
    while q < q_end:
        pool[out] = pool[q]
        q += 1
        out += 1
    if out == counts[USED]:
        return 0
    notes.start[made], notes.length[made] = counts[USED], out - counts[USED]
    notes.stamp[made] = counts[DEATHS]
    counts[USED] = out
    counts[MADE] += 1
    return made

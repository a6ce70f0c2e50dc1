"""Annotations: the homology class of every edge, as a rising list of the loops' birth numbers, over Z/2.

Each list is a run of ``pool``; note k occupies ``pool[start[k] : start[k] + length[k]]``, and note 0 is the empty one.
A class that died equals the older classes of note ``killer[class]`` (-1 while it lives); notes are rewritten in living
classes only when they are looked at, ``stamp`` being the number of deaths they already know of.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

ONE = np.uint64(1)
ZERO = np.uint64(0)
_DEBRUIJN = np.uint64(0x03F79D71B4CB0A89)
_PLACES = np.zeros(64, np.int64)
for _bit in range(64):
    _PLACES[((1 << _bit) * int(_DEBRUIJN) % (1 << 64)) >> 58] = _bit


class Notes(NamedTuple):
    """The arrays; growing means making a new tuple. ``counts``: pool used, notes made, deaths so far, births so far."""

    pool: np.ndarray
    start: np.ndarray
    length: np.ndarray
    stamp: np.ndarray
    killer: np.ndarray
    scratch: np.ndarray
    counts: np.ndarray


@njit(cache=True, nogil=True, inline="always")
def lowest(word):  # type: ignore[no-untyped-def]
    """Index of the lowest set bit of a word that is not zero."""
    return _PLACES[((word & (~word + ONE)) * _DEBRUIJN) >> np.uint64(58)]


@njit(cache=True, nogil=True)
def empty():  # type: ignore[no-untyped-def]
    """Only note 0."""
    start, length, stamp = np.zeros(1024, np.int64), np.zeros(1024, np.int32), np.zeros(1024, np.int32)
    counts = np.array([0, 1, 0, 0])
    killer = np.full(256, -1, np.int32)
    return Notes(np.empty(4096, np.int32), start, length, stamp, killer, np.zeros(5, np.uint64), counts)


@njit(cache=True, nogil=True)
def _room(notes, size):  # type: ignore[no-untyped-def]
    """Room for one more note of up to ``size`` classes."""
    pool, start, length, stamp = notes.pool, notes.start, notes.length, notes.stamp
    counts = notes.counts
    while counts[0] + size > pool.shape[0]:
        pool = np.concatenate((pool, np.empty_like(pool)))
    if counts[1] == start.shape[0]:
        start = np.concatenate((start, np.empty_like(start)))
        length = np.concatenate((length, np.empty_like(length)))
        stamp = np.concatenate((stamp, np.empty_like(stamp)))
    return Notes(pool, start, length, stamp, notes.killer, notes.scratch, counts)


@njit(cache=True, nogil=True)
def born(notes):  # type: ignore[no-untyped-def]
    """A new class; returns the notes and the note that holds it alone."""
    number = notes.counts[3]
    if number == notes.killer.shape[0]:
        killer = np.concatenate((notes.killer, np.full(number, -1, np.int32)))
        scratch = np.zeros(2 * number // 64 + 1, np.uint64)
        notes = Notes(notes.pool, notes.start, notes.length, notes.stamp, killer, scratch, notes.counts)
    notes = _room(notes, 1)
    made = notes.counts[1]
    notes.pool[notes.counts[0]] = number
    notes.start[made], notes.length[made], notes.stamp[made] = notes.counts[0], 1, notes.counts[2]
    notes.counts[0] += 1
    notes.counts[1] += 1
    notes.counts[3] += 1
    return notes, made


@njit(cache=True, nogil=True)
def died(notes, relation):  # type: ignore[no-untyped-def]
    """The youngest class of the (rewritten, not empty) relation ends: it equals the others. Returns notes and class."""
    notes = _room(notes, notes.length[relation])
    first, size, made = notes.start[relation], notes.length[relation], notes.counts[1]
    youngest = notes.pool[first + size - 1]
    notes.start[made], notes.length[made] = notes.counts[0], size - 1
    for k in range(size - 1):
        notes.pool[notes.counts[0] + k] = notes.pool[first + k]
    notes.counts[0] += size - 1
    notes.counts[1] += 1
    notes.counts[2] += 1
    notes.stamp[made] = notes.counts[2]
    notes.killer[youngest] = made
    return notes, youngest


@njit(cache=True, nogil=True)
def rewritten(notes, note):  # type: ignore[no-untyped-def]
    """Write ``note`` in living classes: a dead one becomes those it equals, youngest first."""
    stamp, killer, scratch = notes.stamp, notes.killer, notes.scratch
    if stamp[note] == notes.counts[2]:
        return notes
    first, size = notes.start[note], notes.length[note]
    stamp[note] = notes.counts[2]
    dead = False
    for k in range(first, first + size):
        if killer[notes.pool[k]] >= 0:
            dead = True
            break
    if not dead:
        return notes
    top = notes.pool[first + size - 1] >> 6
    for k in range(first, first + size):
        scratch[notes.pool[k] >> 6] ^= ONE << np.uint64(notes.pool[k] & 63)
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
                continue
            scratch[word] ^= ONE << np.uint64(bit)
            for k in range(notes.start[equal], notes.start[equal] + notes.length[equal]):
                scratch[notes.pool[k] >> 6] ^= ONE << np.uint64(notes.pool[k] & 63)
    if count > size:
        notes = _room(notes, count)
        first = notes.counts[0]
        notes.counts[0] += count
        notes.start[note] = first
    notes.length[note] = count
    for word in range(top + 1):
        left = scratch[word]
        scratch[word] = ZERO
        while left != ZERO:
            notes.pool[first] = word * 64 + lowest(left)
            first += 1
            left &= left - ONE
    return notes


@njit(cache=True, nogil=True)
def added(notes, one, other):  # type: ignore[no-untyped-def]
    """The sum of two notes: one of them where the other is zero, else a new one. Returns the notes and the sum."""
    notes = rewritten(notes, one)
    notes = rewritten(notes, other)
    if notes.length[one] == 0:
        return notes, other if notes.length[other] > 0 else 0
    if notes.length[other] == 0:
        return notes, one
    notes = _room(notes, notes.length[one] + notes.length[other])
    pool, out = notes.pool, notes.counts[0]
    p, p_end = notes.start[one], notes.start[one] + notes.length[one]
    q, q_end = notes.start[other], notes.start[other] + notes.length[other]
    while p < p_end or q < q_end:
        if q == q_end or (p < p_end and pool[p] < pool[q]):
            pool[out] = pool[p]
            p += 1
            out += 1
        elif p == p_end or pool[q] < pool[p]:
            pool[out] = pool[q]
            q += 1
            out += 1
        else:
            p += 1
            q += 1
    if out == notes.counts[0]:
        return notes, 0
    made = notes.counts[1]
    notes.start[made], notes.length[made] = notes.counts[0], out - notes.counts[0]
    notes.stamp[made] = notes.counts[2]
    notes.counts[0] = out
    notes.counts[1] += 1
    return notes, made

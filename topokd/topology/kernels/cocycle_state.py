"""What `cocycles` keeps: the classes with the cocycles of those that live, and chains of edges that are returned."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from topokd.topology.kernels.bitset import ONE, ZERO
from topokd.topology.kernels.settings import jit


class Classes(NamedTuple):
    """All classes of degree 1, in order of birth, and the cocycles of those that live. There is room for m classes.

    Attributes:
        bits: (words, m) which living classes' cocycles contain each edge.
        class_at: (64 * words,) the class of each bit; -1 for none.
        bit_of: (m,) the bit of each class.
        birth: (m,) number of the edge that creates it.
        death: (m, 3) triangle that kills it; -1 while it lives.
        counts: (2,) classes so far, and how many of them live.
    """

    bits: np.ndarray
    class_at: np.ndarray
    bit_of: np.ndarray
    birth: np.ndarray
    death: np.ndarray
    counts: np.ndarray


class Chains(NamedTuple):
    """Chains of edges, at most one per class, one after the other.

    Attributes:
        edges: (room,) numbers of the edges of all chains.
        spans: (m, 2) where the chain of each class begins and ends; arbitrary for none.
        size: (1,) edges so far.
    """

    edges: np.ndarray
    spans: np.ndarray
    size: np.ndarray


@jit
def no_chains(m: int) -> Chains:
    """Room for a chain per class, of up to m classes."""
    return Chains(np.empty(1024, np.int32), np.empty((m, 2), np.int64), np.zeros(1, np.int64))


@jit
def append(chains: Chains, number: int, edges: np.ndarray) -> Chains:
    """Record the chain of a class."""
    held, spans, size = chains
    first, end = size[0], size[0] + edges.shape[0]
    if end > held.shape[0]:
        held = np.concatenate((held, np.empty(end, held.dtype)))
    held[first:end] = edges
    spans[number, 0], spans[number, 1], size[0] = first, end, end
    return Chains(held, spans, size)


@jit
def create(classes: Classes, e: int) -> Classes:
    """Begin a class, whose cocycle is its edge alone."""
    bits, class_at, bit_of, birth, death, counts = classes
    free = 0
    while free < class_at.shape[0] and class_at[free] >= 0:
        free += 1
    if free == class_at.shape[0]:
        class_at = np.concatenate((class_at, np.full_like(class_at, -1)))
        bits = np.concatenate((bits, np.zeros_like(bits)))
    number = counts[0]
    class_at[free], bit_of[number], birth[number] = number, free, e
    death[number] = -1
    bits[free >> 6, e] |= ONE << np.uint64(free & 63)
    counts += 1
    return Classes(bits, class_at, bit_of, birth, death, counts)


@jit
def kill(classes: Classes, dead: int, total: np.ndarray, e: int) -> None:
    """End a class with the entry of edge e: its cocycle is added to the others of the sum ``total``."""
    bits, bit = classes.bits, classes.bit_of[dead]
    word, mask = bit >> 6, ONE << np.uint64(bit & 63)
    for f in range(classes.birth[dead], e + 1):
        if bits[word, f] & mask != ZERO:
            for w in range(bits.shape[0]):
                bits[w, f] ^= total[w]
    classes.class_at[bit] = -1
    classes.counts[1] -= 1


@jit
def cocycle_of(classes: Classes, number: int, end: int) -> np.ndarray:
    """Edges before ``end`` that a living class's cocycle contains."""
    bit, first = classes.bit_of[number], classes.birth[number]
    held = classes.bits[bit >> 6, first:end] >> np.uint64(bit & 63) & ONE
    return first + np.nonzero(held)[0]


@jit
def youngest(total: np.ndarray, class_at: np.ndarray) -> int:
    """The youngest class in a sum, -1 for none."""
    youngest: int | np.int64 = np.int64(-1)
    for w in range(total.shape[0]):
        left = total[w]
        bit = 64 * w
        while left != ZERO:
            if left & ONE != ZERO:
                youngest = max(youngest, class_at[bit])
            left >>= ONE
            bit += 1
    return int(youngest)


@jit
def bounding_cycle(classes: Classes, at_birth: Chains, dead: int, odd: np.ndarray) -> np.ndarray:
    """The shortest cycle through the creating edge, less the older classes, which live on, that it winds around too."""
    length, count, birth = _closed(classes, at_birth, dead, odd), 0, classes.birth[dead]
    cycle = np.empty(length, np.int64)
    for f in range(birth, -1, -1):
        if count == length:
            break
        if odd[f]:
            cycle[count] = f
            odd[f] = False
            count += 1
    return cycle


@jit
def _closed(classes: Classes, at_birth: Chains, dead: int, odd: np.ndarray) -> int:
    """Mark in ``odd`` the edges of a cycle of ``dead`` that is a boundary by now; returns how many."""
    bits = classes.bits
    total = np.zeros(bits.shape[0], np.uint64)
    length, number = 0, np.int64(dead)
    while number >= 0:
        for f in at_birth.edges[at_birth.spans[number, 0] : at_birth.spans[number, 1]]:
            odd[f] = not odd[f]
            length += 1 if odd[f] else -1
            for w in range(total.shape[0]):
                total[w] ^= bits[w, f]
        number = youngest(total, classes.class_at)
    return length

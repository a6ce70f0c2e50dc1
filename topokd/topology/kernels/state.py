"""State of the sweep: one tuple of arrays that all its parts work on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from topokd.topology.kernels import compiled
from topokd.topology.kernels.bits import ONE

OPEN = -(1 << 31)  # mark of an edge still to come whose lune may be empty then
BATCH = 1024  # edges between two looks at the clock
END, CALM = 0, 1  # why a batch stopped: it is done; one component and no living loop; or FULL
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
    edge_note: np.ndarray  # of each edge (see :func:`at`) its class's note, -1 - witness until asked for, or OPEN
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
def begun(keys, sums):  # type: ignore[no-untyped-def]
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


@njit(cache=True, nogil=True, inline="always")
def at(row, p, q):  # type: ignore[no-untyped-def]
    """Where the note of edge (p, q) is."""
    return row[min(p, q)] + max(p, q)

"""Homology classes of edges and squares, worked out when they are asked for: that of an edge from its witness."""

from __future__ import annotations

from topokd.topology.kernels import borrowing, loops
from topokd.topology.kernels.loops import DEPTH, FULL
from topokd.topology.kernels.state import at


@borrowing
def of_square(sweep, notes, p, q, one, other):  # type: ignore[no-untyped-def]
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
    note = sweep.edge_note[at(sweep.row, p, q)]
    return note if note >= 0 else of_edge(sweep, notes, p, q)


@borrowing
def of_edge(sweep, notes, first, second):  # type: ignore[no-untyped-def]
    """The note of an edge: the sum over the other two edges of its witness's triangle, kept once found.

    Or FULL; what was found by then is kept.
    """
    edge_note, row, stack = sweep.edge_note, sweep.row, notes.stack
    stack[0, 0], stack[0, 1] = first, second
    depth = 1
    while depth > 0:
        p, q = stack[depth - 1, 0], stack[depth - 1, 1]
        note = edge_note[at(row, p, q)]
        if note >= 0:
            depth -= 1
            continue
        v = -1 - note
        one, other = edge_note[at(row, p, v)], edge_note[at(row, q, v)]
        if one >= 0 and other >= 0:
            note = one + other
            if one != 0 and other != 0:
                note = loops.added(notes, one, other)
                if note == FULL:
                    return FULL
            edge_note[at(row, p, q)] = note
            depth -= 1
            continue
        if depth == stack.shape[0]:
            notes.counts[DEPTH] = depth
            return FULL
        end = p if one < 0 else q
        stack[depth, 0], stack[depth, 1] = end, v
        depth += 1
    return edge_note[at(row, first, second)]

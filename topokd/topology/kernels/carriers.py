"""Carriers: where few loops live, the edges that carry them are few too and are kept in a list.

An edge between two places that none of these touches carries nothing, and every path through its lune is zero, so it is
let in after a look at whether its lune is empty.
"""

from __future__ import annotations

from topokd.topology.kernels import borrowing, classes, loops, order
from topokd.topology.kernels.loops import BIRTHS, CARRIERS, FULL
from topokd.topology.kernels.state import BATCH, END, LISTED, at

FIRST = 4  # edges per vertex that are in before carriers are listed
FEW = 4  # loops may live per so many vertices by then
COLD = 3  # one in so many places may be warm for the list to pay


@borrowing
def listed(sweep, notes, p, q):  # type: ignore[no-untyped-def]
    """Work out the note of an edge and list it if a living loop is in it. Returns the note, or FULL."""
    edge_note, row, carriers, counts = sweep.edge_note, sweep.row, notes.carriers, notes.counts
    note = edge_note[at(row, p, q)]
    if note < 0:
        note = classes.of_edge(sweep, notes, p, q)
    if note <= 0:
        return note
    if counts[CARRIERS] == carriers.shape[0] or loops.rewritten(notes, note) == FULL:
        return FULL
    if notes.length[note] == 0:
        edge_note[at(row, p, q)] = 0
        return 0
    carriers[counts[CARRIERS], 0], carriers[counts[CARRIERS], 1] = p, q
    counts[CARRIERS] += 1
    sweep.warm[p], sweep.warm[q] = 1, 1
    return note


@borrowing
def list_batch(sweep, notes, edges, begin, end):  # type: ignore[no-untyped-def]
    """:func:`listed` for a batch of edges that are in already. Returns how far it came, and END or FULL.

    Only a birth brings a loop to two places that are not warm.
    """
    place, warm, birth, tally = sweep.place, sweep.warm, notes.birth, sweep.tally
    end = min(end, begin + BATCH)
    for k in range(begin, end):
        i, j = order.ends(edges[k])
        p, q = place[i], place[j]
        b = tally[LISTED]
        born = b < notes.counts[BIRTHS] and birth[b, 0] == i and birth[b, 1] == j
        if (born or warm[p] | warm[q] != 0) and listed(sweep, notes, p, q) == FULL:
            return k, FULL
        tally[LISTED] += born
    return end, END


@borrowing
def strike_out(sweep, notes):  # type: ignore[no-untyped-def]
    """Take the carriers whose loops have all died off the list. Returns how many remain, or FULL."""
    edge_note, row, warm, counts, carriers = sweep.edge_note, sweep.row, sweep.warm, notes.counts, notes.carriers
    for k in range(counts[CARRIERS]):
        if loops.rewritten(notes, edge_note[at(row, carriers[k, 0], carriers[k, 1])]) == FULL:
            return FULL
    for p in range(warm.shape[0]):
        warm[p] = 0
    kept = 0
    for k in range(counts[CARRIERS]):
        p, q = carriers[k, 0], carriers[k, 1]
        if notes.length[edge_note[at(row, p, q)]] == 0:
            edge_note[at(row, p, q)] = 0
        else:
            carriers[kept, 0], carriers[kept, 1] = p, q
            warm[p], warm[q] = 1, 1
            kept += 1
    counts[CARRIERS] = kept
    return kept

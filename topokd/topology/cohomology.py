"""Cocycles and cycles of the classes of degree 1, on request: for certificates, for drawing and for big steps."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from topokd.checks import require_memory
from topokd.topology import kernels
from topokd.topology.certificate import Certificate
from topokd.topology.engines import edge_ranks

Edge = tuple[int, int]


class Cohomology(NamedTuple):
    """The result of `cohomology`: a certificate and cycles, None where they were not requested."""

    certificate: Certificate | None
    cycles: dict[Edge, Int64[ndarray, "l 2"]] | None  # by creating edge


def cohomology(
    filtration: Float64[ndarray, "n n"],
    limit: float = np.inf,
    unit: float = 1.0,
    *,
    squared: bool = True,
    certificate: bool = True,
    cycles: bool = True,
) -> Cohomology:
    """Certificate and cycles of a filtration, by another algorithm than any engine's (`kernels.cocycles`).

    The cycle z of a class (b, d) is the shortest path between the ends of b through older edges, closed by b, plus such
    cycles of older classes until z bounds in the complex at d. So b is its youngest edge and it dies with the class.

    Args:
        filtration: (n, n) values of the edges, symmetric.
        limit: highest value of an edge that enters.
        unit: see `Certificate`.
        squared: whether the values are squares of lengths.
        certificate: whether to make one.
        cycles: whether to look for cycles.

    Raises:
        DataError: there is not enough memory.

    Examples:
        >>> square = np.abs(np.subtract.outer([0, 1, 1 + 1j, 1j], [0, 1, 1 + 1j, 1j]))
        >>> {edge: len(cycle) for edge, cycle in cohomology(square, squared=False).cycles.items()}
        {(2, 3): 4}
    """
    n = len(filtration)
    require_memory(40 * n * n, f"the cocycles of {n:,} points", "sample first")
    farthest = filtration.max(axis=1)
    apex = int(farthest.argmin())  # joined to all others at the enclosing radius: a witness of every longer edge
    ranks, edges = edge_ranks(filtration, limit)
    values = filtration[edges[:, 0], edges[:, 1]]
    count = int(np.searchsorted(values, farthest[apex], side="right"))
    ranks = np.where((ranks == 0) | (ranks > count), count + 1, ranks).astype(np.int32)
    np.fill_diagonal(ranks, 0)
    lengths = np.sqrt(values[:count]) if squared else values[:count]
    replayed = kernels.cocycles.replay(ranks, edges[:count], lengths, certificate, cycles)
    witness, birth, death, cocycle_at, cocycle, cycle_at, cycle = replayed
    proof = None
    if certificate:
        parts = [cocycle[first:last] for first, last in cocycle_at]
        proof = Certificate(
            filtration,
            limit,
            unit,
            np.concatenate([witness, np.full(len(edges) - count, apex, np.int32)]),
            edges[birth],
            np.sort(death, axis=1),
            np.cumsum([0, *map(len, parts)]),
            np.concatenate([np.empty(0, np.int32), *parts]),
        )
    if not cycles:
        return Cohomology(proof, None)
    listed = zip(edges[birth].tolist(), cycle_at, strict=True)
    return Cohomology(proof, {(i, j): edges[cycle[first:last]] for (i, j), (first, last) in listed})

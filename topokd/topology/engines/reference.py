"""Engine `reference`: the textbook reduction of boundary matrices over Z/2, in plain torch.

The definition written down: list every simplex, order them, and reduce each boundary matrix column by column until all
pivots are unique. Cubic in the number of simplices, which is itself cubic in the number of points: the naive baseline
of Table 8, and the reference in tests of the fast engines.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray
from torch import Tensor

from topokd.topology.engines.base import Engine, Pairs, edge_ranks

NAME = "reference"
Simplex = tuple[int, ...]


def compute(filtration: Float64[ndarray, "n n"], max_dim: int = 1, limit: float = np.inf) -> Pairs:
    """Pairs of degrees 0 to `max_dim`; every simplex of up to `max_dim + 2` vertices is listed.

    Args:
        filtration: (n, n) values of the edges, symmetric.
        max_dim: highest degree.
        limit: highest value of an edge.
    """
    ranks, _ = edge_ranks(filtration, limit)
    simplices = [ordered_simplices(ranks, dim) for dim in range(max_dim + 2)]
    births, deaths, essentials = [], [], []
    killers: set[int] = set()  # numbers of the d-simplices that kill a (d-1)-class: all others create a d-class
    for dim in range(max_dim + 1):
        cells, cofacets = simplices[dim], simplices[dim + 1]
        pivots = reduce(boundary_matrix(cells, cofacets))  # number of the creator -> number of the killer
        order = sorted(pivots, key=pivots.__getitem__)
        persistent = [p for p in order if dim == 0 or _rank(ranks, cells[p]) < _rank(ranks, cofacets[pivots[p]])]
        births.append(_rows([cells[p] for p in persistent], dim + 1))
        deaths.append(_rows([cofacets[pivots[p]] for p in persistent], dim + 2))
        essential = [k for k in range(len(cells)) if k not in killers and k not in pivots]
        essentials.append(_rows([cells[k] for k in essential], dim + 1))
        killers = set(pivots.values())
    return Pairs(births, deaths, essentials)


def ordered_simplices(ranks: Int64[ndarray, "n n"], dim: int) -> list[Simplex]:
    """All simplices of one dimension, by the rank of the longest edge, then of the second longest, and so on.

    Args:
        ranks: (n, n) ranks of the edges, 0 for edges that never enter.
        dim: number of vertices - 1.
    """
    listed = [
        simplex
        for simplex in combinations(range(len(ranks)), dim + 1)
        if all(ranks[i, j] > 0 for i, j in combinations(simplex, 2))
    ]
    return sorted(
        listed, key=lambda simplex: (sorted((ranks[i, j] for i, j in combinations(simplex, 2)), reverse=True), simplex)
    )


def boundary_matrix(cells: list[Simplex], cofacets: list[Simplex]) -> Bool[Tensor, "cofacets cells"]:
    """Row k marks the `cells` that are facets of simplex k of `cofacets` (column k of the textbook's matrix)."""
    number = {simplex: k for k, simplex in enumerate(cells)}
    matrix = torch.zeros(len(cofacets), len(cells), dtype=torch.bool)
    for k, simplex in enumerate(cofacets):
        for facet in combinations(simplex, len(simplex) - 1):
            matrix[k, number[facet]] = True
    return matrix


def reduce(matrix: Bool[Tensor, "cofacets cells"]) -> dict[int, int]:
    """Standard reduction: add earlier columns until the pivot is unique. Returns pivot -> column."""
    pivots: dict[int, int] = {}
    for k in range(len(matrix)):
        column = matrix[k]
        while True:
            ones = column.nonzero()
            if len(ones) == 0:
                break
            pivot = int(ones[-1])
            if pivot not in pivots:
                pivots[pivot] = k
                break
            column ^= matrix[pivots[pivot]]  # in place: row k of the matrix
    return pivots


def _rank(ranks: Int64[ndarray, "n n"], simplex: Simplex) -> int:
    return max((int(ranks[i, j]) for i, j in combinations(simplex, 2)), default=0)


def _rows(simplices: list[Simplex], size: int) -> Int64[ndarray, "k size"]:
    return np.array(simplices, dtype=np.int64).reshape(len(simplices), size)


ENGINE = Engine(compute, max_dim=2, preference=2)

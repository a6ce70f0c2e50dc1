"""Engine ``reference``: the textbook reduction of boundary matrices over Z/2, in plain torch.

This is the definition written down: list every simplex, order them, reduce each boundary matrix column by column until
no two columns share their lowest one. Cubic in the number of simplices, which is cubic in the number of points itself:
the naive baseline of Table 8, and the twin that the fast engines are tested against.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from topokd.topology.engines import Pairs, edge_ranks

Simplex = tuple[int, ...]


def compute(keys: np.ndarray, max_dim: int = 1, limit: float = np.inf) -> Pairs:
    """Pairs of degrees 0 ... max_dim, every simplex of up to max_dim + 2 vertices listed."""
    ranks, _ = edge_ranks(keys, limit)
    simplices = [ordered_simplices(ranks, dim) for dim in range(max_dim + 2)]
    births, deaths, essentials = [], [], []
    killers: set[int] = set()  # numbers of the d-simplices that end a (d-1)-class: all others create a d-class
    for dim in range(max_dim + 1):
        cells, above = simplices[dim], simplices[dim + 1]
        pivots = reduce(boundary_matrix(cells, above))  # number of the creator -> number of the destroyer
        order = sorted(pivots, key=pivots.__getitem__)
        lasting = [p for p in order if dim == 0 or _rank(ranks, cells[p]) < _rank(ranks, above[pivots[p]])]
        births.append(_rows([cells[p] for p in lasting], dim + 1))
        deaths.append(_rows([above[pivots[p]] for p in lasting], dim + 2))
        free = [k for k in range(len(cells)) if k not in killers and k not in pivots]
        essentials.append(_rows([cells[k] for k in free], dim + 1))
        killers = set(pivots.values())
    return Pairs(births, deaths, essentials)


def ordered_simplices(ranks: np.ndarray, dim: int) -> list[Simplex]:
    """All simplices of one dimension, by the rank of their longest edge, then of the second longest, and so on."""
    listed = [
        simplex
        for simplex in combinations(range(len(ranks)), dim + 1)
        if all(ranks[i, j] > 0 for i, j in combinations(simplex, 2))
    ]
    return sorted(
        listed, key=lambda simplex: (sorted((ranks[i, j] for i, j in combinations(simplex, 2)), reverse=True), simplex)
    )


def boundary_matrix(cells: list[Simplex], above: list[Simplex]) -> Bool[Tensor, "above cells"]:
    """Row k: which ``cells`` are the faces of simplex k of ``above`` (stored by columns of the textbook's matrix)."""
    number = {simplex: k for k, simplex in enumerate(cells)}
    matrix = torch.zeros(len(above), len(cells), dtype=torch.bool)
    for k, simplex in enumerate(above):
        for face in combinations(simplex, len(simplex) - 1):
            matrix[k, number[face]] = True
    return matrix


def reduce(matrix: Bool[Tensor, "above cells"]) -> dict[int, int]:
    """Standard reduction: add earlier columns until the lowest one is nobody else's. Returns lowest -> column."""
    pivots: dict[int, int] = {}
    for k in range(len(matrix)):
        column = matrix[k]
        while True:
            ones = column.nonzero()
            if len(ones) == 0:
                break
            lowest = int(ones[-1])
            if lowest not in pivots:
                pivots[lowest] = k
                break
            column ^= matrix[pivots[lowest]]  # in place: row k of the matrix
    return pivots


def _rank(ranks: np.ndarray, simplex: Simplex) -> int:
    return max((int(ranks[i, j]) for i, j in combinations(simplex, 2)), default=0)


def _rows(simplices: list[Simplex], size: int) -> np.ndarray:
    return np.array(simplices, dtype=np.int64).reshape(len(simplices), size)

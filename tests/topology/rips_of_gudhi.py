"""GUDHI's critical simplices of a Vietoris-Rips filtration, to compare ours with."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from topokd.topology import squared_distances, vietoris_rips

Edge = tuple[int, ...]
DIMENSIONS = (2, 3, 5, 8, 16, 32, 64)


class Comparison(NamedTuple):
    """Of one cloud in one degree.

    Attributes:
        pairs: number of GUDHI's pairs.
        different: pairs of critical edges that only one of the two has.
        off: largest difference of a birth or death; infinite if the numbers of pairs differ.
    """

    pairs: int
    different: int
    off: float


def generic_cloud(seed: int, most: int = 40) -> Float64[ndarray, "n c"]:
    """A cloud of R^2 to R^64 whose distances all differ: normal, uniform, on a sphere, or like features after ReLU."""
    rng = np.random.default_rng(seed)
    n, c = int(rng.integers(5, most + 1)), int(rng.choice(DIMENSIONS))
    family = seed % 4
    if family == 1:
        return rng.random((n, c))
    points = rng.normal(size=(n, c))
    if family >= 2:
        points = np.maximum(points, 0) + 1e-3 * rng.random((n, c)) if family == 3 else points
        points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points


def compare_with_gudhi(points: Float64[ndarray, "n c"], max_dim: int = 2) -> list[Comparison]:
    """Compare every pair of degrees 0 to ``max_dim``, by values and by the edges that make and kill it.

    GUDHI gets the same distances. Simplices that share their longest edge enter together and either may be named, so a
    simplex is compared by that edge, which its value and gradient depend on; which component dies in degree 0 is such a
    choice too.

    Args:
        points: (n, c) cloud, all distances different.
        max_dim: highest degree.

    Returns:
        One comparison for each degree.
    """
    import gudhi

    distances = np.sqrt(squared_distances(points))
    tree = gudhi.RipsComplex(distance_matrix=distances).create_simplex_tree(max_dimension=max_dim + 1)
    tree.compute_persistence()
    theirs: list[list[tuple[list[int], list[int]]]] = [[] for _ in range(max_dim + 1)]
    for birth, death in tree.persistence_pairs():
        if death and len(birth) <= max_dim + 1:
            theirs[len(birth) - 1].append((birth, death))
    ours = vietoris_rips(points, max_dim=max_dim)
    comparisons = []
    for degree, pairs in enumerate(theirs):
        births, deaths = (s[degree].tolist() for s in (ours.birth_simplices, ours.death_simplices))
        mine = Counter(_critical(b, d, distances) for b, d in zip(births, deaths, strict=True))
        other = Counter(_critical(b, d, distances) for b, d in pairs)
        values = [np.asarray(ours.diagrams[degree]), [[_value(b, distances), _value(d, distances)] for b, d in pairs]]
        a, b = (np.reshape(v, (-1, 2)) for v in values)
        a, b = (v[np.lexsort((v[:, 0], v[:, 1]))] for v in (a, b))
        off = float("inf") if a.shape != b.shape else float(np.abs(a - b).max(initial=0.0))
        comparisons.append(Comparison(len(pairs), sum(((mine - other) + (other - mine)).values()), off))
    return comparisons


def _longest(simplex: list[int], distances: Float64[ndarray, "n n"]) -> Edge:
    inner = distances[np.ix_(simplex, simplex)]
    row, column = np.unravel_index(int(inner.argmax()), inner.shape)
    return tuple(sorted((simplex[row], simplex[column])))


def _critical(birth: list[int], death: list[int], distances: Float64[ndarray, "n n"]) -> tuple[Edge, Edge]:
    return _longest(birth, distances) if len(birth) > 1 else (), _longest(death, distances)


def _value(simplex: list[int], distances: Float64[ndarray, "n n"]) -> float:
    return float(distances[np.ix_(simplex, simplex)].max())

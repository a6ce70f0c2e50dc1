"""Into how many pieces a prediction breaks the objects of a scan."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from jaxtyping import Float, Int64
from numpy import ndarray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from topokd.errors import DataError
from topokd.options import number, whole

FORWARD = np.array([step for step in product((-1, 0, 1), repeat=3) if step > (0, 0, 0)])  # one of each pair, 13
NEAR = 1 << 20  # cells from the origin that a key of 63 bits can hold


def components(xyz: Float[ndarray, "n 3"], cell: float) -> Int64[ndarray, " n"]:
    """Connected component of each point: points are connected if their cells are equal or touch (26 neighbours).

    Args:
        xyz: (n, 3) metres.
        cell: edge of the cubic cells in metres.

    Returns:
        (n,) numbers of components from 0, in the order of their first points.

    Raises:
        DataError: a point is more than a million cells from the origin, or not finite.
        ParameterError: ``cell`` is not a positive number.

    Examples:
        >>> components(np.array([[0.0, 0, 0], [9, 9, 9], [0.5, 0, 0], [1.2, 0, 0]]), cell=0.5).tolist()
        [0, 1, 0, 0]
    """
    cell = number(cell, "cell", above=True, unit=" (metres)")
    if not len(xyz):
        return np.zeros(0, np.int64)
    grid = np.floor(np.asarray(xyz, np.float64) / cell)
    if not (np.abs(grid) < NEAR - 2).all():  # also false for NaN
        raise DataError(f"points lie more than {NEAR:,} cells of {cell} m from the origin, or are not finite")
    shifted = grid.astype(np.int64) + NEAR
    strides = np.array([1 << 42, 1 << 21, 1])
    keys, cell_of_point = np.unique(shifted @ strides, return_inverse=True)
    pairs = []
    for step in FORWARD @ strides:
        place = np.searchsorted(keys, keys + step).clip(max=len(keys) - 1)
        touching = np.flatnonzero(keys[place] == keys + step)
        pairs.append(np.stack([touching, place[touching]]))
    rows, columns = np.concatenate(pairs, 1)
    graph = coo_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(len(keys), len(keys)))
    label = connected_components(graph, directed=False)[1][cell_of_point]
    first = np.unique(label, return_index=True)[1]
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[label]


class Fragments:
    """Fragments per object: connected components of the points of an object that are predicted right; 1 is whole.

    An object is a connected component of the points of one true class. Objects without a point predicted right are
    missed: they count in ``missed`` only.

    Args:
        classes: those whose objects count, by number.
        cell: edge of the cells of `components` in metres.
        least: points that a component must have to be an object.

    Attributes:
        objects: number of objects of each class (c,).
        found: objects with at least one point predicted right (c,).
        pieces: fragments of all objects found (c,).

    Examples:
        >>> xyz, truth = np.arange(9.0)[:, None] * [1, 0, 0], np.zeros(9, np.int64)
        >>> counts = Fragments([0], cell=1.0, least=2)
        >>> counts.update(xyz, truth, np.array([0, 0, 0, 1, 1, 0, 0, 0, 0]))  # a pole in two pieces
        >>> counts.per_object(), counts.missed()
        (2.0, 0.0)
    """

    def __init__(self, classes: Sequence[int], cell: float = 0.4, least: int = 5) -> None:
        self.classes, self.least = tuple(whole(k, "class", least=0) for k in classes), whole(least, "least")
        self.cell = number(cell, "cell", above=True, unit=" (metres)")
        self.objects, self.found, self.pieces = (np.zeros(len(self.classes), np.int64) for _ in range(3))

    def update(self, xyz: Float[ndarray, "n 3"], truth: Int64[ndarray, " n"], prediction: Int64[ndarray, " n"]) -> None:
        """Count the objects of one scan.

        Args:
            xyz: (n, 3) metres.
            truth: (n,) classes.
            prediction: (n,) classes.

        Raises:
            DataError: they are not of the same points.
        """
        if not len(xyz) == len(truth) == len(prediction):
            raise DataError(
                f"{len(xyz)} points, {len(truth)} true and {len(prediction)} predicted classes: give one per point"
            )
        for k, kind in enumerate(self.classes):
            own = np.flatnonzero(truth == kind)
            label = components(xyz[own], self.cell)
            large = np.flatnonzero(np.bincount(label) >= self.least) if len(own) else label
            right = own[(prediction[own] == kind) & np.isin(label, large)]
            of_object = label[np.searchsorted(own, right)]
            pieces = components(xyz[right], self.cell)  # none belongs to two objects: those do not touch
            self.objects[k] += len(large)
            self.found[k] += len(np.unique(of_object))
            self.pieces[k] += pieces.max(initial=-1) + 1

    def per_object(self, among: Sequence[int] | None = None) -> float:
        """Mean number of fragments of the objects found; NaN if there are none.

        Args:
            among: classes; None: all.
        """
        part = self._places(among)
        objects = int(self.found[part].sum())
        return float(self.pieces[part].sum() / objects) if objects else float("nan")

    def missed(self, among: Sequence[int] | None = None) -> float:
        """Share of the objects without a point predicted right; NaN if there are no objects."""
        part = self._places(among)
        objects = int(self.objects[part].sum())
        return float(1 - self.found[part].sum() / objects) if objects else float("nan")

    def _places(self, among: Sequence[int] | None) -> list[int]:
        return [k for k, kind in enumerate(self.classes) if among is None or kind in among]

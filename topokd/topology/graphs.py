"""Graphs: sparse distances, of which only the stored ones are edges, and the diagrams of their clique complexes.

Nothing here is as large as a matrix of all distances but `SparseDistances.full`, for what only a matrix can do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from numpy import ndarray
from torch import Tensor

from topokd.errors import DataError
from topokd.topology.critical_edges import unit_of
from topokd.topology.engines import Pairs, reduced

MATRIX_FROM = 1 / 16  # share of all pairs of vertices from which, stored as edges, a matrix is the faster one


@dataclass(frozen=True)
class SparseDistances:
    """The edges of a graph.

    Attributes:
        n: number of vertices.
        values: (s,) stored entries, in the autograd graph of the input.
        places: (2, s) their rows and columns.
        ends: (e, 2) vertices of the edges, the lower one first, in lexicographic order.
        entries: (e, 2) the stored entries of each edge; twice the same where only one is stored.
    """

    n: int
    values: Float[Tensor, " s"]
    places: Int64[Tensor, "2 s"]
    ends: Int64[ndarray, "e 2"]
    entries: Int64[Tensor, "e 2"]

    @property
    def shape(self) -> tuple[int, int]:
        """That of the matrix."""
        return self.n, self.n

    @property
    def device(self) -> torch.device:
        """That of the values."""
        return self.values.device

    @property
    def is_dense(self) -> bool:
        """Whether so many pairs of vertices are edges that a matrix of all is not much larger, and faster."""
        return 2 * len(self.ends) > MATRIX_FROM * self.n * (self.n - 1)

    @property
    def extent(self) -> float:
        """The largest finite length."""
        values = self.values.detach()
        return float(values[values.isfinite()].max()) if bool(values.isfinite().any()) else 0.0

    def lengths(self, unit: float) -> Float64[Tensor, " e"]:
        """Lengths of the edges times ``unit``, in the autograd graph; the two entries of an edge share its gradient."""
        stored = self.values.double() * unit if unit != 1 else self.values.double()
        return (stored[self.entries] / 2).sum(dim=1)

    def full(self) -> Float[Tensor, "n n"]:
        """The matrix of all distances: infinite where there is no edge."""
        base = torch.full((self.n, self.n), math.inf, dtype=self.values.dtype, device=self.device)
        base.fill_diagonal_(0.0)
        rows, columns = self.places.unbind(0)
        # an edge stored once fills both entries; of one stored twice, each value fills its own
        return base.index_put((columns, rows), self.values).index_put((rows, columns), self.values)


def sparse_distances(x: Tensor, name: str) -> SparseDistances:
    """Validate a sparse matrix.

    Args:
        x: COO or CSR; an edge may be stored at (i, j), at (j, i) or at both.
        name: prefix of error messages.

    Raises:
        DataError: names the first entry that cannot be a distance.
    """
    if x.dim() != 2 or x.shape[0] != x.shape[1]:
        raise DataError(f"{name}sparse distances must be a square matrix, not {tuple(x.shape)}")
    n = len(x)
    if n == 0:
        raise DataError(f"{name}expected distances (n, n) with n > 0, got the shape {tuple(x.shape)}")
    coo = x if x.layout == torch.sparse_coo else x.to_sparse_coo()
    stored, coo = coo._nnz(), coo.coalesce()  # adds up duplicate entries
    places, values = coo.indices(), coo.values()
    if places.shape[1] != stored:
        raise DataError(f"{name}an entry is stored twice: store each edge once, or once at (i, j) and once at (j, i)")
    if places.numel() and not 0 <= int(places.min()) <= int(places.max()) < n:
        raise DataError(f"{name}sparse distances have rows {int(places.min())} to {int(places.max())} of {n} points")
    lengths, (rows, columns) = values.detach(), places
    _refuse(lengths.isnan(), "leave out what is not an edge, or store infinity", places, lengths, name)
    _refuse(lengths < 0, "distances are not negative", places, lengths, name)
    _refuse(
        (rows == columns) & (lengths != 0),
        "a point is at distance 0 from itself: leave the diagonal out",
        places,
        lengths,
        name,
    )
    low, high = places.aminmax(dim=0) if places.numel() else (rows, columns)
    code, order = torch.sort(low * n + high, stable=True)
    again = torch.zeros(len(code), dtype=torch.bool, device=code.device)
    again[1:] = code[1:] == code[:-1]
    first = order[~again]
    second = first.clone()
    second[again.logical_not().cumsum(0)[again] - 1] = order[again]
    differ = (lengths[first] != lengths[second]).nonzero()[:, 0]
    if len(differ):
        one, other = int(first[differ[0]]), int(second[differ[0]])
        raise DataError(
            f"{name}distances must be symmetric: the edge {places[:, one].tolist()} is stored with two lengths, "
            f"{shortest(lengths[one])} and {shortest(lengths[other])}; store each edge once"
        )
    edges = rows[first] != columns[first]
    first, second = first[edges], second[edges]
    ends = torch.stack([low[first], high[first]], dim=1).cpu().numpy()
    return SparseDistances(n, values, places, ends, torch.stack([first, second], dim=1))


def _refuse(wrong: Tensor, why: str, places: Int64[Tensor, "2 s"], lengths: Tensor, name: str) -> None:
    """Raise DataError for the first entry that is ``wrong``, if any."""
    found = wrong.nonzero()
    if len(found):
        k = int(found[0])
        raise DataError(f"{name}the distance at {places[:, k].tolist()} is {shortest(lengths[k])}: {why}")


def shortest(x: Float[Tensor, ""]) -> str:
    """The number with as many digits as tell it from others of its type."""
    return str(x.detach().cpu().numpy())


def graph_pairs(graph: SparseDistances, max_dim: int, threshold: float | None) -> Pairs:
    """Pairs of the clique complex of a graph, in time and memory that depend on its edges and triangles.

    Args:
        graph: the graph.
        max_dim: 0 or 1.
        threshold: longest edge that enters; None for all that are finite.
    """
    unit = unit_of(graph.extent)
    lengths = graph.lengths(unit).detach().cpu().numpy()
    order = np.argsort(lengths, kind="stable")  # edges of equal length in the order of their vertices
    limit = math.inf if threshold is None else float(threshold) * unit
    enter = np.isfinite(lengths[order]) & (lengths[order] <= limit)
    return reduced.compute_from_edges(graph.n, graph.ends[order[enter]], max_dim)


def graph_values(
    graph: SparseDistances,
    simplices: Int64[Tensor, "k v"],
    *,
    tie_tolerance: float,
    tie_unit: float | None,
) -> Float[Tensor, " k"]:
    """`simplex_values` of a graph, in the autograd graph of the stored lengths.

    Args:
        graph: the graph, which has all edges of the simplices.
        simplices: (k, v) vertices of each simplex, -1 in unused entries.
        tie_tolerance: see `simplex_values`.
        tie_unit: likewise; None for the longest edge.
    """
    values = graph.values
    nothing = values[:0].sum()  # 0, in the autograd graph even if there is no edge
    if simplices.shape[1] < 2 or len(graph.ends) == 0:
        return nothing + values.new_zeros(len(simplices))
    size = graph.extent
    unit = unit_of(size)
    pairs = torch.tensor(list(combinations(range(simplices.shape[1]), 2)))
    ends = simplices[:, pairs].cpu().numpy()  # (k, l, 2)
    real = (ends >= 0).all(axis=2)
    codes = graph.ends[:, 0] * graph.n + graph.ends[:, 1]
    number = np.where(real, np.searchsorted(codes, ends.min(axis=2) * graph.n + ends.max(axis=2)), 0)
    used, inverse = np.unique(number, return_inverse=True)
    stored = values[graph.entries[torch.from_numpy(used).to(graph.device)]].double()  # (u, 2)
    lengths = ((stored * unit if unit != 1 else stored) / 2).sum(dim=1)[torch.from_numpy(inverse.reshape(number.shape))]
    exist = torch.from_numpy(real).to(graph.device)
    lengths = lengths.where(exist, 0.0)
    longest = lengths.detach().amax(dim=1, keepdim=True)
    tied = exist & (lengths.detach() >= longest - tie_tolerance * (size if tie_unit is None else tie_unit) * unit)
    mean = (lengths * (tied.double() / tied.sum(dim=1, keepdim=True).clamp_min(1))).sum(dim=1)
    # the value is that of the longest edge, bit for bit; the gradient that of the mean of all that tie with it
    return nothing + ((longest[:, 0] + (mean - mean.detach())) / unit).to(values.dtype)

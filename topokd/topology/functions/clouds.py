"""Common parts of functions of two clouds whose rows correspond: checks, distances, spanning trees, edge lengths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from numpy import ndarray
from torch import Tensor

from topokd.checks import real_tensor
from topokd.errors import DataError, ParameterError
from topokd.options import number
from topokd.topology.critical_edges import extent, unit_of
from topokd.topology.distances import squared_distances
from topokd.topology.functions.pairs import described

Cloud = Tensor | np.ndarray
"""Points (n, c), n at least 1."""
Clouds = Cloud | Sequence[Cloud]
"""One cloud, or a list of them."""
Edges = Int64[ndarray, "e 2"]


def over_pairs(function: Callable[[Tensor, Tensor, str], Tensor], x: Clouds, y: Clouds) -> Float[Tensor, "*b"]:
    """``function`` of two clouds, or of each pair of two lists, stacked.

    Args:
        function: takes points (n, c1) and (n, c2), and their place in the lists for messages, as "[1]"; returns a
            scalar.
        x: one cloud, or a list of them.
        y: the same rows in another space, or a list of the same length.

    Raises:
        DataError: clouds that are not (n, c) with finite values, or do not have the same rows.
    """
    if isinstance(x, Tensor | np.ndarray) and isinstance(y, Tensor | np.ndarray):
        return function(*_pair(x, y, ""), "")
    lists = isinstance(x, list | tuple) and isinstance(y, list | tuple)
    if not lists or len(x) != len(y) or len(x) == 0:
        raise DataError(
            f"x is {described(x, 'cloud')} and y is {described(y, 'cloud')}: pass two clouds, or two lists of clouds "
            "of one length, at least 1"
        )
    places = [f"[{k}]" for k in range(len(x))]
    return torch.stack([function(*_pair(a, b, at), at) for a, b, at in zip(x, y, places, strict=True)])


def _pair(x: Cloud, y: Cloud, where: str) -> tuple[Tensor, Tensor]:
    first, second = _checked(x, f"x{where}"), _checked(y, f"y{where}")
    if len(first) != len(second):
        raise DataError(
            f"x{where} has {len(first)} rows and y{where} {len(second)}: both must describe the same points"
        )
    if first.device != second.device:
        raise DataError(f"x{where} is on {first.device} and y{where} on {second.device}: move them to one device")
    return first, second


def _checked(cloud: Cloud, name: str) -> Float[Tensor, "n c"]:
    x = real_tensor(cloud, name)
    if not x.is_floating_point():
        x = x.double()
    if x.dim() != 2 or len(x) == 0:
        batch = "; pass several clouds as a list of them" if x.dim() == 3 else ""
        raise DataError(f"{name} has the shape {tuple(x.shape)}, expected (n, c) with n > 0: one row per point{batch}")
    finite = torch.isfinite(x.detach()).all(dim=1)
    if not bool(finite.all()):
        raise DataError(f"row {int((~finite).nonzero()[0])} of {name} holds NaN or infinity: pass finite coordinates")
    return x


def distance_matrix(x: Float[Tensor, "n c"]) -> Float64[ndarray, "n n"]:
    """Euclidean distances of all pairs of rows, without the graph."""
    values, unit = x.detach().to(device="cpu", dtype=torch.float64).contiguous(), _unit(x)
    if unit == 1:
        return np.sqrt(squared_distances(values.numpy()))
    return np.sqrt(squared_distances((values * unit).numpy())) / unit


def spanning_tree(distances: Float64[ndarray, "n n"]) -> Edges:
    """Edges (n - 1, 2) of the minimum spanning tree; of equal lengths the edge of the lower indices comes first."""
    from topokd.topology.kernels import spanning

    return spanning.minimum_spanning_tree(np.ascontiguousarray(distances))  # type: ignore[no-any-return]


def lengths(x: Float[Tensor, "n c"], edges: Edges) -> Float[Tensor, " e"]:
    """Lengths of the ``edges`` (e, 2) between rows of ``x``, in float64, in its graph; length 0 has no gradient."""
    ends, unit = torch.from_numpy(edges).to(x.device), _unit(x)
    points = x.double() if unit == 1 else x.double() * unit
    edge_lengths = torch.linalg.vector_norm(points[ends[:, 0]] - points[ends[:, 1]], dim=1)
    return edge_lengths if unit == 1 else edge_lengths / unit


def _unit(x: Float[Tensor, "n c"]) -> float:
    """A power of two that keeps squares of differences within float64; usually 1."""
    return unit_of(extent(x))


@dataclass(frozen=True)
class Scale:
    """A quantile of all n x n distances of a cloud, interpolated between two edges.

    Attributes:
        value: the quantile.
        edges: (2, 2) the two edges; (0, 2) for a scale of 1.
        share: weight of the second edge in the interpolation.
    """

    value: float
    edges: Edges
    share: float

    def apply(self, x: Float[Tensor, "n c"], values: Float[Tensor, " e"]) -> Float[Tensor, " e"]:
        """``values`` (e,) divided by the quantile of the distances of ``x`` (n, c), which also gets a gradient."""
        if len(self.edges) == 0:
            return values
        low, high = lengths(x, self.edges)
        return values / torch.lerp(low, high, self.share)


def quantile_scale(distances: Float64[ndarray, "n n"], quantile: float | None, name: str) -> Scale:
    """The quantile as NumPy computes it over the whole matrix: every distance twice, and n zeros.

    Args:
        distances: (n, n), symmetric.
        quantile: the quantile that is the scale, in (0, 1]; None for a scale of 1.
        name: name of the cloud, for messages.

    Raises:
        ParameterError: the quantile is not in (0, 1], or so many points coincide that it is 0.
    """
    if quantile is not None and not number(quantile, "quantile", above=True) <= 1:
        raise ParameterError(f"quantile is {quantile}: pass a number in (0, 1], or None for distances as they are")
    n = len(distances)
    if quantile is None or not distances.any():
        return Scale(1.0, np.empty((0, 2), np.int64), 0.0)
    indices = np.arange(n)
    values = distances[indices[:, None] < indices]  # above the diagonal, row after row
    place = quantile * (n * n - 1)
    below = int(place)
    ranks = [max(0, (rank - n) // 2) for rank in (below, min(below + 1, n * n - 1))]
    order = np.argpartition(values, sorted(set(ranks)))
    chosen = order[ranks]
    first, second = chosen
    if below < n or values[first] == 0:
        raise ParameterError(
            f"the {quantile:g}-quantile of the distances of {name} is 0, so they cannot be divided by it: remove "
            "duplicate points, or pass quantile=None"
        )
    share = place - below
    starts = indices * (2 * n - indices - 1) // 2  # of each row's values
    rows = np.searchsorted(starts[:-1], chosen, side="right") - 1
    edges = np.stack([rows, chosen - starts[rows] + rows + 1], axis=1)
    return Scale(float(values[first] + share * (values[second] - values[first])), edges, share)

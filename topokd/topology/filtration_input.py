"""Converts the inputs of `vietoris_rips` to points or a distance matrix, and validates them."""

from __future__ import annotations

import math
import operator
from typing import Any, NamedTuple, Protocol, overload, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float64
from numpy import ndarray
from torch import Tensor

from topokd.checks import available_memory, first_nonfinite_row, real_tensor, require_memory
from topokd.errors import DataError, ParameterError
from topokd.options import number
from topokd.topology.critical_edges import extent, unit_of
from topokd.topology.engines import reduced
from topokd.topology.graphs import SparseDistances, shortest, sparse_distances
from topokd.topology.sampling import Points

METRICS = ("euclidean", "precomputed")
BYTES_PER_PAIR = 20  # a matrix entry, half a sorted edge, half an annotation, and buffers for sorting
ROUNDING = 0.05  # of the largest distance: cdist's matrix product is off by this much where points are far from 0


class Filtration(NamedTuple):
    """The input of an engine, scaled so that squares neither overflow nor underflow.

    Attributes:
        values: (n, c) points or (n, n) distances, multiplied by ``unit``; finite. Infinite distances are replaced by a
            number above ``limit``.
        limit: edges longer than this, in the scaled unit, never enter; inf for no limit.
        unit: a power of two; 1 unless the numbers are extreme.
    """

    values: Float64[ndarray, "n c"]
    limit: float
    unit: float


def check_options(metric: str, threshold: float | None) -> None:
    """Check the options that say what the filtration is.

    Raises:
        ParameterError: ``metric`` is not one of `METRICS`, or ``threshold`` is neither None nor a length.
    """
    if not isinstance(metric, str) or metric not in METRICS:
        raise ParameterError(f"metric is {metric!r}; choose one of {', '.join(map(repr, METRICS))}")
    if threshold is not None:
        number(threshold, "threshold", infinite=True)


def is_degree(value: object) -> bool:
    """Whether ``value`` is 0, 1 or 2: a whole number of Python, NumPy or torch."""
    try:
        return not isinstance(value, bool) and operator.index(value) in (0, 1, 2)  # type: ignore[arg-type]
    except TypeError:
        return False


def check_requests(
    certificate: bool, cycles: bool, gradient: str, max_dim: int, time_limit: float | None, weighted: bool
) -> None:
    """Check that the arguments of `vietoris_rips` do not exclude one another.

    Args:
        certificate: as in `vietoris_rips`, like the others but the last.
        cycles: likewise.
        gradient: likewise.
        max_dim: likewise.
        time_limit: likewise.
        weighted: whether there are weights.

    Raises:
        ParameterError: names the arguments, and which to leave out.
    """
    if certificate and weighted:
        raise ParameterError("certificate=True proves the plain filtration: leave out weights, or the certificate")
    if certificate and max_dim == 2:
        raise ParameterError("certificate=True proves degrees 0 and 1: choose max_dim=1, or leave it out")
    if cycles and max_dim == 0:
        raise ParameterError("cycles=True lists cycles of degree 1: choose max_dim=1, or leave it out")
    if (certificate or cycles) and time_limit is not None:
        raise ParameterError("certificates and cycles are those of whole diagrams: leave out time_limit")
    if gradient == "big_step" and (weighted or max_dim == 2 or time_limit is not None):
        raise ParameterError(
            "gradient='big_step' is that of whole, plain diagrams of degrees 0 and 1: leave out weights, time_limit "
            "and max_dim=2, or choose another gradient"
        )


@runtime_checkable
class SparseMatrix(Protocol):
    """A sparse matrix or array of SciPy."""

    def tocoo(self, copy: bool = False) -> Any:
        """The entries as rows, columns and data."""


@overload
def as_cloud(cloud: Points | SparseMatrix, metric: str, name: str, needs_matrix: str) -> Tensor: ...


@overload
def as_cloud(
    cloud: Points | SparseMatrix, metric: str, name: str, needs_matrix: str | None
) -> Tensor | SparseDistances: ...


def as_cloud(
    cloud: Points | SparseMatrix, metric: str, name: str, needs_matrix: str | None
) -> Tensor | SparseDistances:
    """Validates one cloud and returns it as a floating-point tensor, in the autograd graph of the input.

    Args:
        cloud: points (n, c), distances (n, n), or sparse distances (torch COO or CSR, or SciPy).
        metric: "euclidean" or "precomputed".
        name: prefix of error messages.
        needs_matrix: what is to be computed and needs all distances as a matrix, for messages; None if nothing does.

    Returns:
        A dense tensor; or, unless a matrix is needed or as small, the graph of sparse distances.

    Raises:
        DataError: for a wrong shape, coordinates that are not finite, distances that are NaN, negative or not
            symmetric, or a graph whose matrix is needed and does not fit into memory. Infinite distances are valid.
    """
    if isinstance(cloud, SparseMatrix):
        coo = cloud.tocoo()
        places = torch.from_numpy(np.stack([coo.row, coo.col]).astype(np.int64))
        values = torch.as_tensor(np.asarray(coo.data))
        cloud = torch.sparse_coo_tensor(places, values, coo.shape, check_invariants=True)
    sparse = isinstance(cloud, Tensor) and cloud.layout != torch.strided and not cloud.is_complex()
    x: Tensor = cloud if sparse else real_tensor(cloud, f"{name}values")  # type: ignore[assignment]
    if x.dtype not in (torch.float32, torch.float64):
        x = x.double() if x.dtype in (torch.int32, torch.int64) else x.float()
    if x.layout != torch.strided:
        if metric != "precomputed":
            raise DataError(f"{name}sparse input holds distances: pass metric='precomputed'")
        graph = sparse_distances(x, name)
        if needs_matrix is None and not (graph.is_dense and matrix_fits(graph.n)):
            return graph
        check_memory(graph.n, name, f"{needs_matrix} needs all of them: leave it out, and only stored edges count")
        return graph.full()
    if x.dim() != 2 or len(x) == 0:
        raise DataError(f"{name}expected points (n, c) or distances (n, n) with n > 0, got the shape {tuple(x.shape)}")
    if metric == "precomputed":
        _check_distances(x, name)
        return x
    row = first_nonfinite_row(x)
    if row is not None:
        raise DataError(f"{name}row {row} holds NaN or infinity: persistence needs finite coordinates")
    return x


def _check_distances(x: Float[Tensor, "n n"], name: str) -> None:
    values = x.detach()
    if x.shape[0] != x.shape[1]:
        raise DataError(f"{name}a distance matrix must be square, not {tuple(x.shape)}")
    if bool(values.isnan().any()):
        row = int(values.isnan().any(dim=1).nonzero()[0])
        raise DataError(f"{name}row {row} holds NaN: use infinity where there is no edge")
    if bool((values < 0).any()):
        i, j = (values < 0).nonzero()[0].tolist()
        raise DataError(f"{name}the distance at [{i}, {j}] is {shortest(values[i, j])}: distances are not negative")
    if bool((values.diagonal() != 0).any()):
        i = int(values.diagonal().argmax())
        raise DataError(
            f"{name}the distance at [{i}, {i}] is {shortest(values[i, i])}, but a point is at distance 0 from itself: "
            + _advice(values, values.diagonal(), "set the diagonal to 0")
        )
    if not torch.equal(values, values.T):
        i, j = (values != values.T).nonzero()[0].tolist()
        raise DataError(
            f"{name}the distance at [{i}, {j}] is {shortest(values[i, j])}, that at [{j}, {i}] "
            f"{shortest(values[j, i])}, but distances are symmetric: "
            + _advice(values, torch.where(values == values.T, 0.0, values - values.T), "store one length for each edge")
        )


def _advice(values: Float[Tensor, "n n"], errors: Tensor, fix: str) -> str:
    """How to correct distances with these ``errors``: ``fix``, unless they are small enough to come from rounding."""
    if float(errors.abs().max()) > ROUNDING * extent(values, precomputed=True):
        return fix
    return (
        "this is rounding, as torch.cdist leaves it. Pass the points without metric, compute distances with "
        "torch.cdist(..., compute_mode='donot_use_mm_for_euclid_dist'), or pass ((D + D.T) / 2).fill_diagonal_(0)"
    )


def filtration_of(cloud: Tensor, precomputed: bool, threshold: float | None) -> Filtration:
    """Convert a cloud for an engine: to float64, scaled so that squares neither overflow nor underflow.

    Args:
        cloud: (n, c) points or (n, n) distances.
        precomputed: whether they are distances.
        threshold: longest edge that enters, in the unit of the cloud; None for no limit.
    """
    size = extent(cloud, precomputed=precomputed)
    unit = unit_of(size)
    values = cloud.detach().cpu().double().numpy()
    if unit != 1:
        values = values * unit
    limit = math.inf if threshold is None else float(threshold) * unit
    if precomputed and not bool(torch.isfinite(cloud.detach()).all()):
        limit = min(limit, size * unit)
        values = np.where(np.isfinite(values), values, 4 * size * unit + 1.0)
    return Filtration(np.ascontiguousarray(values), limit, unit)


def squared_limit(limit: float) -> float:
    """Squares keep the order of the lengths; the limit is moved up by the rounding of one square root."""
    return limit * abs(limit) * (1 + 4e-16)


def matrix_fits(n: int) -> bool:
    """Whether the diagram of n points can be computed from a matrix of all distances, in the memory there is."""
    available = available_memory()
    return n <= reduced.MAX_POINTS and (available is None or BYTES_PER_PAIR * n * n < available)


def check_memory(
    n: int, name: str = "", advice: str = "sample first (farthest_point_sampling), or lower the number of points"
) -> None:
    """Raise DataError if a diagram of n points needs more memory than is available; ``name`` starts the message."""
    require_memory(
        BYTES_PER_PAIR * n * n, f"{name}the diagram of {n:,} points ({n * (n - 1) // 2:,} distances)", advice
    )

"""Vietoris-Rips persistence: diagrams with their critical simplices, differentiable down to the points (Sec. 3.2.1)."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, overload

import numpy as np
from torch import Tensor

from topokd.errors import DataError, ParameterError
from topokd.options import flag, number, threads
from topokd.topology.cohomology import Cohomology, cohomology
from topokd.topology.distances import squared_distances
from topokd.topology.engines import ENGINES, Pairs, choose_engine
from topokd.topology.filtration_input import (
    SparseMatrix,
    as_cloud,
    check_memory,
    check_options,
    check_requests,
    filtration_of,
    is_degree,
    squared_limit,
)
from topokd.topology.gradient_kinds import check_gradient, moved
from topokd.topology.graphs import SparseDistances, graph_pairs
from topokd.topology.results import Persistence, persistence_of, with_big_step_gradient, with_cohomology
from topokd.topology.sampling import Points
from topokd.topology.search import search_pairs, searched_edges, unsearchable
from topokd.topology.small_clouds import is_small, small_parts
from topokd.topology.threads import parallel_map
from topokd.topology.torch_compile import eagerly
from topokd.topology.weighted import Weights, weighted_components, weighted_filtration, weights_of

log = logging.getLogger(__name__)


@overload
def vietoris_rips(
    x: Points | SparseMatrix,
    *,
    metric: str = ...,
    max_dim: int = ...,
    engine: str = ...,
    threshold: float | None = ...,
    tie_tolerance: float = ...,
    tie_unit: float | None = ...,
    time_limit: float | None = ...,
    workers: int | None = ...,
    gradient: str = ...,
    bandwidth: float | None = ...,
    step: float = ...,
    certificate: bool = ...,
    cycles: bool = ...,
    weights: Weights | Sequence[Weights] | None = ...,
    search: bool | None = ...,
) -> Persistence: ...


@overload
def vietoris_rips(
    x: Sequence[Points | SparseMatrix],
    *,
    metric: str = ...,
    max_dim: int = ...,
    engine: str = ...,
    threshold: float | None = ...,
    tie_tolerance: float = ...,
    tie_unit: float | None = ...,
    time_limit: float | None = ...,
    workers: int | None = ...,
    gradient: str = ...,
    bandwidth: float | None = ...,
    step: float = ...,
    certificate: bool = ...,
    cycles: bool = ...,
    weights: Weights | Sequence[Weights] | None = ...,
    search: bool | None = ...,
) -> list[Persistence]: ...


@eagerly
def vietoris_rips(
    x: Points | SparseMatrix | Sequence[Points | SparseMatrix],
    *,
    metric: str = "euclidean",
    max_dim: int = 1,
    engine: str = "auto",
    threshold: float | None = None,
    tie_tolerance: float = 1e-6,
    tie_unit: float | None = None,
    time_limit: float | None = None,
    workers: int | None = None,
    gradient: str = "critical",
    bandwidth: float | None = None,
    step: float = 1.0,
    certificate: bool = False,
    cycles: bool = False,
    weights: Weights | Sequence[Weights] | None = None,
    search: bool | None = None,
) -> Persistence | list[Persistence]:
    """Exact persistence of the Vietoris-Rips filtration, v(sigma) = max_{i,j in sigma} D_ij, over Z/2.

    Edges of equal length are ordered by their indices; pairs of zero persistence in the precision of `x` are left
    out.

    Args:
        x: points (n, c) or distances (n, n), torch or numpy; or a list of them, computed in parallel. Distances may
            be infinite (an edge that never enters), and sparse (torch COO or CSR, or SciPy): entries that are not
            stored are infinite. Sparse distances take memory linear in the stored entries, and time in these and in
            the triangles that they make; with another engine than "reduced", `max_dim` 2, a time limit, a certificate,
            cycles, weights, or ``search=False`` they are written out as a matrix (n, n).
        metric: "euclidean" for points, "precomputed" for distances.
        max_dim: highest degree: 0, 1 or 2.
        engine: a key of `topokd.topology.ENGINES`, or "auto" for the fastest one.
        threshold: edges longer than this never enter; None for the whole filtration.
        tie_tolerance: tau_tie of Theorem 1: edges within it of a simplex's longest share its gradient.
        tie_unit: the length of which `tie_tolerance` is a multiple. None: the extent of the cloud (its greatest range
            of one coordinate, or its largest finite distance), so that gradients do not depend on the unit of `x`.
            1.0: `tie_tolerance` is itself a length.
        time_limit: seconds of wall time per diagram, None for no limit; engine "reduced" only. A diagram that takes
            longer is that of `threshold` at the length reached: exact up to there, with the living classes among
            `essential`. `truncated_at` and a warning say so.
        workers: threads for a list, None for as many as torch uses; the result is the same.
        gradient: which points a gradient of the diagrams moves. "critical": the ends of the critical edges
            (Theorem 1). "diffeomorphic": all points, along a smooth field that agrees with it there
            (`topokd.topology.diffeomorphic`). "big_step": the ends of every edge that must move for a pair to reach its
            target (`topokd.topology.big_step`); like a certificate, it takes a slower algorithm.
        bandwidth: bandwidth of that field, in the unit of `x`; None for half the median distance between two points.
        step: step of the gradient "big_step": a gradient g of a birth or death v asks for v - step g.
        certificate: whether to add a proof that the diagrams of degrees 0 and 1 are right and complete, see
            `topokd.topology.certificate`. Like cycles, it takes another, slower algorithm: a second at 1,024 points.
        cycles: whether to add a short cycle for each class of degree 1, born with it and filled when it dies.
        weights: (n,) w, in the unit of `x`, one per cloud; or a function of each cloud, as
            ``partial(distance_to_measure, k=10)``. Vertices enter at 2 w_i and edges at max(2 w_i, 2 w_j, D_ij + w_i +
            w_j): the weighted filtration of GUDHI, robust against outliers. None for the plain one.
        search: whether edges come from a search for neighbours instead of a matrix of all distances; for points of few
            coordinates, degrees 0 and 1, engine "reduced". None decides by the size: above 4,096 points with up to 3
            coordinates, and above 16,384 with up to 11. The result is the same, see `topokd.topology.search`. False
            also makes a matrix of sparse distances.

    Returns:
        The `Persistence`; a list of them for a list of clouds.

    Raises:
        DataError: for coordinates that are not finite, naming the cloud, distances that are not symmetric or NaN, or
            too many points for the memory.
        ParameterError: for unknown options, or a degree that the engine cannot compute.

    Examples:
        >>> import torch
        >>> square = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], requires_grad=True)
        >>> result = vietoris_rips(square)
        >>> result.diagrams[1]
        tensor([[1.0000, 1.4142]], grad_fn=...)
        >>> result.birth_simplices[1].tolist(), result.death_simplices[1].tolist(), result.essential[0].tolist()
        ([[2, 3]], [[0, 2, 3]], [0.0])
    """
    check_options(metric, threshold)
    check_gradient(gradient, bandwidth, metric, step)
    compute, workers = _find_compute(engine, max_dim, time_limit), threads(workers)
    certificate, cycles = flag(certificate, "certificate"), flag(cycles, "cycles")
    check_requests(certificate, cycles, gradient, max_dim, time_limit, weights is not None)
    tie_tolerance = number(tie_tolerance, "tie_tolerance")
    tie_unit = None if tie_unit is None else number(tie_unit, "tie_unit")
    big, weighted = gradient == "big_step", weights is not None
    single = not isinstance(x, list | tuple)
    clouds: Sequence[Any] = [x] if single else list(x)  # type: ignore[arg-type]
    done: list[Persistence | None] = [None] * len(clouds)
    plain = metric == "euclidean" and max_dim < 2 and engine in ("auto", "reduced") and time_limit is None
    if plain and not (weighted or search is not None or certificate or cycles or big):
        limit = math.inf if threshold is None else squared_limit(float(threshold))
        own = [moved(cloud, gradient, bandwidth) if is_small(cloud) else None for cloud in clouds]
        parts = small_parts(own, limit, tie_tolerance, tie_unit, max_dim, workers)
        done = [None if part is None else Persistence(*part) for part in parts]
        if None not in done:
            return done[0] if single else done  # type: ignore[return-value]

    rest = [k for k, result in enumerate(done) if result is None]
    names = ["" if single else f"cloud {k}: " for k in rest]
    requested = max_dim, time_limit, gradient, certificate or cycles, weighted
    needs_matrix = "search=False" if search is False else unsearchable(engine, "euclidean", *requested)
    points: list[Any] = [as_cloud(clouds[k], metric, name, needs_matrix) for k, name in zip(rest, names, strict=True)]
    moving = points if metric == "precomputed" else [moved(cloud, gradient, bandwidth) for cloud in points]
    weighing: Sequence[Tensor | None] = [None] * len(points) if weights is None else weights_of(weights, moving, single)
    special = unsearchable(engine, metric, *requested)
    searched = [searched_edges(search, cloud, special) for cloud in points]

    precomputed, proof = metric == "precomputed", certificate or big
    find = partial(_critical_simplices, compute, max_dim, threshold, precomputed, proof, cycles)
    computed = parallel_map(lambda inputs: find(*inputs), list(zip(points, weighing, searched, strict=True)), workers)
    for k, name, cloud, weight, (pairs, more) in zip(rest, names, moving, weighing, computed, strict=True):
        result = with_cohomology(persistence_of(cloud, pairs, weight, precomputed, tie_tolerance, tie_unit), more)
        if big:
            result = with_big_step_gradient(cloud, result, step, certificate)
        if result.truncated_at is not None:
            _warn_of_truncation(name, result, time_limit)
        done[k] = result
    return done[0] if single else done  # type: ignore[return-value]


def _find_compute(engine: str, max_dim: int, time_limit: float | None) -> Callable[..., Pairs]:
    """The function of the chosen engine, with its time limit."""
    if not is_degree(max_dim):
        raise ParameterError(f"max_dim is {max_dim!r}; choose 0, 1 or 2")
    time_limit = None if time_limit is None else number(time_limit, "time_limit", above=True, unit=" s")
    chosen = ENGINES[choose_engine(engine, max_dim, time_limit)]
    return chosen.compute if time_limit is None else partial(chosen.compute, time_limit=time_limit)


def _critical_simplices(
    compute: Callable[..., Pairs],
    max_dim: int,
    threshold: float | None,
    precomputed: bool,
    proof: bool,
    cycles: bool,
    cloud: Tensor | SparseDistances,
    weight: Tensor | None,
    searched: float | None,
) -> tuple[Pairs, Cohomology | None]:
    """The pairs of one cloud, and its cohomology if a proof or cycles are requested.

    Args:
        compute: the engine's function.
        max_dim: as in `vietoris_rips`, like ``threshold`` and ``cycles``.
        threshold: likewise.
        precomputed: whether the cloud is a matrix of distances.
        proof: whether to add a certificate.
        cycles: likewise.
        cloud: (n, c) points, (n, n) distances, or a graph.
        weight: (n,) of the weighted filtration, or None.
        searched: edges that a search for neighbours may look at before a matrix is used; None for no search.
    """
    if isinstance(cloud, SparseDistances):
        return graph_pairs(cloud, max_dim, threshold), None
    squared = not precomputed and weight is None  # the filtration values are squares of lengths
    values, limit, unit = filtration_of(cloud, precomputed, threshold)
    limit = squared_limit(limit) if squared else limit
    if searched is not None and (by_search := search_pairs(values, max_dim, limit, searched)) is not None:
        return by_search, None
    check_memory(len(cloud))
    more = None
    try:
        filtration = values if precomputed else squared_distances(values)
        if weight is not None:
            own = weight.detach().cpu().double().numpy() * unit
            filtration = weighted_filtration(filtration if precomputed else np.sqrt(filtration), own)
        if proof or cycles:
            more = cohomology(filtration, limit, unit, squared=squared, certificate=proof, cycles=cycles)
        pairs = compute(filtration, max_dim, limit)
        pairs = pairs if weight is None else weighted_components(pairs, own)
    except MemoryError as error:
        raise DataError(f"not enough memory for the distances of {len(cloud):,} points: sample first") from error
    if pairs.truncated_at is None:
        return pairs, more
    reached = pairs.truncated_at**0.5 if squared else pairs.truncated_at
    return pairs._replace(truncated_at=reached / unit), more


def _warn_of_truncation(name: str, result: Persistence, time_limit: float | None) -> None:
    """Log how far the diagram of the cloud ``name`` got within ``time_limit`` seconds."""
    living = ", ".join(f"{len(births)} of degree {dim}" for dim, births in enumerate(result.essential))
    log.warning(
        "%sthe time limit of %g s truncated the diagram at length %.6g; classes alive there: %s",
        name,
        time_limit,
        result.truncated_at,
        living,
    )

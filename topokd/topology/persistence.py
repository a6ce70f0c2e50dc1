"""Vietoris-Rips persistence: diagrams with their critical simplices, differentiable down to the points (Sec. 3.2.1)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any, overload

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from topokd.errors import DataError, ParameterError
from topokd.topology.distances import squared_distances
from topokd.topology.engines import ENGINES, Pairs, choose_engine
from topokd.topology.entry import SparseMatrix, as_cloud, check_memory, check_options, filtration_of
from topokd.topology.gradient import simplex_values
from topokd.topology.gradients import check_gradient, moved
from topokd.topology.options import number, threads
from topokd.topology.sampling import Points
from topokd.topology.threads import parallel_map

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Persistence:
    """Diagrams of one cloud; each list has one entry per homology degree d.

    Attributes:
        diagrams: (K, 2) birth and death of the finite classes, sorted by death, differentiable.
        birth_simplices: (K, d + 1) vertices of the simplices that create them.
        death_simplices: (K, d + 2) vertices of the simplices that kill them.
        essential: (E,) births of the classes that never die (of the whole filtration: one component).
        essential_simplices: (E, d + 1) vertices of the simplices that create them.
        truncated_at: None, or the length at which a time limit stopped; longer edges never entered.
    """

    diagrams: list[Float[Tensor, "_ 2"]]
    birth_simplices: list[Int64[Tensor, "_ _"]]
    death_simplices: list[Int64[Tensor, "_ _"]]
    essential: list[Float[Tensor, " _"]]
    essential_simplices: list[Int64[Tensor, "_ _"]]
    truncated_at: float | None = None


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
) -> list[Persistence]: ...


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
) -> Persistence | list[Persistence]:
    """Exact persistence of the Vietoris-Rips filtration, v(sigma) = max_{i,j in sigma} D_ij, over Z/2.

    Edges of equal length are ordered by their indices; pairs of zero persistence in the precision of `x` are left
    out.

    Args:
        x: points (n, c) or distances (n, n), torch or numpy; or a list of them, computed in parallel. Distances may
            be infinite (an edge that never enters), and sparse (torch or SciPy): entries that are not stored are
            infinite.
        metric: "euclidean" for points, "precomputed" for distances.
        max_dim: highest degree: 0, 1 or 2.
        engine: a key of `topokd.topology.ENGINES`, or "auto" for the fastest one.
        threshold: edges longer than this never enter; None for the whole filtration.
        tie_tolerance: tau_tie of Theorem 1: edges within it of a simplex's longest share its gradient.
        tie_unit: length that `tie_tolerance` counts. None: the extent of the cloud (its greatest range of one
            coordinate, its largest finite distance), so that gradients do not depend on the unit of `x`. 1.0:
            `tie_tolerance` is itself a length.
        time_limit: seconds of wall time per diagram, None for no limit; engine "reduced" only. A diagram that takes
            longer is that of `threshold` at the length reached: exact up to there, with the living classes among
            `essential`. `truncated_at` and a warning say so.
        workers: threads for a list, None for as many as torch uses; the result is the same.
        gradient: which points a gradient of the diagrams moves. "critical": the ends of the critical edges
            (Theorem 1). "diffeomorphic": all points, along a smooth field that agrees with it there
            (`topokd.topology.diffeomorphic`).
        bandwidth: of that field, in the unit of `x`; None for half the median distance between two points.

    Returns:
        The `Persistence`; a list of them for a list of clouds.

    Raises:
        DataError: for coordinates that are not finite, naming the cloud, distances that are not symmetric or NaN, or
            too many points for the memory.
        ParameterError: for unknown options, or a degree that the engine cannot compute.

    Examples:
        >>> square = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], requires_grad=True)
        >>> result = vietoris_rips(square)
        >>> result.diagrams[1]
        tensor([[1.0000, 1.4142]], grad_fn=...)
        >>> result.birth_simplices[1].tolist(), result.death_simplices[1].tolist(), result.essential[0].tolist()
        ([[2, 3]], [[0, 2, 3]], [0.0])
    """
    check_options(metric, threshold)
    check_gradient(gradient, bandwidth, metric)
    compute, workers = _find_compute(engine, max_dim, time_limit), threads(workers)
    tie_tolerance = number(tie_tolerance, "tie_tolerance")
    precomputed = metric == "precomputed"
    single = not isinstance(x, list | tuple)
    clouds: Sequence[Any] = [x] if single else list(x)  # type: ignore[arg-type]
    names = ["" if single else f"cloud {k}: " for k in range(len(clouds))]
    points = [as_cloud(cloud, metric, name) for cloud, name in zip(clouds, names, strict=True)]

    def pairs(cloud: Tensor) -> Pairs:
        check_memory(len(cloud))
        values, limit, unit = filtration_of(cloud, precomputed, threshold)
        # squares keep the order of the lengths; the limit is moved up by the rounding of one square root
        limit = limit if precomputed else limit * abs(limit) * (1 + 4e-16)
        try:
            found = compute(values if precomputed else squared_distances(values), max_dim, limit)
        except MemoryError as error:
            raise DataError(f"memory is too small for the distances of {len(cloud):,} points: sample first") from error
        if found.truncated_at is None:
            return found
        reached = found.truncated_at if precomputed else found.truncated_at**0.5
        return found._replace(truncated_at=reached / unit)

    found = parallel_map(pairs, points, workers)
    results = [
        _persistence(moved(cloud, gradient, bandwidth), pair, precomputed, tie_tolerance, tie_unit)
        for cloud, pair in zip(points, found, strict=True)
    ]
    for name, result in zip(names, results, strict=True):
        if result.truncated_at is not None:
            living = ", ".join(f"{len(e)} of degree {dim}" for dim, e in enumerate(result.essential))
            log.warning(
                "%sthe time limit of %g s truncated the diagram at length %.6g; classes alive there: %s",
                name,
                time_limit,
                result.truncated_at,
                living,
            )
    return results[0] if single else results


def _find_compute(engine: str, max_dim: int, time_limit: float | None) -> Callable[..., Pairs]:
    if max_dim not in (0, 1, 2):
        raise ParameterError(f"max_dim is {max_dim!r}; choose 0, 1 or 2")
    time_limit = None if time_limit is None else number(time_limit, "time_limit", above=True, unit=" s")
    chosen = ENGINES[choose_engine(engine, max_dim, time_limit)]
    return chosen.compute if time_limit is None else partial(chosen.compute, time_limit=time_limit)


def _persistence(
    x: Tensor, pairs: Pairs, precomputed: bool, tie_tolerance: float, tie_unit: float | None
) -> Persistence:
    """Values of the critical simplices, in the type of `x`; pairs of zero persistence in that type are dropped."""
    result = Persistence([], [], [], [], [], pairs.truncated_at)
    simplices = [s for group in zip(pairs.birth, pairs.death, pairs.essential, strict=True) for s in group]
    # all in one call: rows are as long as the longest simplex
    together = np.full((sum(map(len, simplices)), max(s.shape[1] for s in simplices)), -1)
    ends = list(accumulate(map(len, simplices)))
    for s, end in zip(simplices, ends, strict=True):
        together[end - len(s) : end, : s.shape[1]] = s
    values = simplex_values(
        x,
        torch.from_numpy(together).to(x.device),
        precomputed=precomputed,
        tie_tolerance=tie_tolerance,
        tie_unit=tie_unit,
    ).tensor_split(ends[:-1])
    for k in range(0, len(simplices), 3):
        (creating, killing, essential), (birth, death, essential_birth) = simplices[k : k + 3], values[k : k + 3]
        positive = (death > birth).detach()
        kept = positive.cpu().numpy()
        result.diagrams.append(torch.stack([birth, death], dim=1)[positive])
        result.birth_simplices.append(torch.from_numpy(creating[kept]).to(x.device))
        result.death_simplices.append(torch.from_numpy(killing[kept]).to(x.device))
        result.essential.append(essential_birth)
        result.essential_simplices.append(torch.from_numpy(essential).to(x.device))
    return result

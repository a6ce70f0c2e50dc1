"""Vietoris-Rips persistence: diagrams with their critical simplices, differentiable down to the points (Sec. 3.2.1)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Literal, overload

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from topokd.errors import DataError, ParameterError
from topokd.topology.distances import squared_distances
from topokd.topology.engines import Pairs
from topokd.topology.gradient import simplex_values
from topokd.topology.sampling import Points
from topokd.topology.threads import side_by_side

log = logging.getLogger(__name__)

Metric = Literal["euclidean", "precomputed"]
Engine = Literal["auto", "reduced", "giotto-ph", "reference"]


@dataclass(frozen=True)
class Persistence:
    """Diagrams of one cloud. Each list has one entry per homology degree d.

    ``diagrams`` (K, 2): birth and death of the finite classes, by death, differentiable. ``birth_simplices`` (K, d+1)
    and ``death_simplices`` (K, d+2): the vertices of the simplices that make and end them. ``essential`` (E,): births
    of the classes that never end (with the whole filtration: one component), ``essential_simplices`` (E, d+1).
    ``cut``: None, or the length that a time limit stopped at; edges longer than it never entered.
    """

    diagrams: list[Float[Tensor, "k 2"]]
    birth_simplices: list[Int64[Tensor, "k v"]]
    death_simplices: list[Int64[Tensor, "k w"]]
    essential: list[Float[Tensor, " e"]]
    essential_simplices: list[Int64[Tensor, "e v"]]
    cut: float | None = None


@overload
def vietoris_rips(
    x: Points,
    *,
    metric: Metric = ...,
    max_dim: int = ...,
    engine: Engine = ...,
    threshold: float | None = ...,
    tie_tolerance: float = ...,
    time_limit: float | None = ...,
    workers: int | None = ...,
) -> Persistence: ...


@overload
def vietoris_rips(
    x: Sequence[Points],
    *,
    metric: Metric = ...,
    max_dim: int = ...,
    engine: Engine = ...,
    threshold: float | None = ...,
    tie_tolerance: float = ...,
    time_limit: float | None = ...,
    workers: int | None = ...,
) -> list[Persistence]: ...


def vietoris_rips(
    x: Points | Sequence[Points],
    *,
    metric: Metric = "euclidean",
    max_dim: int = 1,
    engine: Engine = "auto",
    threshold: float | None = None,
    tie_tolerance: float = 1e-6,
    time_limit: float | None = None,
    workers: int | None = None,
) -> Persistence | list[Persistence]:
    """Persistence of the Vietoris-Rips filtration, v(sigma) = max_{i,j in sigma} D_ij, over Z/2, exact.

    ``x``: points (n, c), or distances (n, n) with ``metric="precomputed"``, torch or numpy; or a list of them,
    computed side by side on ``workers`` threads (default: torch's number), with the same result. ``max_dim``: highest
    degree (0, 1 or 2). ``threshold``: edges longer than this never enter (None: the whole filtration).
    ``tie_tolerance``: tau_tie of Theorem 1. ``engine``: "reduced" (ours, degrees 0 and 1), "giotto-ph", "reference"
    (plain torch, slow), or "auto", the fastest one. ``time_limit``: seconds per diagram (None: no limit; engine
    "reduced" only). A diagram that takes longer is what ``threshold`` at the length reached by then would have given:
    exact up to there, with the classes that still live among ``essential``. ``cut`` and a warning say so.

    Edges of equal length are ordered by their indices; pairs that live for no time in the precision of ``x`` are left
    out. Raises :class:`DataError` for values that are not finite (naming the cloud) or no metric,
    :class:`ParameterError` for unknown options.

    >>> square = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], requires_grad=True)
    >>> result = vietoris_rips(square)
    >>> result.diagrams[1]
    tensor([[1.0000, 1.4142]], grad_fn=...)
    >>> result.birth_simplices[1].tolist(), result.death_simplices[1].tolist(), result.essential[0].tolist()
    ([[2, 3]], [[0, 2, 3]], [0.0])
    """
    if metric not in ("euclidean", "precomputed"):
        raise ParameterError(f"metric is {metric!r}; choose 'euclidean' or 'precomputed'")
    compute = _engine(engine, max_dim, time_limit)
    single = isinstance(x, Tensor | np.ndarray)
    clouds = [x] if isinstance(x, Tensor | np.ndarray) else list(x)
    names = ["" if single else f"cloud {k}: " for k in range(len(clouds))]
    points = [_as_tensor(cloud, metric, name) for cloud, name in zip(clouds, names, strict=True)]

    def pairs(cloud: Tensor) -> Pairs:
        values = cloud.detach().cpu().double().numpy()
        limit = np.inf if threshold is None else float(threshold)
        if metric == "precomputed":
            return compute(values, max_dim, limit)
        # squares keep the order of the lengths; the limit is moved up by the rounding of one square root
        return compute(squared_distances(values), max_dim, limit * abs(limit) * (1 + 4e-16))

    found = side_by_side(pairs, points, workers)
    results = [
        _persistence(cloud, pair, metric == "precomputed", tie_tolerance)
        for cloud, pair in zip(points, found, strict=True)
    ]
    for name, result in zip(names, results, strict=True):
        if result.cut is not None:
            lasting = ", ".join(f"{len(e)} of degree {dim}" for dim, e in enumerate(result.essential))
            log.warning("%sthe time limit of %g s cut the diagram at length %.6g; classes that still lived: %s",
                        name, time_limit, result.cut, lasting)  # fmt: skip
    return results[0] if single else results


def _engine(engine: str, max_dim: int, time_limit: float | None) -> Callable[[np.ndarray, int, float], Pairs]:
    if max_dim not in (0, 1, 2):
        raise ParameterError(f"max_dim is {max_dim!r}; choose 0, 1 or 2")
    if engine == "auto":
        engine = "reduced" if max_dim < 2 else "giotto-ph"
    if time_limit is not None and (engine != "reduced" or not time_limit > 0):
        raise ParameterError(
            f"time_limit is {time_limit!r} s with engine {engine!r}: it must be positive, and only 'reduced' can stop"
        )
    if engine == "reduced":
        from topokd.topology.engines import reduced

        return partial(reduced.compute, time_limit=time_limit)
    if engine == "giotto-ph":
        from topokd.topology.engines import giotto

        return giotto.compute
    if engine == "reference":
        from topokd.topology.engines import reference

        return reference.compute
    raise ParameterError(f"engine is {engine!r}; choose 'auto', 'reduced', 'giotto-ph' or 'reference'")


def _as_tensor(cloud: Points, metric: str, name: str) -> Tensor:
    x = torch.as_tensor(cloud)
    if x.dtype not in (torch.float32, torch.float64):
        x = x.float()
    if x.dim() != 2 or len(x) == 0:
        raise DataError(f"{name}expected points (n, c) or distances (n, n) with n > 0, got the shape {tuple(x.shape)}")
    values = x.detach()
    if not bool(torch.isfinite(values).all()):
        row = int((~torch.isfinite(values)).any(dim=1).nonzero()[0])
        raise DataError(f"{name}row {row} holds NaN or infinity: persistence needs finite values")
    if metric == "precomputed":
        if x.shape[0] != x.shape[1]:
            raise DataError(f"{name}a distance matrix must be square, not {tuple(x.shape)}")
        if not torch.equal(values, values.T) or bool((values.diagonal() != 0).any()) or bool((values < 0).any()):
            raise DataError(f"{name}distances must be symmetric, not negative, and zero on the diagonal")
    return x


def _persistence(x: Tensor, pairs: Pairs, precomputed: bool, tie_tolerance: float) -> Persistence:
    """Values of the critical simplices, in the type of ``x``; pairs without a lifetime in that type are dropped."""
    cut = None if pairs.reached is None else pairs.reached if precomputed else pairs.reached**0.5
    result = Persistence([], [], [], [], [], cut)
    simplices = [s for group in zip(pairs.birth, pairs.death, pairs.essential, strict=True) for s in group]
    # all in one call, rows being as long as the longest
    together = np.full((sum(map(len, simplices)), max(s.shape[1] for s in simplices)), -1)
    ends = list(accumulate(map(len, simplices)))
    for s, end in zip(simplices, ends, strict=True):
        together[end - len(s) : end, : s.shape[1]] = s
    values = simplex_values(
        x, torch.from_numpy(together).to(x.device), precomputed=precomputed, tie_tolerance=tie_tolerance
    ).tensor_split(ends[:-1])
    for k in range(0, len(simplices), 3):
        (makers, killers, lasting), (born, died, endless) = simplices[k : k + 3], values[k : k + 3]
        alive = (died > born).detach()
        kept = alive.cpu().numpy()
        result.diagrams.append(torch.stack([born, died], dim=1)[alive])
        result.birth_simplices.append(torch.from_numpy(makers[kept]).to(x.device))
        result.death_simplices.append(torch.from_numpy(killers[kept]).to(x.device))
        result.essential.append(endless)
        result.essential_simplices.append(torch.from_numpy(lasting).to(x.device))
    return result

"""Results of `vietoris_rips`: the class `Persistence`, and the functions that build it from critical simplices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from topokd.topology.certificate import Certificate
from topokd.topology.cohomology import Cohomology
from topokd.topology.critical_edges import SAFE, extent, simplex_values
from topokd.topology.engines import Pairs
from topokd.topology.graphs import SparseDistances, graph_values
from topokd.topology.values import packed_from, parts_of, safe_extent
from topokd.topology.weighted import weighted_values


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
        certificate: with ``certificate=True`` a proof of degrees 0 and 1 for `topokd.topology.certificate.check`.
        cycles: with ``cycles=True`` one cycle per row of degree 1, as edges (l, 2), the creating edge first.
        essential_cycles: likewise, of the classes of degree 1 that never die.

    Examples:
        >>> from topokd.topology import vietoris_rips
        >>> square = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
        >>> persistence = vietoris_rips(square)
        >>> persistence.diagrams[1].tolist(), persistence.birth_simplices[1].tolist(), persistence.essential[0].tolist()
        ([[1.0, 1.4142135623730951]], [[2, 3]], [0.0])
    """

    diagrams: list[Float[Tensor, "_ 2"]]
    birth_simplices: list[Int64[Tensor, "_ _"]]
    death_simplices: list[Int64[Tensor, "_ _"]]
    essential: list[Float[Tensor, " _"]]
    essential_simplices: list[Int64[Tensor, "_ _"]]
    truncated_at: float | None = None
    certificate: Certificate | None = None
    cycles: list[Int64[Tensor, "_ 2"]] | None = None
    essential_cycles: list[Int64[Tensor, "_ 2"]] | None = None


def persistence_of(
    x: Tensor | SparseDistances,
    pairs: Pairs,
    weights: Tensor | None,
    precomputed: bool,
    tie_tolerance: float,
    tie_unit: float | None,
) -> Persistence:
    """The result with the values of the critical simplices; pairs of zero persistence in the type of `x` are dropped.

    Args:
        x: points (n, c), distances (n, n), or a graph, in whose autograd graph the diagrams are.
        pairs: critical simplices, from an engine.
        weights: (n,) of the weighted filtration, in the unit of `x`; None for the plain one.
        precomputed: whether `x` holds distances.
        tie_tolerance: see `topokd.topology.vietoris_rips`.
        tie_unit: likewise.
    """
    if (
        isinstance(x, Tensor)
        and weights is None
        and not precomputed
        and not x.is_cuda
        and len(pairs.birth) < 3
        and x.shape[1] > 0
    ):
        size = extent(x)
        if size == 0 or 1 / SAFE <= size <= safe_extent(x):
            rows = np.ascontiguousarray(x.detach().numpy(), dtype=np.float64)
            unit = size if tie_unit is None else tie_unit
            packed = packed_from(pairs, rows, x.dtype == torch.float32, tie_tolerance, unit)
            return Persistence(*parts_of(x, packed, tie_unit, len(pairs.birth) - 1), pairs.truncated_at)
    result = Persistence([], [], [], [], [], pairs.truncated_at)
    simplices = [s for group in zip(pairs.birth, pairs.death, pairs.essential, strict=True) for s in group]
    # all in one call: rows are as long as the longest simplex
    together = np.full((sum(map(len, simplices)), max(s.shape[1] for s in simplices)), -1)
    ends = list(accumulate(map(len, simplices)))
    for s, end in zip(simplices, ends, strict=True):
        together[end - len(s) : end, : s.shape[1]] = s
    value: Callable[..., Tensor] = partial(simplex_values, precomputed=precomputed)
    if isinstance(x, SparseDistances):
        value = graph_values
    elif weights is not None:
        value = partial(weighted_values, weights=weights, precomputed=precomputed)
    values = value(
        x, simplices=torch.from_numpy(together).to(x.device), tie_tolerance=tie_tolerance, tie_unit=tie_unit
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


def with_cohomology(persistence: Persistence, more: Cohomology | None) -> Persistence:
    """``persistence`` with the certificate and the cycles that ``more`` holds, if any."""
    if more is None:
        return persistence
    if more.cycles is None:
        return replace(persistence, certificate=more.certificate)
    cycles = [
        [torch.from_numpy(more.cycles[i, j]).to(simplices.device) for i, j in simplices.tolist()]
        for simplices in (persistence.birth_simplices[1], persistence.essential_simplices[1])
    ]
    return replace(persistence, certificate=more.certificate, cycles=cycles[0], essential_cycles=cycles[1])


def with_big_step_gradient(x: Tensor, persistence: Persistence, step: float, certificate: bool) -> Persistence:
    """``persistence`` with the gradient "big_step", computed from its certificate.

    Args:
        x: points (n, c) or distances (n, n).
        persistence: the result, which has a certificate.
        step: see `topokd.topology.vietoris_rips`.
        certificate: whether the certificate stays in the result.
    """
    from topokd.topology.big_step import CriticalSets, with_big_steps

    assert persistence.certificate is not None
    sets = CriticalSets(persistence.certificate)
    simplices = zip(persistence.diagrams, persistence.birth_simplices, persistence.death_simplices, strict=True)
    diagrams = [with_big_steps(x, diagram, birth, death, sets, step) for diagram, birth, death in simplices]
    return replace(persistence, diagrams=diagrams, certificate=persistence.certificate if certificate else None)

"""From points to diagrams to PWCD to gradients in one step: the topological loss against given diagrams."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from topokd.errors import DataError, ParameterError
from topokd.options import number, threads
from topokd.topology.chamfer import persistence_weighted_chamfer
from topokd.topology.engines import choose_engine, reduced
from topokd.topology.filtration_input import check_options, squared_limit
from topokd.topology.layer import Layer, LayerValue, runs_of
from topokd.topology.persistence import vietoris_rips
from topokd.topology.sampling import Points
from topokd.topology.small_chamfer import MAX_SMALL, is_small_diagram
from topokd.topology.small_clouds import is_small
from topokd.topology.torch_compile import eagerly

MAX_CLOUD = MAX_SMALL + 1  # points, so that its diagram of degree 0 has up to `MAX_SMALL` pairs
DEFAULTS: dict[str, Any] = {"gradient": "critical", "bandwidth": None, "time_limit": None, "weights": None}

ADVICE = "pass one diagram per degree, as Persistence.diagrams; for a list of clouds, one set per cloud"

Reference = Sequence[Tensor] | Mapping[int, Tensor]
"""Diagrams (k, 2) of one cloud by degree, as `Persistence.diagrams`."""


@eagerly
def rips_chamfer(
    x: Points | Sequence[Points],
    teacher: Reference | Sequence[Reference],
    *,
    dims: Sequence[int] = (0, 1),
    eps: float = 1e-6,
    match_scale: float = 1.0,
    engine: str = "auto",
    threshold: float | None = None,
    tie_tolerance: float = 1e-6,
    tie_unit: float | None = None,
    workers: int | None = None,
    **options: Any,
) -> Float[Tensor, ""]:
    """Sum over degrees of PWCD(teacher's diagram, Vietoris-Rips diagram of ``x``); of a list, over its clouds too.

    The same as `vietoris_rips` and `persistence_weighted_chamfer` one after the other, bit for bit, with the same
    gradient. Clouds of up to 257 points on the CPU take a few compiled calls from the points to the loss and one back,
    which saves most of the time of small clouds.

    Args:
        x: points (n, c), or a list of clouds.
        teacher: diagrams (k, 2) by degree, as `Persistence.diagrams`; for a list of clouds, one set per cloud.
        dims: degrees to compare, some of 0, 1, 2.
        eps: epsilon of Eq. 2.
        match_scale: s of Eq. 2-3, see `persistence_weighted_chamfer`.
        engine: what computes the diagrams, see `vietoris_rips`.
        threshold: length beyond which no edge enters; None: the enclosing radius.
        tie_tolerance: difference in length within which edges share a gradient, in units of ``tie_unit``.
        tie_unit: length; None: the extent of each cloud.
        workers: threads that share a list of clouds; None for as many as torch uses.
        options: further options of `vietoris_rips`.

    Returns:
        A scalar, in the squared unit of the diagrams.

    Raises:
        DataError: for points or diagrams that are not finite, a death before its birth, a degree without a diagram, or
            lists of different lengths.
        ParameterError: for unknown options.

    Examples:
        >>> square = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
        >>> x = (1.5 * square).requires_grad_()
        >>> loss = rips_chamfer(x, vietoris_rips(square).diagrams)
        >>> loss.backward()
        >>> round(loss.item(), 4), bool((x.grad != 0).any())
        (0.7788, True)
    """
    alone = isinstance(x, Tensor | np.ndarray)
    clouds: list[Any] = [x] if alone else list(x)
    references: list[Any] = [teacher] if alone else list(teacher)
    dims = _degrees(dims)
    eps, match_scale, workers = number(eps, "eps"), number(match_scale, "match_scale", above=True), threads(workers)
    own = _checked(references, len(clouds), dims)
    rips = {"engine": engine, "threshold": threshold, "tie_tolerance": tie_tolerance, "tie_unit": tie_unit, **options}
    plainly = partial(_plainly, own, dims, eps, match_scale, {**rips, "workers": workers})
    if dims in ((0, 1), (0,), (1,)) and not _special(engine, options) and _are_small(clouds, own):
        check_options("euclidean", threshold)
        limit = math.inf if threshold is None else squared_limit(float(threshold))
        tolerance = number(tie_tolerance, "tie_tolerance")
        unit = None if tie_unit is None else number(tie_unit, "tie_unit")
        layer = Layer(own, dims, eps, match_scale, limit, tolerance, unit, workers)
        runs = runs_of(layer, clouds)
        if runs is not None:
            value: Tensor = LayerValue.apply(layer, runs, plainly, *clouds)
            if value.dtype == torch.float64 or math.isfinite(
                value.item()
            ):  # `persistence_weighted_chamfer` looks again
                return value
    return plainly(clouds)


def _degrees(dims: Any) -> tuple[int, ...]:
    try:
        chosen = tuple(dims)
        known = bool(chosen) and set(chosen) <= {0, 1, 2}
    except TypeError:  # a number, or a list of lists
        known = False
    if not known:
        raise ParameterError(f"dims is {dims!r}; choose some of 0, 1, 2")
    return chosen


def _checked(references: list[Any], count: int, dims: tuple[int, ...]) -> list[list[Any]]:
    """The diagrams of each cloud in the order of ``dims``."""
    if len(references) != count:
        raise DataError(f"there are {count} clouds and {len(references)} sets of diagrams: pass one set per cloud")
    try:
        return [[reference[d] for d in dims] for reference in references]
    except (LookupError, TypeError) as error:
        raise DataError(f"the teacher's diagrams lack a degree of dims, {dims}: {ADVICE}") from error


def _special(engine: str, options: dict[str, Any]) -> bool:
    """Whether options need the general path."""
    known = all(
        name in DEFAULTS and (value is DEFAULTS[name] or (isinstance(value, str) and value == DEFAULTS[name]))
        for name, value in options.items()
    )
    return not known or choose_engine(engine, 1) != reduced.NAME


def _are_small(clouds: list[Any], references: list[list[Any]]) -> bool:
    """Whether clouds and diagrams are small, and of one type and width."""
    first: Any = clouds[0] if clouds else None
    return (
        is_small(first, MAX_CLOUD)
        and all(is_small(x, MAX_CLOUD) and x.dtype == first.dtype and x.shape[1] == first.shape[1] for x in clouds)
        and all(is_small_diagram(diagram, first.dtype) for own in references for diagram in own)
    )


def _plainly(
    references: list[list[Tensor]],
    dims: tuple[int, ...],
    eps: float,
    match_scale: float,
    rips: dict[str, Any],
    clouds: Sequence[Points],
) -> Float[Tensor, ""]:
    """`rips_chamfer` from its two parts."""
    if any(getattr(diagram, "ndim", 2) == 1 for own in references for diagram in own):  # rows of a diagram
        raise DataError(f"teacher has one diagram in place of all diagrams of a cloud: {ADVICE}")
    total: Any = torch.zeros(())
    computed = vietoris_rips(list(clouds), max_dim=max(dims), **rips)
    values = [
        persistence_weighted_chamfer(reference, result.diagrams[d], eps=eps, match_scale=match_scale)
        for own, result in zip(references, computed, strict=True)
        for d, reference in zip(dims, own, strict=True)
    ]
    for value in values:
        total = total.to(value.dtype) + value.to(total.device)
    return total  # type: ignore[no-any-return]

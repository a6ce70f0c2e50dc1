"""Diagrams of clouds of up to 64 points on the CPU, from one compiled call: `vietoris_rips` without its overhead.

Everything between the points and the critical edges is one C function, `kernels.small.diagrams`, for one cloud or many.
Values, simplices and gradients are those of the general path, bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from topokd.topology.gradient import SAFE
from topokd.topology.native import MAX_POINTS, diagrams_kernel, workspace
from topokd.topology.threads import parallel_map
from topokd.topology.values import Found, Parts, parts_of, safe_extent

MIN_CLOUDS = 4  # per thread: starting a thread takes as long as this many clouds


def is_small(x: Any) -> bool:
    """Whether one compiled call can take a cloud: a plain tensor of points on the CPU, few of them."""
    return (
        type(x) in (Tensor, torch.nn.Parameter)
        and x.dtype in (torch.float32, torch.float64)
        and x.device.type == "cpu"
        and x.layout == torch.strided
        and x.dim() == 2
        and 0 < x.shape[0] <= MAX_POINTS
        and x.shape[1] > 0
    )


def small_clouds(
    clouds: Sequence[Tensor], limit: float, tolerance: float, unit: float | None, max_dim: int, workers: int | None
) -> list[Found | None]:
    """Pairs, values and critical edges of each cloud; None where it needs the general path, with its errors.

    Args:
        clouds: points on the CPU, up to `MAX_POINTS` each, all with one number of columns, float32 or float64.
        limit: squared length of the longest edge that enters.
        tolerance: of ties, in multiples of ``unit``.
        unit: a length; None for the extent of the cloud.
        max_dim: 0 or 1.
        workers: threads.
    """
    together = clouds[0].detach().contiguous() if len(clouds) == 1 else torch.cat([x.detach() for x in clouds])
    options = (limit, tolerance, -1.0 if unit is None else unit, max_dim > 0, 1 / SAFE, safe_extent(together))
    ends = list(accumulate(map(len, clouds), initial=0))
    workers = min(workers or torch.get_num_threads(), len(clouds) // MIN_CLOUDS)
    if workers < 2:
        return _range(together, ends, options)
    bounds = [len(clouds) * k // workers for k in range(workers + 1)]
    parts = [ends[first : last + 1] for first, last in pairwise(bounds)]
    found = parallel_map(lambda part: _range(together, part, options), parts, workers)
    return [one for part in found for one in part]


def _range(x: Float[Tensor, "n c"], ends: list[int], options: tuple[Any, ...]) -> list[Found | None]:
    """The clouds of the rows between ``ends``, on one thread."""
    rows, channels, single = x.data_ptr(), x.shape[1], x.dtype == torch.float32
    work = workspace(channels)
    found: list[Found | None] = []
    while len(ends) > 1:
        count = min(len(ends) - 1, work.clouds)
        work.ends[: count + 1] = ends[: count + 1]
        done = diagrams_kernel(rows, rows, single, count, channels, *options, *work.addresses)
        whole_at = value_at = factor_at = 0
        for sizes in work.counts[:done].tolist():
            if sizes[0] < 0:
                found.append(None)
                continue
            a, b, e, f, m = sizes
            whole, value, factor = (
                whole_at + 3 * a + 5 * b + e + 2 * f + 3 * m,
                value_at + 2 * (a + b) + e + f,
                factor_at + m,
            )
            values = work.values[single][value_at:value].copy()
            found.append(Found(sizes, work.found[whole_at:whole].copy(), values, work.factors[factor_at:factor].copy()))
            whole_at, value_at, factor_at = whole, value, factor
        ends = ends[done:]
    return found


def small_parts(
    clouds: Sequence[Tensor | None],
    limit: float,
    tie_tolerance: float,
    tie_unit: float | None,
    max_dim: int,
    workers: int | None,
) -> list[Parts | None]:
    """The diagrams of small clouds as tensors; None in place of other clouds, and of those that need the general path.

    Args:
        clouds: points, or None.
        limit: squared length of the longest edge that enters.
        tie_tolerance: see `vietoris_rips`; so are the others.
        tie_unit: likewise.
        max_dim: 0 or 1.
        workers: likewise.
    """
    results: list[Parts | None] = [None] * len(clouds)
    groups: dict[Any, list[int]] = {}
    for k, x in enumerate(clouds):
        if x is not None:
            groups.setdefault((x.dtype, x.shape[1]), []).append(k)
    for chosen in groups.values():
        points: list[Any] = [clouds[k] for k in chosen]
        for k, x, found in zip(
            chosen, points, small_clouds(points, limit, tie_tolerance, tie_unit, max_dim, workers), strict=True
        ):
            if found is not None:
                results[k] = parts_of(x, found, tie_unit, max_dim)
    return results

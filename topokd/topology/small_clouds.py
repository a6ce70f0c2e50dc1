"""Diagrams of clouds of up to 64 points on the CPU, from one compiled call: `vietoris_rips` without its overhead.

Everything between the points and the critical edges is one C function, `kernels.small.diagrams`, for one cloud or many.
Values, simplices and gradients are those of the general path, bit for bit.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from topokd.topology.critical_edges import SAFE
from topokd.topology.native import MAX_POINTS, Workspace, diagrams_kernel, workspace
from topokd.topology.threads import parallel_map
from topokd.topology.values import PackedDiagrams, Parts, parts_of, safe_extent

T = TypeVar("T")
Options = tuple[Any, ...]  # of `diagrams_kernel`, after the number of coordinates

MIN_CLOUDS = 4  # per thread: starting a thread takes as long as this many clouds


def is_small(x: Any, most: int = MAX_POINTS) -> bool:
    """Whether compiled calls take a cloud as it is: a plain tensor on the CPU, of up to ``most`` points."""
    return (
        type(x) in (Tensor, torch.nn.Parameter)
        and x.dtype in (torch.float32, torch.float64)
        and x.device.type == "cpu"
        and x.layout == torch.strided
        and x.dim() == 2
        and 0 < x.shape[0] <= most
        and x.shape[1] > 0
    )


def small_clouds(
    clouds: Sequence[Tensor], limit: float, tolerance: float, unit: float | None, max_dim: int, workers: int | None
) -> list[PackedDiagrams | None]:
    """Pairs, values and critical edges of each cloud; None where it needs the general path, with its errors.

    Args:
        clouds: points on the CPU, up to `MAX_POINTS` each, all with one number of columns, float32 or float64.
        limit: squared length of the longest edge that enters.
        tolerance: tolerance of ties, in multiples of ``unit``.
        unit: a length; None for the extent of the cloud.
        max_dim: 0 or 1.
        workers: threads.
    """
    return spread_over_threads(
        clouds, (limit, tolerance, unit, max_dim), workers, lambda first, x, ends, options: _packed(x, ends, options)
    )


def spread_over_threads(
    clouds: Sequence[Tensor],
    options: tuple[float, float, float | None, int],
    workers: int | None,
    work: Callable[[int, Tensor, list[int], Options], list[T]],
) -> list[T]:
    """The results of ``work`` for ranges of clouds, one range per thread, in their order.

    Args:
        clouds: see `small_clouds`.
        options: options of `small_clouds`, from ``limit`` to ``max_dim``.
        workers: threads.
        work: called with the number of the first cloud of a range, the rows of all clouds, where the clouds of the
            range begin and end, and the arguments of `calls`.
    """
    limit, tolerance, unit, max_dim = options
    together = clouds[0].detach().contiguous() if len(clouds) == 1 else torch.cat([x.detach() for x in clouds])
    given = limit, tolerance, -1.0 if unit is None else unit, max_dim > 0, 1 / SAFE, safe_extent(together)
    ends = list(accumulate(map(len, clouds), initial=0))
    workers = min(workers or torch.get_num_threads(), len(clouds) // MIN_CLOUDS)
    if workers < 2:
        return work(0, together, ends, given)
    bounds = list(pairwise(len(clouds) * k // workers for k in range(workers + 1)))
    parts = parallel_map(lambda bound: work(bound[0], together, ends[bound[0] : bound[1] + 1], given), bounds, workers)
    return [one for part in parts for one in part]


def calls(x: Float[Tensor, "n c"], ends: list[int], options: Options) -> Iterator[tuple[Workspace, list[int]]]:
    """Compute the clouds of the rows between ``ends``, on this thread, as many at a time as the lists of results hold.

    Returns:
        Iterator over the lists, and the five numbers of each cloud, see `PackedDiagrams`, one cloud after the other;
        negative where a cloud needs the general path. The next call overwrites the lists.
    """
    rows, channels, single = x.data_ptr(), x.shape[1], x.dtype == torch.float32
    work = workspace(channels)
    while len(ends) > 1:
        count = min(len(ends) - 1, work.clouds)
        work.ends[: count + 1] = array("q", ends[: count + 1])
        done = diagrams_kernel(rows, rows, single, count, channels, *options, *work.addresses)
        yield work, work.counts[: 5 * done].tolist()
        ends = ends[done:]


def _packed(x: Float[Tensor, "n c"], ends: list[int], options: Options) -> list[PackedDiagrams | None]:
    single = x.dtype == torch.float32
    packed: list[PackedDiagrams | None] = []
    for work, counts in calls(x, ends, options):
        whole_at = value_at = factor_at = 0
        for k in range(0, len(counts), 5):
            sizes = counts[k : k + 5]
            if sizes[0] < 0:
                packed.append(None)
                continue
            a, b, e, f, m = sizes
            whole, value, factor = (
                whole_at + 3 * a + 5 * b + e + 2 * f + 3 * m,
                value_at + 2 * (a + b) + e + f,
                factor_at + m,
            )
            values = work.values[single][value_at:value].copy()
            packed.append(
                PackedDiagrams(sizes, work.whole[whole_at:whole].copy(), values, work.factors[factor_at:factor].copy())
            )
            whole_at, value_at, factor_at = whole, value, factor
    return packed


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
        tie_tolerance: as in `vietoris_rips`, like the others.
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
        for k, x, packed in zip(
            chosen, points, small_clouds(points, limit, tie_tolerance, tie_unit, max_dim, workers), strict=True
        ):
            if packed is not None:
                results[k] = parts_of(x, packed, tie_unit, max_dim)
    return results

"""Diagrams of clouds of up to 64 points on the CPU, from one compiled call: `vietoris_rips` without its overhead.

Everything between the points and the critical edges is one C function, `kernels.small.diagrams`, for one cloud or many.
Values, simplices and gradients are those of the general path, bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from topokd.topology.gradient import EPS_DIST, SAFE, differentiable, extent
from topokd.topology.native import MAX_POINTS, address, diagrams_kernel, spread_kernel, workspace
from topokd.topology.threads import parallel_map


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


class Small(NamedTuple):
    """What one compiled call finds for a cloud; arrays own their memory."""

    counts: list[int]  # pairs of degree 0 and 1, essential classes of degree 0 and 1, critical edges
    whole: ndarray  # simplices, ends and owners, one after another
    values: ndarray
    factors: ndarray


def small_clouds(
    clouds: Sequence[Tensor], limit: float, tolerance: float, unit: float | None, max_dim: int, workers: int | None
) -> list[Small | None]:
    """Pairs, values and critical edges of each cloud; None where it needs the general path, with its errors.

    Args:
        clouds: points on the CPU, up to `MAX_POINTS` each, all with one number of columns, float32 or float64.
        limit: squared length of the longest edge that enters.
        tolerance: of ties.
        unit: what it counts; None for the extent of the cloud.
        max_dim: 0 or 1.
        workers: threads.
    """
    together = clouds[0].detach().contiguous() if len(clouds) == 1 else torch.cat([x.detach() for x in clouds])
    ends = np.zeros(len(clouds) + 1, np.int64)
    np.cumsum([len(x) for x in clouds], out=ends[1:])
    options = (limit, tolerance, -1.0 if unit is None else unit, int(max_dim > 0))
    if len(clouds) < 8:
        return _range(together, ends, 0, len(clouds), options)
    parts = min(len(clouds), workers or torch.get_num_threads())
    bounds = [len(clouds) * k // parts for k in range(parts + 1)]
    tasks = list(zip(bounds[:-1], bounds[1:], strict=True))
    found = parallel_map(lambda task: _range(together, ends, *task, options), tasks, workers)
    return [one for part in found for one in part]


def _range(x: Tensor, ends: ndarray, begin: int, end: int, options: tuple[Any, ...]) -> list[Small | None]:
    single, dtype = x.dtype == torch.float32, np.float32 if x.dtype == torch.float32 else np.float64
    channels, rows = x.shape[1], x.data_ptr()
    limit, tolerance, unit, with_cycles = options
    greatest = min(SAFE, float(torch.finfo(x.dtype).max) / (4 * math.sqrt(max(1, channels))))
    work = workspace(channels)
    counts = np.empty((end - begin, 5), np.int64)
    found: list[Small | None] = []
    while begin < end:
        done = diagrams_kernel(
            rows, rows, single, ends.ctypes.data, begin, end, channels, limit, tolerance, unit, with_cycles,
            1 / SAFE, greatest, *work.tables, counts.ctypes.data, work.results[0], work.values_at[np.float64],
            work.values_at[np.float32], work.results[1], work.room,
        )  # fmt: skip
        whole_at = value_at = factor_at = 0
        for sizes in counts[: done - begin].tolist():
            if sizes[0] < 0:
                found.append(None)
                continue
            a, b, e, f, m = sizes
            whole, value, factor = 3 * a + 5 * b + e + 2 * f + 3 * m, 2 * (a + b) + e + f, m
            found.append(
                Small(
                    sizes,
                    work.found[whole_at : whole_at + whole].copy(),
                    work.values[dtype][value_at : value_at + value].copy(),
                    work.factors[factor_at : factor_at + factor].copy(),
                )
            )
            whole_at, value_at, factor_at = whole_at + whole, value_at + value, factor_at + factor
        begin = done
    return found


class SmallParts(NamedTuple):
    """The results of one cloud as tensors."""

    diagrams: list[Tensor]
    births: list[Tensor]
    deaths: list[Tensor]
    essential: list[Tensor]
    essential_simplices: list[Tensor]


def parts_of(x: Float[Tensor, "n c"], found: Small, unit: float | None, max_dim: int) -> SmallParts:
    """The tensors of a cloud, in the autograd graph of ``x``."""
    a, b, e, f, _ = found.counts
    whole, from_numpy = found.whole, torch.from_numpy
    k = 3 * a + e
    if torch.is_grad_enabled() and x.requires_grad:
        values: Any = SmallValues.apply(x, found, unit)
    else:
        values = _split(found)
    births, deaths = [from_numpy(whole[:a].reshape(a, 1))], [from_numpy(whole[a : 3 * a].reshape(a, 2))]
    essential = [from_numpy(whole[3 * a : k].reshape(e, 1))]
    if max_dim == 0:
        return SmallParts([values[0]], births, deaths, [values[2]], essential)
    births.append(from_numpy(whole[k : k + 2 * b].reshape(b, 2)))
    deaths.append(from_numpy(whole[k + 2 * b : k + 5 * b].reshape(b, 3)))
    essential.append(from_numpy(whole[k + 5 * b : k + 5 * b + 2 * f].reshape(f, 2)))
    return SmallParts([values[0], values[1]], births, deaths, [values[2], values[3]], essential)


def _split(found: Small) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Both diagrams and both lists of essential births."""
    a, b, e, _, _ = found.counts
    values, from_numpy, k = found.values, torch.from_numpy, 2 * (a + b)
    return (
        from_numpy(values[: 2 * a].reshape(a, 2)),
        from_numpy(values[2 * a : k].reshape(b, 2)),
        from_numpy(values[k : k + e]),
        from_numpy(values[k + e :]),
    )


class SmallValues(torch.autograd.Function):
    """`CriticalValues` for all diagrams of a cloud at once: the critical edges were found with the values."""

    @staticmethod
    def forward(ctx: Any, x: Float[Tensor, "n c"], found: Small, unit: float | None) -> tuple[Tensor, ...]:
        """The values, from which `_split` makes the diagrams and essential births."""
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x)
        ctx.found, ctx.tie_unit = found, unit
        return _split(found)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, None, None]:
        """Algorithm 3, lines 28-36."""
        (x,) = ctx.saved_tensors
        found: Small = ctx.found
        a, b, e, f, m = found.counts
        sizes = (2 * a, 2 * b, e, f)
        given = [x.new_zeros(s) if g is None else g.reshape(-1) for g, s in zip(gradients, sizes, strict=True) if s]
        if not given:
            return torch.zeros_like(x), None, None
        gradient = torch.cat(given) if len(given) > 1 else given[0].contiguous()
        whole, first = found.whole, len(found.whole) - 3 * m  # of the ends, which the owners follow
        if torch.is_grad_enabled():  # create_graph=True: the gradient will be differentiated again
            ends, owners = (torch.from_numpy(part) for part in (whole[first : first + 2 * m], whole[first + 2 * m :]))
            eps = EPS_DIST * (extent(x) if ctx.tie_unit is None else ctx.tie_unit) or EPS_DIST
            return differentiable(gradient, x, ends.reshape(m, 2), owners, False, 1.0, eps), None, None
        rows = x.contiguous()
        out = torch.zeros(x.shape, dtype=torch.float64)
        at = address(whole) + 8 * first
        spread_kernel(
            gradient.data_ptr(), gradient.data_ptr(), x.dtype == torch.float32, rows.data_ptr(), rows.data_ptr(), m,
            at, at + 16 * m, address(found.factors), x.shape[1], out.data_ptr(),
        )  # fmt: skip
        return out.to(x.dtype), None, None

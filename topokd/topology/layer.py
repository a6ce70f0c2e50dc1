"""PWCD between given diagrams and those of clouds of up to 257 points, from few compiled calls, with its gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from topokd.topology.comparison import Comparison, add_values, compare
from topokd.topology.distances import squares_of
from topokd.topology.engines import reduced
from topokd.topology.gradient import SAFE, extent
from topokd.topology.native import MAX_POINTS, address, layer_kernel
from topokd.topology.small import Options, calls, spread_over_threads
from topokd.topology.threads import parallel_map
from topokd.topology.values import found_from, safe_extent


class Layer(NamedTuple):
    """What is computed: the arguments of `rips_chamfer` but the points.

    Attributes:
        references: per cloud its teacher's diagrams, in the order of ``dims``.
        dims: degrees, (0,), (1,) or both.
        eps: of Eq. 2.
        scale: s of Eq. 2-3.
        limit: squared length of the longest edge that enters.
        tolerance: of ties.
        unit: what it counts; None for the extent of each cloud.
        workers: threads.
    """

    references: list[list[Tensor]]
    dims: tuple[int, ...]
    eps: float
    scale: float
    limit: float
    tolerance: float
    unit: float | None
    workers: int | None


class Run(NamedTuple):
    """Clouds whose diagrams came from one call.

    Attributes:
        counts: (clouds, 5), see `topokd.topology.values.Found`; so are the next two, one cloud after the other.
        whole: simplices and critical edges.
        factors: of critical edges.
        rows: of each cloud.
        compared: their diagrams, with the teacher's.
    """

    counts: ndarray
    whole: ndarray
    factors: ndarray
    rows: list[int]
    compared: Comparison


def runs_of(layer: Layer, clouds: Sequence[Tensor]) -> list[Run] | None:
    """Diagrams and comparisons; None if a cloud needs the general path (ties between pairs, extreme coordinates).

    Args:
        layer: the references and options.
        clouds: tensors that `topokd.topology.small.is_small` accepts, of one type and width.
    """
    if max(map(len, clouds)) <= MAX_POINTS:
        options = layer.limit, layer.tolerance, layer.unit, max(layer.dims)
        runs = spread_over_threads(clouds, options, layer.workers, lambda *given: _small_runs(layer, *given))
    else:
        runs = parallel_map(lambda k: _run(layer, clouds[k], k), range(len(clouds)), layer.workers)
    return None if None in runs else runs  # type: ignore[return-value]


def _small_runs(
    layer: Layer, first: int, x: Float[Tensor, "n c"], ends: list[int], options: Options
) -> list[Run | None]:
    """The clouds from number ``first`` on, whose rows are between ``ends``."""
    single, size = x.dtype == torch.float32, x.itemsize
    rows = [end - begin for begin, end in pairwise(ends)]
    runs: list[Run | None] = []
    done = 0
    for work, counts in calls(x, ends, options):
        students, sizes = [], []
        whole_at, value_at, factor_at = 0, address(work.values[single]), 0
        for a, b, e, f, m in counts:
            if a < 0:
                return [None]
            for d in layer.dims:
                students.append(value_at + 2 * a * size * d)
                sizes.append(b if d else a)
            whole_at += 3 * a + 5 * b + e + 2 * f + 3 * m
            value_at += (2 * (a + b) + e + f) * size
            factor_at += m
        numbers = range(first + done, first + done + len(counts))
        compared = _compare(layer, numbers, students, sizes, x.dtype)
        if compared is None:
            return [None]
        whole, factors = work.found[:whole_at].copy(), work.factors[:factor_at].copy()
        runs.append(Run(np.array(counts), whole, factors, rows[done : done + len(counts)], compared))
        done += len(counts)
    return runs


def _run(layer: Layer, x: Float[Tensor, "n c"], number: int) -> Run | None:
    """Cloud ``number`` by the general engine."""
    size = extent(x)
    if not (size == 0 or 1 / SAFE <= size <= safe_extent(x)):  # NaN too
        return None
    rows = np.ascontiguousarray(x.detach().numpy(), dtype=np.float64)
    pairs = reduced.compute(squares_of(rows), max(layer.dims), layer.limit)
    unit = size if layer.unit is None else layer.unit
    found = found_from(pairs, rows, x.dtype == torch.float32, layer.tolerance, unit)
    a, b = found.counts[:2]
    values, itemsize = address(found.values), found.values.itemsize
    students = [values + 2 * a * itemsize * d for d in layer.dims]
    compared = _compare(layer, [number], students, [b if d else a for d in layer.dims], x.dtype)
    if compared is None:
        return None
    return Run(np.array([found.counts]), found.whole, found.factors, [len(x)], compared)


def _compare(
    layer: Layer, clouds: Sequence[int], students: list[int], sizes: list[int], dtype: torch.dtype
) -> Comparison | None:
    teachers = [diagram for k in clouds for diagram in layer.references[k]]
    both = [size for pair in zip(map(len, teachers), sizes, strict=True) for size in pair]
    return compare([diagram.data_ptr() for diagram in teachers], students, both, dtype, layer.scale)


def _gradients(run: Run, dims: tuple[int, ...], gradient: float, clouds: Sequence[Tensor]) -> list[Tensor]:
    """Of the points of each cloud."""
    rows, compared = [x.contiguous() for x in clouds], run.compared
    count, c, single = len(rows), clouds[0].shape[1], compared.single
    table = np.array([*(x.data_ptr() for x in rows), *run.rows, *dims], dtype=np.int64)
    largest = 2 * int(run.counts[:, :2].sum(axis=1).max())
    work = torch.empty(4 * compared.largest + largest + max(run.rows) * c, dtype=torch.float64)
    out = torch.empty((sum(run.rows), c), dtype=clouds[0].dtype)
    sizes, points, matches, divisors, weight = compared.addresses()
    at, parts, to = address(table), work.data_ptr(), out.data_ptr()
    of_pairs = parts + 32 * compared.largest
    layer_kernel(
        gradient, at, at, single, c, at + 8 * count, count, at + 16 * count, len(dims), address(run.counts),
        address(run.whole), address(run.factors), sizes, compared.scale, weight, weight, divisors, points, matches,
        parts, of_pairs, of_pairs + 8 * largest, to, to,
    )  # fmt: skip
    return [out] if count == 1 else list(out.split(run.rows))


class LayerValue(torch.autograd.Function):
    """Sum of Eq. 2-3 over clouds and degrees, from the runs of all clouds to the points."""

    @staticmethod
    def forward(
        ctx: Any, layer: Layer, runs: list[Run], plainly: Callable[..., Tensor], *clouds: Tensor
    ) -> Float[Tensor, ""]:
        """``plainly(clouds)`` is the value by the general path, for second derivatives."""
        value = torch.zeros((), dtype=clouds[0].dtype)
        for run in runs:
            add_values(run.compared, layer.eps, value)
        ctx.save_for_backward(*clouds)
        ctx.layer, ctx.runs, ctx.plainly = layer, runs, plainly
        return value

    @staticmethod
    def backward(ctx: Any, gradient: Float[Tensor, ""]) -> tuple[Tensor | None, ...]:
        """Alg. 4 and Algorithm 3, lines 28-36."""
        clouds = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True: the gradient will be differentiated again
            value, moving = ctx.plainly(clouds), [x for x in clouds if x.requires_grad]
            of_moving = iter(torch.autograd.grad(value, moving, gradient, create_graph=True))
            return None, None, None, *(next(of_moving) if x.requires_grad else None for x in clouds)
        found: list[Tensor] = []
        for run in ctx.runs:
            own = clouds[len(found) : len(found) + len(run.rows)]
            found += _gradients(run, ctx.layer.dims, float(gradient), own)
        return None, None, None, *found

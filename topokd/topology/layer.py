"""PWCD between given diagrams and those of clouds of up to 257 points, from few compiled calls, with its gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from topokd.topology.critical_edges import SAFE
from topokd.topology.distances import squares_of_centred
from topokd.topology.engines import reduced
from topokd.topology.native import MAX_POINTS, address, layer_kernel, load_kernel, match_kernel, table_of
from topokd.topology.small_chamfer import Matches, add_values
from topokd.topology.small_clouds import Options, calls, spread_over_threads
from topokd.topology.threads import parallel_map
from topokd.topology.values import packed_from, safe_extent


class Layer(NamedTuple):
    """What is computed: the arguments of `rips_chamfer` but the points.

    Attributes:
        references: per cloud its teacher's diagrams, in the order of ``dims``.
        dims: degrees, (0,), (1,) or both.
        eps: eps of Eq. 2.
        scale: s of Eq. 2-3.
        limit: squared length of the longest edge that enters.
        tolerance: tolerance of ties.
        unit: unit of the tolerance; None for the extent of each cloud.
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


class ComparedClouds(NamedTuple):
    """Clouds whose diagrams came from one call, and their comparison.

    Attributes:
        matches: with the teacher's diagrams; ``state`` also holds the critical edges, see `kernels.layer`.
        points: number of points of each cloud, then the number of rows of ``matches``.
        largest: pairs of the largest student's diagram.
        pairs: number of pairs of the cloud with the most.
    """

    matches: Matches
    points: list[int]
    largest: int
    pairs: int


def runs_of(layer: Layer, clouds: Sequence[Tensor]) -> list[ComparedClouds] | None:
    """Diagrams and comparisons; None if a cloud needs the general path (ties between pairs, extreme coordinates).

    Args:
        layer: the references and options.
        clouds: tensors that `topokd.topology.small_clouds.is_small` accepts, of one type and width.
    """
    if max(map(len, clouds)) <= MAX_POINTS:
        options = layer.limit, layer.tolerance, layer.unit, max(layer.dims)
        runs = spread_over_threads(clouds, options, layer.workers, lambda *given: _small_runs(layer, *given))
    else:
        runs = parallel_map(lambda k: _run(layer, clouds[k], k), range(len(clouds)), layer.workers)
    return None if None in runs else runs  # type: ignore[return-value]


def _small_runs(
    layer: Layer, first: int, x: Float[Tensor, "n c"], ends: list[int], options: Options
) -> list[ComparedClouds | None]:
    """The clouds from number ``first`` on, whose rows are between ``ends``."""
    points, single = [end - begin for begin, end in pairwise(ends)], x.dtype == torch.float32
    runs: list[ComparedClouds | None] = []
    done = 0
    for work, counts in calls(x, ends, options):
        own, lists = points[done : done + len(counts) // 5], work.lists
        runs.append(
            _match(layer, first + done, own, counts, (lists[1], lists[2], lists[3 + single], lists[5]), x.dtype)
        )
        done += len(own)
    return runs


def _run(layer: Layer, x: Float[Tensor, "n c"], number: int) -> ComparedClouds | None:
    """Cloud ``number`` by the general engine."""
    own, single = x.detach().contiguous(), x.dtype == torch.float32
    rows, centred, found_extent = np.empty(x.shape), np.empty(x.shape), np.empty(1)
    load_kernel(
        own.data_ptr(), own.data_ptr(), single, *x.shape, address(rows), address(centred), address(found_extent)
    )
    size = float(found_extent[0])  # -1 if a number is not finite
    if not (size == 0 or 1 / SAFE <= size <= safe_extent(x)):
        return None
    pairs = reduced.compute(squares_of_centred(centred), max(layer.dims), layer.limit)
    unit = size if layer.unit is None else layer.unit
    packed = packed_from(pairs, rows, single, layer.tolerance, unit)
    kept, counts = table_of(packed.counts)
    lists = counts, address(packed.whole), address(packed.values), address(packed.factors)
    run = _match(layer, number, [len(x)], packed.counts, lists, x.dtype)
    del kept  # not before
    return run


def _match(
    layer: Layer, first: int, points: list[int], counts: list[int], lists: tuple[int, int, int, int], dtype: torch.dtype
) -> ComparedClouds | None:
    """Compare the diagrams of the clouds from number ``first`` on with the teacher's.

    Args:
        layer: the references.
        first: see above.
        points: number of points of each cloud.
        counts: see `PackedDiagrams`, of each cloud.
        lists: addresses of counts, simplices, values and factors.
        dtype: number type of the points.
    """
    if min(counts[::5]) < 0:
        return None
    clouds, compared = len(points), len(layer.dims)
    diagrams = [diagram for own in layer.references[first : first + clouds] for diagram in own]
    known = [diagram.shape[0] for diagram in diagrams]
    own = [counts[5 * k + d] for k in range(clouds) for d in layer.dims]
    sizes = [size for pair in zip(known, own, strict=True) for size in pair]
    rows, teachers, comparisons = sum(sizes), sum(known), clouds * compared
    state = torch.empty(3 * rows + 3 * comparisons + 5 * clouds + 4 * sum(counts[4::5]), dtype=torch.float64)
    weights = torch.empty(teachers + rows, dtype=dtype)
    kept, table = table_of([*(diagram.data_ptr() for diagram in diagrams), *known, *layer.dims])
    counted, whole, values, factors = lists
    at, weight = state.data_ptr(), weights.data_ptr()
    cost = weight + teachers * weights.itemsize
    if match_kernel(
        counted, clouds, table + 16 * comparisons, compared, table, table, table + 8 * comparisons, values, values,
        dtype == torch.float32, layer.scale, whole, factors, at, at, cost, cost, weight, weight,
    ):  # fmt: skip
        return None
    del kept  # not before
    weights[:teachers].log1p_()
    pairs = max(counts[5 * k] + counts[5 * k + 1] for k in range(clouds))
    return ComparedClouds(Matches(sizes, layer.scale, state, weights, rows, teachers), [*points, rows], max(own), pairs)


def _gradients(run: ComparedClouds, dims: tuple[int, ...], gradient: float, clouds: Sequence[Tensor]) -> list[Tensor]:
    """Of the points of each cloud."""
    matches, rows = run.matches, [x.contiguous() for x in clouds]
    points, count, c, dtype = run.points[:-1], len(rows), rows[0].shape[1], rows[0].dtype
    kept, table = table_of([*(x.data_ptr() for x in rows), *run.points, *dims])
    work = torch.empty(4 * run.largest + 2 * run.pairs + max(points) * c, dtype=torch.float64)
    out = torch.empty((sum(points), c), dtype=dtype)
    state, weight, parts, to = (x.data_ptr() for x in (matches.state, matches.weights, work, out))
    of_pairs = parts + 32 * run.largest
    layer_kernel(
        gradient, table, table, dtype == torch.float32, c, table + 8 * count, count, table + 16 * count + 8, len(dims),
        matches.scale, state, state, weight, weight, parts, of_pairs, of_pairs + 16 * run.pairs, to, to,
    )  # fmt: skip
    del kept  # not before
    return [out] if count == 1 else list(out.split(points))


class LayerValue(torch.autograd.Function):
    """Sum of Eq. 2-3 over clouds and degrees, from the runs of all clouds to the points."""

    @staticmethod
    def forward(
        ctx: Any, layer: Layer, runs: list[ComparedClouds], plainly: Callable[..., Tensor], *clouds: Tensor
    ) -> Float[Tensor, ""]:
        """The value.

        Args:
            ctx: context of autograd.
            layer: references and options.
            runs: diagrams and comparisons of all clouds, from `runs_of`.
            plainly: ``plainly(clouds)`` is the value by the general path, for second derivatives.
            *clouds: (n, c) points of each cloud.

        Returns:
            A scalar in the type of the points.
        """
        value = torch.zeros((), dtype=clouds[0].dtype)
        for run in runs:
            add_values(run.matches, layer.eps, value)
        ctx.save_for_backward(*clouds)
        ctx.layer, ctx.runs, ctx.plainly = layer, runs, plainly
        return value

    @staticmethod
    def backward(ctx: Any, gradient: Float[Tensor, ""]) -> tuple[Tensor | None, ...]:
        """Alg. 4 and Algorithm 3, lines 29-37."""
        clouds = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True: the gradient will be differentiated again
            value, moving = ctx.plainly(clouds), [x for x in clouds if x.requires_grad]
            of_moving = iter(torch.autograd.grad(value, moving, gradient, create_graph=True))
            return None, None, None, *(next(of_moving) if x.requires_grad else None for x in clouds)
        gradients: list[Tensor] = []
        for run in ctx.runs:
            own = clouds[len(gradients) : len(gradients) + len(run.points) - 1]
            gradients += _gradients(run, ctx.layer.dims, float(gradient), own)
        return None, None, None, *gradients

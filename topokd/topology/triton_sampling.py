"""Farthest point sampling on a GPU as one Triton kernel over all clouds. Opt-in: not measured on a GPU yet.

`topokd.topology.sampling.sample_together` is its torch twin: it takes m - 1 steps of several launches each. Here one
program per cloud takes all steps. It keeps every row's distance to the nearest sample in registers and reads one row of
a matrix of squared distances per step, not the rows' features: with 512 channels those are 512 times as much. The
matrix is made by a second kernel, from differences, in float64, so ties and duplicates are as on the CPU. Clouds whose
matrices take more than `MOST_BYTES` go to the twin.

`python benchmarks/gpu.py sampling` compares both on a GPU. If this is the faster one there, `sample_together` in
`farthest_point_sampling` should be replaced by `sample_in_one_kernel`. Needs the optional package triton.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from topokd.errors import ParameterError
from topokd.topology.sampling import distinct_rows, sample_together

try:
    import triton
    import triton.language as tl
except ImportError:  # only this module needs it
    triton = None

MOST_BYTES = 1 << 31  # of all matrices together
MOST_ROWS = 1 << 14  # of a cloud: 128 kB of registers for one program
TILE = 32  # rows and columns of a tile of the matrix
WARPS = 8  # per program


def _kernel(function: Callable[..., Any]) -> Any:
    """`triton.jit`, of the function itself where checks of signatures have wrapped it."""
    return function if triton is None else triton.jit(inspect.unwrap(function))


def sample_in_one_kernel(clouds: list[Float[Tensor, "_ c"]], m: int, start: int) -> list[Int64[Tensor, " _"]]:
    """As `topokd.topology.sampling.sample_together`: the same indices, in one launch for all steps.

    Args:
        clouds: clouds on one device and of one width, each with more than `start` rows.
        m: number of points.
        start: index of the first point.

    Returns:
        Indices (min(m, n),) for each cloud of n rows.

    Raises:
        ParameterError: triton is not installed.

    Examples:
        >>> clouds = [torch.randn(2000, 512, device="cuda") for _ in range(12)]  # doctest: +SKIP
        >>> sample_in_one_kernel(clouds, 1024, 0)[0].shape  # doctest: +SKIP
        torch.Size([1024])
    """
    if triton is None:
        raise ParameterError("sampling in one kernel needs triton: pip install triton, or use sample_together")
    if not clouds:
        return []
    sizes = [len(cloud) for cloud in clouds]
    most = max(sizes)
    if not fits(sizes):
        return sample_together(clouds, m, start)
    matrix = squared_distances(torch.nn.utils.rnn.pad_sequence([cloud.double() for cloud in clouds], batch_first=True))
    steps = min(m, most)
    chosen = torch.full((len(clouds), steps), start, device=matrix.device)
    rows = torch.tensor(sizes, device=matrix.device)
    block = triton.next_power_of_2(most)
    _take_steps[(len(clouds),)](matrix, rows, chosen, steps, most, BLOCK=block, num_warps=WARPS)
    return [distinct_rows(indices[: min(m, n)], n) for indices, n in zip(chosen, sizes, strict=True)]


def fits(sizes: list[int]) -> bool:
    """Whether clouds of these sizes are sampled in one kernel: needs triton, and room for their matrices.

    Args:
        sizes: number of rows of each cloud.

    Examples:
        >>> fits([100_000])
        False
    """
    most = max(sizes)
    return triton is not None and most <= MOST_ROWS and 8 * len(sizes) * most * most <= MOST_BYTES


def squared_distances(points: Float64[Tensor, "b n c"]) -> Float64[Tensor, "b n n"]:
    """||x_i - x_j||^2 in each cloud, from differences; a Triton kernel.

    Args:
        points: (b, n, c).

    Examples:
        >>> squared_distances(torch.rand(12, 2000, 512, dtype=torch.float64, device="cuda")).shape  # doctest: +SKIP
        torch.Size([12, 2000, 2000])
    """
    clouds, n, channels = points.shape
    by_channel = points.transpose(1, 2).contiguous()  # (b, c, n): a tile's values of one channel are neighbours
    matrix = torch.empty(clouds, n, n, dtype=torch.float64, device=points.device)
    tiles = triton.cdiv(n, TILE)
    _fill_tile[(tiles, tiles, clouds)](by_channel, matrix, n, channels, SIDE=TILE)
    return matrix


@_kernel
def _fill_tile(by_channel, matrix, n, channels, SIDE: tl.constexpr):  # type: ignore[no-untyped-def]
    """One tile of one cloud's matrix of squared distances."""
    cloud = tl.program_id(2).to(tl.int64)
    i = tl.program_id(0) * SIDE + tl.arange(0, SIDE)
    j = tl.program_id(1) * SIDE + tl.arange(0, SIDE)
    total = tl.zeros((SIDE, SIDE), tl.float64)
    row = by_channel + cloud * channels * n
    for _ in range(channels):
        difference = tl.load(row + i, mask=i < n, other=0.0)[:, None] - tl.load(row + j, mask=j < n, other=0.0)[None, :]
        total += difference * difference
        row += n
    inside = (i < n)[:, None] & (j < n)[None, :]
    tl.store(matrix + cloud * n * n + i.to(tl.int64)[:, None] * n + j[None, :], total, mask=inside)


@_kernel
def _take_steps(matrix, sizes, chosen, steps, n, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """All steps of one cloud: the next sample is the row farthest from those before it, the lowest of equals."""
    cloud = tl.program_id(0).to(tl.int64)
    places = tl.arange(0, BLOCK)
    size = tl.load(sizes + cloud)
    rows = matrix + cloud * n * n
    nearest = tl.where(places < size, float("inf"), -1.0).to(tl.float64)  # rows beyond the cloud are never chosen
    last = tl.load(chosen + cloud * steps)  # the first sample is given
    for step in range(1, steps):
        nearest = tl.minimum(nearest, tl.load(rows + last * n + places, mask=places < size, other=-1.0))
        last = tl.argmax(nearest, axis=0, tie_break_left=True).to(tl.int64)
        tl.store(chosen + cloud * steps + step, last)

"""Topology-preserving sampling (Sec. B.4, Alg. 5): greedy k-centre, and the covering radius of Proposition 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from topokd.checks import first_nonfinite_row, real_tensor
from topokd.errors import DataError, ParameterError
from topokd.options import threads, whole
from topokd.topology import kernels
from topokd.topology.critical_edges import extent, unit_of
from topokd.topology.threads import parallel_map

Points = Tensor | np.ndarray

MAX_BLOCK = 1 << 22  # coordinates of one block of the covering radius


@overload
def farthest_point_sampling(x: Points, m: int, *, start: int = ..., workers: int | None = ...) -> Tensor: ...


@overload
def farthest_point_sampling(
    x: Sequence[Points], m: int, *, start: int = ..., workers: int | None = ...
) -> list[Tensor]: ...


def farthest_point_sampling(
    x: Points | Sequence[Points], m: int, *, start: int = 0, workers: int | None = None
) -> Int64[Tensor, " m"] | list[Int64[Tensor, " _"]]:
    """Alg. 5 (TPS): i_1 = start; i_k = argmax_i min_{j<k} ||x_i - x_{i_j}||; ties go to the lowest index.

    Exact greedy k-centre, deterministic. The indices are distinct: if m exceeds the number of distinct rows, the
    duplicates follow in rising order. On the CPU a compiled loop without the GIL does the work; on a GPU each step is
    taken in all clouds at once.

    Args:
        x: points (n, c), torch or numpy, or a list of clouds.
        m: number of points; if m > n, every row is returned once.
        start: index of the first point.
        workers: threads for a list of clouds, None for as many as torch uses; the result is the same.

    Returns:
        Indices (min(m, n),) on the device of `x`; a list of them for a list of clouds.

    Raises:
        DataError: for rows that are not finite, or a cloud without rows.
        ParameterError: for an impossible `m` or `start`.

    Examples:
        >>> farthest_point_sampling(torch.tensor([[0.0], [1.0], [10.0], [4.0]]), 3)
        tensor([0, 2, 3])
    """
    if isinstance(x, Tensor | np.ndarray):
        return farthest_point_sampling([x], m, start=start, workers=workers)[0]
    if not isinstance(x, Sequence) or isinstance(x, str):
        raise DataError(f"x is {x!r}: pass points (n, c), or a list of clouds")
    m, workers = whole(m, "m"), threads(workers)
    kinds = {(c.device, c.shape[1:]) if isinstance(c, Tensor) and c.is_cuda else None for c in x}
    if len(kinds) == 1 and None not in kinds:
        return sample_together([_checked(cloud, m, start) for cloud in x], m, start)
    return parallel_map(lambda cloud: _sample(_checked(cloud, m, start), m, start), list(x), workers)


def sample_together(clouds: list[Float[Tensor, "_ c"]], m: int, start: int) -> list[Int64[Tensor, " _"]]:
    """`farthest_point_sampling`, one step in all clouds at a time, as on a GPU.

    Args:
        clouds: clouds on one device and of one width, each with more than `start` rows. Shorter ones are padded by rows
            that are never chosen.
        m: number of points.
        start: index of the first point.
    """
    if not clouds:
        return []
    sizes = [len(cloud) for cloud in clouds]
    padded = torch.nn.utils.rnn.pad_sequence([cloud.double() for cloud in clouds], batch_first=True)  # (b, n, c)
    places = torch.arange(padded.shape[1], device=padded.device)
    real = places < torch.tensor(sizes, device=padded.device)[:, None]  # (b, n)
    nearest = torch.where(real, torch.inf, -1.0).double()  # (b, n)
    row = torch.arange(len(clouds), device=padded.device)
    last = torch.full_like(row, start)
    chosen = [last]
    for _ in range(min(m, max(sizes)) - 1):
        # from differences, not products: duplicates have distance 0, and near points are distinguished
        distance = torch.cdist(padded, padded[row, last][:, None], compute_mode="donot_use_mm_for_euclid_dist")
        nearest = torch.minimum(nearest, distance[..., 0])
        last = nearest.argmax(dim=1)
        chosen.append(last)
    together = torch.stack(chosen, dim=1)  # (b, m)
    return [distinct_rows(rows[: min(m, n)], n) for rows, n in zip(together, sizes, strict=True)]


def covering_radius(
    x: Float[Tensor, "n c"] | np.ndarray, indices: Int64[Tensor, " m"] | np.ndarray
) -> Float[Tensor, ""]:
    """epsilon = max_{x in H} min_{y in H_I} ||x - y||_2 (A.2), the Hausdorff distance between H and its subset.

    Memory stays bounded: the (n, m) distances are computed in blocks.

    Args:
        x: (n, c) points.
        indices: (m,) rows of the subset.

    Returns:
        A scalar in the unit and type of `x`.

    Raises:
        DataError: for points that are not finite, or indices that are not rows.
        ParameterError: for an empty subset.

    Examples:
        >>> covering_radius(torch.tensor([[0.0], [1.0], [10.0], [4.0]]), torch.tensor([0, 2]))
        tensor(4.)
    """
    points = _as_points(x)
    rows_kept = real_tensor(indices, "indices").to(points.device)
    if rows_kept.dim() != 1 or rows_kept.is_floating_point() or rows_kept.dtype == torch.bool:
        raise ParameterError(
            f"indices are {str(rows_kept.dtype)[6:]} of the shape {tuple(rows_kept.shape)}: pass whole numbers (m,)"
        )
    rows_kept = rows_kept.long()
    if len(rows_kept) == 0:
        raise ParameterError("indices is empty: the covering radius needs at least one kept point")
    low, high = (int(index) for index in rows_kept.aminmax())
    if low < 0 or high >= len(points):
        raise DataError(f"index {high if high >= len(points) else low} is not a row of the {len(points)} points")
    unit = _unit(points)
    points = points if unit == 1 else points * unit
    kept = points[rows_kept].double()
    rows = max(1, MAX_BLOCK // max(1, len(kept) * points.shape[1]))
    worst = torch.zeros((), dtype=torch.float64, device=points.device)
    for block in points.split(rows):
        squared = (block.double()[:, None] - kept[None]).square().sum(dim=2)  # (rows, m)
        worst = torch.maximum(worst, squared.amin(dim=1).amax())
    return (worst.sqrt() / unit).to(points.dtype)


def _as_points(x: Points) -> Float[Tensor, "n c"]:
    points = real_tensor(x, "points").detach()
    if points.dtype not in (torch.float32, torch.float64):
        points = points.float() if points.is_floating_point() else points.double()
    if points.dim() != 2 or len(points) == 0:
        raise DataError(f"points must have the shape (n, c) with n > 0, not {tuple(points.shape)}")
    row = first_nonfinite_row(points)
    if row is not None:
        raise DataError(f"point {row} of {len(points)} is not finite: sampling needs finite coordinates")
    return points


def _checked(x: Points, m: int, start: int) -> Float[Tensor, "n c"]:
    points = _as_points(x)
    try:
        whole(start, "start", least=0, most=len(points) - 1)
    except ParameterError:
        raise ParameterError(f"start is {start!r}: it must be a row of the {len(points)} points") from None
    unit = _unit(points)
    return points if unit == 1 else points * unit


def _unit(points: Float[Tensor, "n c"]) -> float:
    """A power of two that keeps squares within float64; 1 for float32, whose squares always are."""
    return unit_of(extent(points)) if points.dtype == torch.float64 else 1.0


def _sample(points: Float[Tensor, "n c"], m: int, start: int) -> Int64[Tensor, " m"]:
    if points.is_cuda:
        return sample_together([points], m, start)[0]
    chosen = np.empty(min(m, len(points)), dtype=np.int64)
    chosen[0] = start
    kernels.sampling.farthest_points(points.contiguous().numpy(), chosen, True)
    return distinct_rows(torch.from_numpy(chosen), len(points))


def distinct_rows(chosen: Int64[Tensor, " m"], n: int) -> Int64[Tensor, " m"]:
    """Replace repeated indices (all rows covered at distance 0) by the rows not chosen yet, in rising order."""
    distinct = len(torch.unique(chosen))  # repeats only ever come at the end
    if distinct == len(chosen):
        return chosen
    free = torch.ones(n, dtype=torch.bool, device=chosen.device)
    free[chosen] = False
    return torch.cat([chosen[:distinct], free.nonzero().flatten()[: len(chosen) - distinct]])

"""Topology-preserving sampling (Sec. B.4, Alg. 5): greedy k-centre, and the radius that Proposition 1 speaks of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from topokd.errors import DataError, ParameterError
from topokd.topology.threads import side_by_side

Points = Tensor | np.ndarray

CHUNK = 1 << 22  # numbers of one block of the covering radius


def _as_points(x: Float[Tensor, "n c"] | np.ndarray) -> Float[Tensor, "n c"]:
    points = torch.as_tensor(x).detach()
    if points.dtype not in (torch.float32, torch.float64):
        points = points.float()
    if points.dim() != 2 or len(points) == 0:
        raise DataError(f"points must have the shape (n, c) with n > 0, not {tuple(points.shape)}")
    finite = torch.isfinite(points)
    if not bool(finite.all()):
        row = int((~finite).any(dim=1).nonzero()[0])
        raise DataError(f"point {row} of {len(points)} is not finite: sampling needs finite coordinates")
    return points


@overload
def farthest_point_sampling(x: Points, m: int, *, start: int = ..., workers: int | None = ...) -> Tensor: ...


@overload
def farthest_point_sampling(
    x: Sequence[Points], m: int, *, start: int = ..., workers: int | None = ...
) -> list[Tensor]: ...


def farthest_point_sampling(
    x: Points | Sequence[Points], m: int, *, start: int = 0, workers: int | None = None
) -> Int64[Tensor, " m"] | list[Int64[Tensor, " m"]]:
    """Alg. 5 (TPS): i_1 = start; i_k = argmax_i min_{j<k} ||x_i - x_{i_j}||; ties go to the lowest index.

    ``x``: points (n, c), or a list of clouds, sampled side by side on ``workers`` threads (default: torch's number)
    with the same result. Exact greedy k-centre, deterministic. With m > n every row is returned once (n indices,
    ``start`` first). Where m exceeds the number of distinct rows, the duplicates follow in rising order, so that the m
    indices are always distinct. The result lies on the device of ``x``. On the CPU one compiled loop does the work,
    without the GIL, and passes over rows that the triangle inequality settles while that is seen to pay; a GPU takes a
    step in all clouds at once, waiting for nothing in between.
    Raises :class:`DataError` for rows that are not finite and :class:`ParameterError` for an impossible m or start.

    >>> farthest_point_sampling(torch.tensor([[0.0], [1.0], [10.0], [4.0]]), 3)
    tensor([0, 2, 3])
    """
    if isinstance(x, Tensor | np.ndarray):
        return farthest_point_sampling([x], m, start=start)[0]
    alike = {(cloud.device, cloud.shape[1:]) if isinstance(cloud, Tensor) else None for cloud in x}
    if len(alike) == 1 and all(isinstance(cloud, Tensor) and cloud.is_cuda for cloud in x):
        return _sample_together([_checked(cloud, m, start) for cloud in x], m, start)
    return side_by_side(lambda cloud: _sample(_checked(cloud, m, start), m, start), list(x), workers)


def _checked(x: Points, m: int, start: int) -> Float[Tensor, "n c"]:
    points = _as_points(x)
    if m < 1:
        raise ParameterError(f"m is {m}: ask for at least one point")
    if not 0 <= start < len(points):
        raise ParameterError(f"start is {start}: it must be a row of the {len(points)} points")
    return points


def _sample(points: Float[Tensor, "n c"], m: int, start: int) -> Int64[Tensor, " m"]:
    if points.is_cuda:
        return _sample_together([points], m, start)[0]
    from topokd.topology.kernels import sampling as kernels

    chosen = np.empty(min(m, len(points)), dtype=np.int64)
    chosen[0] = start
    kernels.farthest_points(points.contiguous().numpy(), chosen, True)
    return _distinct(torch.from_numpy(chosen), len(points))


def _sample_together(clouds: list[Float[Tensor, "n c"]], m: int, start: int) -> list[Int64[Tensor, " m"]]:
    """A step in all clouds at a time, shorter clouds padded by rows that are never chosen; for GPUs."""
    if not clouds:
        return []
    sizes = [len(cloud) for cloud in clouds]
    padded = torch.nn.utils.rnn.pad_sequence([cloud.double() for cloud in clouds], batch_first=True)  # (b, n, c)
    places = torch.arange(padded.shape[1], device=padded.device)
    real = places < torch.tensor(sizes, device=padded.device)[:, None]
    nearest = torch.where(real, torch.inf, -1.0).double()
    row = torch.arange(len(clouds), device=padded.device)
    last = torch.full_like(row, start)
    chosen = [last]
    for _ in range(min(m, max(sizes)) - 1):
        # From differences, not from products: duplicates lie at distance 0, and what is near is told apart.
        apart = torch.cdist(padded, padded[row, last][:, None], compute_mode="donot_use_mm_for_euclid_dist")
        nearest = torch.minimum(nearest, apart[..., 0])
        last = nearest.argmax(dim=1)
        chosen.append(last)
    together = torch.stack(chosen, dim=1)
    return [_distinct(rows[: min(m, n)], n) for rows, n in zip(together, sizes, strict=True)]


def _sample_torch(points: Float[Tensor, "n c"], m: int, start: int) -> Int64[Tensor, " m"]:
    """The readable twin of both."""
    nearest = torch.full((len(points),), torch.inf, dtype=torch.float64, device=points.device)
    chosen = torch.empty(m, dtype=torch.int64, device=points.device)
    chosen[0] = start
    for step in range(1, m):
        distance = (points.double() - points[chosen[step - 1]].double()).square().sum(dim=1)
        nearest = torch.minimum(nearest, distance)
        chosen[step] = nearest.argmax()
    return chosen


def _distinct(chosen: Int64[Tensor, " m"], n: int) -> Int64[Tensor, " m"]:
    """Replace repeated indices (all rows covered at distance 0) by the rows not chosen yet, in rising order."""
    distinct = len(torch.unique(chosen))  # repeats only ever come at the end
    if distinct == len(chosen):
        return chosen
    free = torch.ones(n, dtype=torch.bool, device=chosen.device)
    free[chosen] = False
    return torch.cat([chosen[:distinct], free.nonzero().flatten()[: len(chosen) - distinct]])


def covering_radius(
    x: Float[Tensor, "n c"] | np.ndarray, indices: Int64[Tensor, " m"] | np.ndarray
) -> Float[Tensor, ""]:
    """epsilon = max_{x in H} min_{y in H_I} ||x - y||_2 (A.2), the Hausdorff distance between H and its subset.

    Memory stays bounded: the (n, m) distances are computed in blocks.

    >>> covering_radius(torch.tensor([[0.0], [1.0], [10.0], [4.0]]), torch.tensor([0, 2]))
    tensor(4.)
    """
    points = _as_points(x)
    kept = points[torch.as_tensor(indices, device=points.device)].double()
    if len(kept) == 0:
        raise ParameterError("indices is empty: the covering radius needs at least one kept point")
    rows = max(1, CHUNK // max(1, len(kept) * points.shape[1]))
    worst = torch.zeros((), dtype=torch.float64, device=points.device)
    for block in points.split(rows):
        squared = (block.double()[:, None] - kept[None]).square().sum(dim=2)  # (rows, m)
        worst = torch.maximum(worst, squared.amin(dim=1).amax())
    return worst.sqrt().to(points.dtype)

"""What `vietoris_rips` accepts, brought into one form: points or a matrix of distances that no loop stumbles over."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64
from numpy import ndarray
from torch import Tensor

from topokd.errors import DataError, ParameterError
from topokd.topology.gradient import extent, unit_of
from topokd.topology.options import number
from topokd.topology.sampling import Points

METRICS = ("euclidean", "precomputed")
BYTES_PER_PAIR = 20  # an entry of the matrix, half an edge in order, half an annotation, and what sorting needs


class Filtration(NamedTuple):
    """Finite values of the edges in a unit in which squares neither overflow nor vanish.

    Attributes:
        values: (n, c) points or (n, n) distances, multiplied by ``unit``; distances that are infinite are larger than
            ``limit``.
        limit: no longer edge enters, in the same unit; inf for none.
        unit: a power of two; 1 unless the numbers are extreme.
    """

    values: Float64[ndarray, "n c"]
    limit: float
    unit: float


def check_options(metric: str, threshold: float | None) -> None:
    """Raise ParameterError for a metric that does not exist, or a threshold that is NaN."""
    if metric not in METRICS:
        raise ParameterError(f"metric is {metric!r}; choose one of {', '.join(map(repr, METRICS))}")
    if threshold is not None:
        number(threshold, "threshold", least=-math.inf, infinite=True)


def as_cloud(cloud: Points | Any, metric: str, name: str) -> Tensor:
    """One cloud as a floating-point tensor, checked; sparse distances as a full matrix, in the graph.

    Args:
        cloud: points (n, c), distances (n, n), or sparse distances (torch COO or CSR, or SciPy).
        metric: "euclidean" or "precomputed".
        name: put before the message of an error.

    Raises:
        DataError: a wrong shape, values that are not finite (distances may be infinite), or no distances.
    """
    if hasattr(cloud, "tocoo"):  # SciPy's sparse matrices and arrays
        coo = cloud.tocoo()
        places = torch.from_numpy(np.stack([coo.row, coo.col]).astype(np.int64))
        values = torch.as_tensor(np.asarray(coo.data))
        cloud = torch.sparse_coo_tensor(places, values, coo.shape, check_invariants=True)
    x = torch.as_tensor(cloud)
    if x.dtype not in (torch.float32, torch.float64):
        if x.dtype.is_complex:
            raise DataError(f"{name}values are complex ({x.dtype}): pass real coordinates or distances")
        x = x.double() if x.dtype in (torch.int32, torch.int64) else x.float()
    if x.layout != torch.strided:
        if metric != "precomputed":
            raise DataError(f"{name}sparse input holds distances: pass metric='precomputed'")
        x = _full(x, name)
    if x.dim() != 2 or len(x) == 0:
        raise DataError(f"{name}expected points (n, c) or distances (n, n) with n > 0, got the shape {tuple(x.shape)}")
    if metric == "precomputed":
        _check_distances(x, name)
        return x
    values = x.detach()
    if not bool(torch.isfinite(values).all()):
        row = int((~torch.isfinite(values)).any(dim=1).nonzero()[0])
        raise DataError(f"{name}row {row} holds NaN or infinity: persistence needs finite coordinates")
    return x


def _full(x: Tensor, name: str) -> Float[Tensor, "n n"]:
    """Sparse distances as a matrix: entries that are not stored are infinite, an edge may be stored once or twice."""
    if x.dim() != 2 or x.shape[0] != x.shape[1]:
        raise DataError(f"{name}sparse distances must be a square matrix, not {tuple(x.shape)}")
    n = len(x)
    check_memory(n, name)
    coo = x if x.layout == torch.sparse_coo else x.to_sparse_coo()
    stored, coo = coo._nnz(), coo.coalesce()  # which adds up what is stored twice at one place
    places, values = coo.indices(), coo.values()
    if places.shape[1] != stored:
        raise DataError(f"{name}a distance is stored twice at one place: store an edge once, or at (i, j) and (j, i)")
    if places.numel() and not 0 <= int(places.min()) <= int(places.max()) < n:
        raise DataError(f"{name}sparse distances have rows {int(places.min())} to {int(places.max())} of {n} points")
    low, high = places.aminmax(dim=0)
    edge = low * n + high
    first = torch.full((n * n,), -1, dtype=torch.int64, device=x.device)
    first[edge] = torch.arange(len(edge), device=x.device)
    other = values.detach()[first[edge]]
    if not torch.equal(other, values.detach()):
        at = places[:, int((other != values.detach()).nonzero()[0])].tolist()
        raise DataError(f"{name}distances must be symmetric: the edge {at} is stored with two lengths")
    base = torch.full((n, n), math.inf, dtype=values.dtype, device=x.device)
    base.fill_diagonal_(0.0)
    rows, columns = places.unbind(0)
    # an edge that is stored once fills both places; one that is stored twice, each place its own
    return base.index_put((columns, rows), values).index_put((rows, columns), values)


def _check_distances(x: Float[Tensor, "n n"], name: str) -> None:
    values = x.detach()
    if x.shape[0] != x.shape[1]:
        raise DataError(f"{name}a distance matrix must be square, not {tuple(x.shape)}")
    if bool(values.isnan().any()):
        row = int(values.isnan().any(dim=1).nonzero()[0])
        raise DataError(f"{name}row {row} holds NaN: distances are numbers, infinite where there is no edge")
    if not torch.equal(values, values.T) or bool((values.diagonal() != 0).any()) or bool((values < 0).any()):
        raise DataError(f"{name}distances must be symmetric, not negative, and zero on the diagonal")


def filtration_of(cloud: Tensor, precomputed: bool, threshold: float | None) -> Filtration:
    """The numbers that an engine gets: float64, in a unit in which their squares neither overflow nor vanish."""
    size = extent(cloud, precomputed=precomputed)
    unit = unit_of(size)
    values = cloud.detach().cpu().double().numpy()
    if unit != 1:
        values = values * unit
    limit = math.inf if threshold is None else float(threshold) * unit
    if precomputed and not bool(torch.isfinite(cloud.detach()).all()):
        limit = min(limit, size * unit)
        values = np.where(np.isfinite(values), values, 4 * size * unit + 1.0)
    return Filtration(np.ascontiguousarray(values), limit, unit)


def check_memory(n: int, name: str = "", available: Callable[[], float] | None = None) -> None:
    """Raise DataError if all distances of n points do not fit into the memory that is left.

    Args:
        n: number of points.
        name: put before the message.
        available: bytes that are left; None: `available_memory`.
    """
    needed = BYTES_PER_PAIR * n * n
    if needed < 1 << 28:
        return
    left = (available or available_memory)()
    if needed > left:
        fits = int(math.sqrt(left / BYTES_PER_PAIR))
        raise DataError(
            f"{name}{n:,} points have {n * (n - 1) // 2:,} distances, which take about {needed / 2**30:.1f} GiB; "
            f"{left / 2**30:.1f} GiB are free, enough for about {fits:,} points: sample first "
            "(farthest_point_sampling), or lower the number of points"
        )


def available_memory() -> float:
    """Bytes that this process may still take: free memory, the limits of its control group and of its address space."""
    found = [math.inf]
    try:
        fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        found.append(float(fields["MemAvailable"].split()[0]) * 1024)
    except (OSError, KeyError, ValueError):
        pass
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        try:
            found.append(float(Path(limit).read_text()) - float(Path(used).read_text()))
        except (OSError, ValueError):
            continue
    try:
        import resource

        soft = resource.getrlimit(resource.RLIMIT_AS)[0]
        if soft != resource.RLIM_INFINITY:
            taken = float(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
            found.append(soft - taken)
    except (ImportError, OSError, ValueError):
        pass
    return max(0.0, min(found))

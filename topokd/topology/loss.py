"""The topological loss (Algorithm 1): how far the shape of student's feature clouds is from teacher's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from topokd.errors import DataError, ParameterError
from topokd.topology.chamfer import persistence_weighted_chamfer
from topokd.topology.persistence import Engine, vietoris_rips
from topokd.topology.sampling import farthest_point_sampling

Normalization = Literal["l2", "none", "standardize", "mean_norm"]


def normalize_features(x: Float[Tensor, "n c"], how: Normalization = "l2") -> Float[Tensor, "n c"]:
    """Alg. 1, lines 4-5, for the rows of one cloud (NOTES row 2).

    "l2": unit length per row. "mean_norm": divided by the mean length of the rows. "standardize": mean 0 and variance
    1 per channel. "none": as they are. Rows, clouds and channels without extent become zero, and get no gradient.

    >>> normalize_features(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000], [0.0000, 0.0000]])
    """
    if how == "none":
        return x
    if how == "l2":
        return _divide(x, _norm(x, dim=1))
    if how == "mean_norm":
        return _divide(x, _norm(x, dim=1).mean())
    if how == "standardize":
        centered = x - x.mean(dim=0)
        return _divide(centered, _norm(centered, dim=0) / len(x) ** 0.5)
    raise ParameterError(f"normalize is {how!r}; choose 'l2', 'none', 'standardize' or 'mean_norm'")


def _norm(x: Float[Tensor, "n c"], dim: int) -> Tensor:
    squared = x.square().sum(dim=dim, keepdim=True)
    positive = squared > 0
    return torch.where(positive, squared.where(positive, torch.ones_like(squared)).sqrt(), torch.zeros_like(squared))


def _divide(x: Tensor, size: Tensor) -> Tensor:
    positive = size > 0
    return torch.where(positive, x / torch.where(positive, size, torch.ones_like(size)), torch.zeros_like(x))


class TopologicalLoss(torch.nn.Module):
    """Algorithm 1: L_topo = (1/B) sum over clouds and degrees of PWCD(teacher's diagram, student's diagram).

    Per cloud: features are normalised, the ``num_points`` rows that farthest point sampling picks among the teacher's
    are kept in both, and their Vietoris-Rips diagrams compared. Gradients reach the student through the critical edges
    only.

    Arguments are those of :class:`topokd.params.Topology`: ``num_points`` M (a smaller cloud is taken whole), ``dims``
    homology degrees, ``normalize`` see :func:`normalize_features`, ``engine`` see :func:`vietoris_rips`,
    ``match_scale`` and ``eps`` see :func:`persistence_weighted_chamfer`, ``tie_tolerance`` tau_tie; ``workers``
    threads (default: number of torch threads). Works under autocast (in float32 at least).

    >>> generator = torch.Generator().manual_seed(0)
    >>> teacher = torch.randn(50, 16, generator=generator)
    >>> student = torch.randn(50, 8, generator=generator, requires_grad=True)
    >>> loss = TopologicalLoss(num_points=20)(student, teacher, torch.tensor([30, 50]))
    >>> loss.backward()
    >>> loss.item() > 0, bool(student.grad.abs().sum() > 0)
    (True, True)
    """

    def __init__(
        self,
        num_points: int = 1024,
        dims: Sequence[int] = (0, 1),
        normalize: Normalization = "l2",
        engine: Engine = "auto",
        *,
        match_scale: float = 1.0,
        eps: float = 1e-6,
        tie_tolerance: float = 1e-6,
        workers: int | None = None,
    ) -> None:
        super().__init__()
        self.num_points, self.dims, self.normalize, self.engine = num_points, tuple(dims), normalize, engine
        self.match_scale, self.eps, self.tie_tolerance, self.workers = match_scale, eps, tie_tolerance, workers
        if num_points < 2 or not self.dims or not set(self.dims) <= {0, 1, 2}:
            raise ParameterError(f"num_points {num_points} must be 2 or more, and dims {self.dims} some of 0, 1, 2")
        normalize_features(torch.zeros(1, 1), normalize)

    def forward(
        self, student: Float[Tensor, "n c_s"], teacher: Float[Tensor, "n c_t"], offsets: Int64[Tensor, " b"]
    ) -> Float[Tensor, ""]:
        """Row-matched features of B clouds, cloud k being rows ``offsets[k-1]:offsets[k]``; the mean over clouds.

        Raises :class:`DataError` when shapes disagree, or when a cloud's features are not finite, naming the cloud.
        """
        ends = _check(student, teacher, offsets)
        teacher = teacher.detach()
        of_student, of_teacher = [], []
        for start, end in zip([0, *ends], ends, strict=False):
            if end == start:
                continue
            rows = normalize_features(_at_least_float32(teacher[start:end]), self.normalize)
            kept = farthest_point_sampling(rows, self.num_points)
            of_teacher.append(rows[kept])
            of_student.append(normalize_features(_at_least_float32(student[start:end]), self.normalize)[kept])
        persistences = vietoris_rips(
            of_teacher + of_student,
            max_dim=max(self.dims),
            engine=self.engine,
            tie_tolerance=self.tie_tolerance,
            workers=self.workers,
        )
        total = _at_least_float32(student.sum() * 0)  # keeps the graph when no cloud has a diagram
        for reference, own in zip(persistences, persistences[len(of_teacher) :], strict=False):
            for dim in self.dims:
                total = total + persistence_weighted_chamfer(
                    reference.diagrams[dim], own.diagrams[dim], eps=self.eps, match_scale=self.match_scale
                )
        return total / max(1, len(ends))

    def extra_repr(self) -> str:
        """What ``print(module)`` shows."""
        return f"num_points={self.num_points}, dims={self.dims}, normalize={self.normalize!r}, engine={self.engine!r}"


def _at_least_float32(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _check(student: Tensor, teacher: Tensor, offsets: Tensor) -> list[int]:
    """Cumulative counts as a list, when all is well."""
    if student.dim() != 2 or teacher.dim() != 2 or len(student) != len(teacher):
        raise DataError(
            f"student {tuple(student.shape)} and teacher {tuple(teacher.shape)} must have one row per matched voxel"
        )
    ends: list[int] = [int(end) for end in offsets.tolist()]
    if not ends or ends[-1] != len(student) or any(b < a for a, b in zip([0, *ends], ends, strict=False)):
        raise DataError(f"offsets {ends} must rise to the number of rows, {len(student)}")
    for name, features in (("student", student), ("teacher", teacher)):
        finite = torch.isfinite(features.detach()).all(dim=1)
        if not bool(finite.all()):
            row = int((~finite).nonzero()[0])
            cloud = next(k for k, end in enumerate(ends) if row < end)
            raise DataError(f"{name}'s features of cloud {cloud} hold NaN or infinity (row {row}): lower the step size")
    return ends

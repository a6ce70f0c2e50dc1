"""The topological loss (Algorithm 1): how far the shape of student's feature clouds is from teacher's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from topokd.errors import DataError, ParameterError
from topokd.topology.chamfer import persistence_weighted_chamfer
from topokd.topology.persistence import Engine, Persistence, vietoris_rips
from topokd.topology.sampling import farthest_point_sampling
from topokd.topology.threads import begun, side_by_side

Normalization = Literal["l2", "none", "standardize", "mean_norm"]
Cloud = Tensor | tuple[Tensor, Tensor]  # features (n, c), or which rows are kept (m,) and these rows (m, c) on the CPU


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


@dataclass(frozen=True)
class TeacherDiagrams:
    """The teacher's side of the loss for one batch, perhaps still being computed (:meth:`TopologicalLoss.prepare`)."""

    ends: list[int]  # cumulative numbers of rows per cloud
    results: Callable[[], list[tuple[Int64[Tensor, " m"], Persistence]]]  # per cloud: rows kept, diagrams there


class TopologicalLoss(torch.nn.Module):
    """Algorithm 1: L_topo = (1/B) sum over clouds and degrees of PWCD(teacher's diagram, student's diagram).

    Per cloud: features are normalised, the ``num_points`` rows that farthest point sampling picks among the teacher's
    are kept in both, and their Vietoris-Rips diagrams compared. Gradients reach the student through the critical edges
    only.

    Arguments: ``num_points`` M (a smaller cloud is taken whole), ``dims``
    homology degrees, ``normalize`` see :func:`normalize_features`, ``engine`` see :func:`vietoris_rips`,
    ``match_scale`` and ``eps`` see :func:`persistence_weighted_chamfer`, ``tie_tolerance`` tau_tie, ``time_limit``
    seconds per diagram (see :func:`vietoris_rips`); ``workers`` threads (default: number of torch threads). Works under
    autocast (in float32 at least). The teacher's part can run beside the student's forward pass, see :meth:`prepare`.
    Of features on a GPU the rows kept are moved to the CPU, where diagrams are computed and compared.

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
        time_limit: float | None = None,
        workers: int | None = None,
    ) -> None:
        super().__init__()
        self.num_points, self.dims, self.normalize, self.engine = num_points, tuple(dims), normalize, engine
        self.match_scale, self.eps, self.workers = match_scale, eps, workers
        if num_points < 2 or not self.dims or not set(self.dims) <= {0, 1, 2}:
            raise ParameterError(f"num_points {num_points} must be 2 or more, and dims {self.dims} some of 0, 1, 2")
        normalize_features(torch.zeros(1, 1), normalize)
        self.rips: dict[str, Any] = {
            "max_dim": max(self.dims),
            "engine": engine,
            "tie_tolerance": tie_tolerance,
            "time_limit": time_limit,
        }

    def prepare(self, teacher: Float[Tensor, "n c_t"], offsets: Int64[Tensor, " b"]) -> TeacherDiagrams:
        """Begin what depends on the teacher alone, on threads of its own: call it before the student's forward pass.

        Hand the result to :meth:`forward` in place of the features; the loss is the same, bit for bit. Raises
        :class:`DataError` as :meth:`forward` does.
        """
        ends = _check("teacher", teacher, offsets)
        return TeacherDiagrams(ends, begun(self._teacher_cloud, self._sampled(teacher, ends), self.workers))

    def _sampled(self, teacher: Tensor, ends: list[int]) -> list[Cloud]:
        """The teacher's clouds, for a thread each; a GPU samples all of them first, and hands over what it kept."""
        clouds = _clouds(teacher.detach(), ends)
        if not teacher.is_cuda:
            return list(clouds)
        rows = [normalize_features(cloud, self.normalize) for cloud in clouds]
        kept = farthest_point_sampling(rows, self.num_points)
        return [(k, cloud[k].cpu()) for k, cloud in zip(kept, rows, strict=True)]

    def _teacher_cloud(self, cloud: Cloud) -> tuple[Int64[Tensor, " m"], Persistence]:
        """The rows kept of one cloud, and the diagrams of the teacher there."""
        if isinstance(cloud, Tensor):
            rows = normalize_features(cloud, self.normalize)
            kept = farthest_point_sampling(rows, self.num_points)
            cloud = kept, rows[kept]
        kept, points = cloud
        return kept, vietoris_rips(points, **self.rips)

    def forward(
        self,
        student: Float[Tensor, "n c_s"],
        teacher: Float[Tensor, "n c_t"] | TeacherDiagrams,
        offsets: Int64[Tensor, " b"],
    ) -> Float[Tensor, ""]:
        """Row-matched features of B clouds, cloud k being rows ``offsets[k-1]:offsets[k]``; the mean over clouds.

        ``teacher``: features, or what :meth:`prepare` made of them. Raises :class:`DataError` when shapes disagree, or
        when a cloud's features are not finite, naming the cloud.
        """
        if isinstance(teacher, Tensor) and (student.dim() != 2 or teacher.dim() != 2 or len(teacher) != len(student)):
            raise DataError(
                f"student {tuple(student.shape)} and teacher {tuple(teacher.shape)} must have one row per matched voxel"
            )
        ends = _check("student", student, offsets)
        if isinstance(teacher, TeacherDiagrams):
            if ends != teacher.ends:
                raise DataError(
                    f"student's clouds end at rows {ends}, the teacher's at {teacher.ends}: match their rows"
                )
            references = teacher.results()
        else:
            clouds = self._sampled(teacher, _check("teacher", teacher, offsets))
            references = side_by_side(self._teacher_cloud, clouds, self.workers)
        points = [
            normalize_features(cloud, self.normalize)[kept].cpu()
            for cloud, (kept, _) in zip(_clouds(student, ends), references, strict=True)
        ]
        total = _at_least_float32(student[:0].sum())  # 0, in the graph also when no cloud has a diagram
        found = vietoris_rips(points, workers=self.workers, **self.rips)
        for (_, reference), own in zip(references, found, strict=True):
            for dim in self.dims:
                apart = persistence_weighted_chamfer(
                    reference.diagrams[dim], own.diagrams[dim], eps=self.eps, match_scale=self.match_scale
                )
                total = total + apart.to(total.device)
        return total / max(1, len(ends))

    def extra_repr(self) -> str:
        """What ``print(module)`` shows."""
        return f"num_points={self.num_points}, dims={self.dims}, normalize={self.normalize!r}, engine={self.engine!r}"


def _at_least_float32(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _clouds(features: Float[Tensor, "n c"], ends: list[int]) -> list[Float[Tensor, "k c"]]:
    """The rows of each cloud that has any, in float32 at least."""
    return [_at_least_float32(features[a:b]) for a, b in zip([0, *ends], ends, strict=False) if b > a]


def _check(name: str, features: Tensor, offsets: Tensor) -> list[int]:
    """Cumulative counts as a list, when all is well."""
    if features.dim() != 2:
        raise DataError(f"{name}'s features have the shape {tuple(features.shape)}, expected (n, c)")
    ends: list[int] = [int(end) for end in offsets.tolist()]
    if not ends or ends[-1] != len(features) or any(b < a for a, b in zip([0, *ends], ends, strict=False)):
        raise DataError(f"offsets {ends} must rise to the number of rows of {name}'s features, {len(features)}")
    finite = torch.isfinite(features.detach()).all(dim=1)
    if not bool(finite.all()):
        row = int((~finite).nonzero()[0])
        cloud = next(k for k, end in enumerate(ends) if row < end)
        raise DataError(f"{name}'s features of cloud {cloud} hold NaN or infinity (row {row}): lower the step size")
    return ends

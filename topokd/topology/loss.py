"""The topological loss (Algorithm 1): how far the student's feature clouds are from the teacher's in shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from topokd.clouds import Clouds, Features, Offsets, as_rows, at_least_float32, matched_rows
from topokd.errors import DataError, ParameterError
from topokd.options import number, threads, whole
from topokd.topology.chamfer import persistence_weighted_chamfer
from topokd.topology.engines import choose_engine
from topokd.topology.filtration_input import is_degree
from topokd.topology.gradient_kinds import check_gradient
from topokd.topology.normalize import check_normalization, normalize_features
from topokd.topology.one_step import rips_chamfer
from topokd.topology.persistence import vietoris_rips
from topokd.topology.sampled import finite_rows
from topokd.topology.sampling import farthest_point_sampling
from topokd.topology.threads import map_in_background, parallel_map
from topokd.topology.torch_compile import eagerly


class TeacherCloud(NamedTuple):
    """The teacher's part of the loss for one cloud.

    Attributes:
        indices: (m,) rows that farthest point sampling chose.
        diagrams: diagram (k, 2) of these rows, by homology degree.

    Examples:
        >>> cloud = TopologicalLoss(num_points=4).prepare(torch.eye(6, 3), torch.tensor([6])).results()[0]
        >>> len(cloud.indices), sorted(cloud.diagrams)
        (4, [0, 1])
    """

    indices: Int64[Tensor, " m"]
    diagrams: Mapping[int, Float[Tensor, "_ 2"]]


class TeacherDiagrams(NamedTuple):
    """The teacher's part of the loss for one batch, which may still be being computed (`TopologicalLoss.prepare`).

    Attributes:
        ends: cumulative number of rows per cloud.
        results: waits for the results, one per cloud, and returns them.

    Examples:
        >>> prepared = TopologicalLoss(num_points=4).prepare(torch.eye(6, 3), torch.tensor([6]))
        >>> prepared.ends, [len(cloud.indices) for cloud in prepared.results()]
        ([6], [4])
    """

    ends: list[int]
    results: Callable[[], list[TeacherCloud]]


class TopologicalLoss(torch.nn.Module):
    """Algorithm 1: L_topo = (1/B) sum over clouds and degrees of PWCD(teacher's diagram, student's diagram), the
    persistence-weighted Chamfer distance.

    Per cloud: features are normalised, the rows that farthest point sampling picks among the teacher's are kept in
    both, and their Vietoris-Rips diagrams compared. Gradients reach the student through the critical edges only.

    Works under autocast (in float32 at least). Features on a GPU are sampled there; the rows kept move to the CPU,
    where diagrams are computed and compared. The teacher's part can run during the student's forward pass, see
    `prepare`.

    Args:
        num_points: M, rows kept per cloud; a smaller cloud is taken whole.
        dims: homology degrees, some of 0, 1, 2.
        normalize: see `normalize_features`.
        engine: see `vietoris_rips`.
        match_scale: see `persistence_weighted_chamfer`.
        eps: see `persistence_weighted_chamfer`.
        tie_tolerance: tau_tie, see `vietoris_rips`.
        tie_unit: unit of `tie_tolerance`, see `vietoris_rips`. None for 1 where rows are normalised, so that no unit of
            the features is left, and for the extent of the cloud where they are not.
        time_limit: seconds per diagram, see `vietoris_rips`.
        workers: threads, None for as many as torch uses.
        gradient: which of the student's rows a gradient moves, see `vietoris_rips`.
        bandwidth: bandwidth of the gradient "diffeomorphic", see `vietoris_rips`.
        step: step of the gradient "big_step", in the squared unit of the rows per unit of the loss, see
            `vietoris_rips`; other gradients do not use it.
        weights: a function of a cloud, as ``partial(distance_to_measure, k=10)``, for weighted filtrations, see
            `vietoris_rips`; like ``distance`` a module-level function or a `functools.partial` of one.
        distance: a function of the teacher's and the student's diagram (m, 2), (k, 2), in place of PWCD; a module-level
            function (or a `functools.partial` of one), so that the module can be pickled.

    Raises:
        ParameterError: for unknown or impossible options.

    Examples:
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
        normalize: str = "l2",
        engine: str = "auto",
        *,
        match_scale: float = 1.0,
        eps: float = 1e-6,
        tie_tolerance: float = 1e-6,
        tie_unit: float | None = None,
        time_limit: float | None = None,
        workers: int | None = None,
        gradient: str = "critical",
        bandwidth: float | None = None,
        step: float = 1.0,
        weights: Callable[[Tensor], Tensor] | None = None,
        distance: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.num_points, self.engine = whole(num_points, "num_points", least=2), engine
        self.normalize = check_normalization(normalize)
        self.dims = tuple(dims) if isinstance(dims, Sequence) and not isinstance(dims, str) else ()
        self.match_scale, self.eps = number(match_scale, "match_scale", above=True), number(eps, "eps")
        self.workers = threads(workers)
        if distance is not None and not callable(distance):
            raise ParameterError(
                f"distance is {distance!r}: pass a function of two diagrams, or None for the persistence-weighted "
                "Chamfer distance"
            )
        self.distance = distance or partial(persistence_weighted_chamfer, eps=self.eps, match_scale=self.match_scale)
        if weights is not None and not callable(weights):
            raise ParameterError(
                f"weights is {weights!r}: pass a function of a cloud, or None for the plain filtration"
            )
        if not self.dims or not all(map(is_degree, self.dims)):
            raise ParameterError(f"dims is {dims!r}; choose some of 0, 1, 2")
        choose_engine(engine, max(self.dims), time_limit)
        self.rips: dict[str, Any] = {
            "engine": engine,
            "tie_tolerance": number(tie_tolerance, "tie_tolerance"),
            "tie_unit": self._unit(tie_unit),
            "time_limit": time_limit,
            "weights": weights,
        }
        check_gradient(gradient, bandwidth, step=step)
        self.moves: dict[str, Any] = {"gradient": gradient, "bandwidth": bandwidth}
        if gradient == "big_step":  # `rips_chamfer` takes its fast path only without it
            self.moves["step"] = step

    def _unit(self, given: float | None) -> float | None:
        if given is None:
            return None if self.normalize == "none" else 1.0
        return number(given, "tie_unit")

    def prepare(self, teacher: Features, offsets: Offsets = None) -> TeacherDiagrams:
        """Start the teacher's diagrams in background threads; call it before the student's forward pass.

        Args:
            teacher: (n, c_t) features of B clouds, or another layout of `topokd.clouds.as_rows`.
            offsets: (b,) cumulative number of rows per cloud, where the layout does not say it.

        Returns:
            What `forward` takes in place of the features; the loss is the same, bit for bit.

        Raises:
            DataError: as `forward`.
        """
        rows = finite_rows("teacher", as_rows(teacher, offsets, "teacher's features"))
        return TeacherDiagrams(rows.ends, map_in_background(_call, self._teacher_tasks(rows), self.workers))

    def _teacher_tasks(self, teacher: Clouds) -> list[Callable[[], TeacherCloud]]:
        """One task per cloud, for a thread each. On a GPU all clouds are sampled first, together."""
        clouds = [at_least_float32(cloud) for cloud in Clouds(teacher.rows.detach(), teacher.ends).split()]
        if not teacher.rows.is_cuda:
            return [partial(self._sampled_diagrams, cloud) for cloud in clouds]
        rows = [normalize_features(cloud, self.normalize) for cloud in clouds]
        kept = farthest_point_sampling(rows, self.num_points)
        return [partial(self._diagrams, k, cloud[k].cpu()) for k, cloud in zip(kept, rows, strict=True)]

    def _sampled_diagrams(self, cloud: Float[Tensor, "k c"]) -> TeacherCloud:
        rows = normalize_features(cloud, self.normalize)
        kept = farthest_point_sampling(rows, self.num_points)
        return self._diagrams(kept, rows[kept])

    def _diagrams(self, kept: Int64[Tensor, " m"], points: Float[Tensor, "m c"]) -> TeacherCloud:
        persistence = vietoris_rips(points, max_dim=max(self.dims), **self.rips)
        return TeacherCloud(kept, {dim: persistence.diagrams[dim] for dim in self.dims})

    @eagerly
    def forward(
        self,
        student: Features,
        teacher: Features | TeacherDiagrams,
        offsets: Offsets = None,
    ) -> Float[Tensor, ""]:
        """The mean over clouds of their losses.

        Args:
            student: (n, c_s) features of B clouds, cloud k being rows `offsets[k - 1]` to `offsets[k]`; or (b, n, c),
                (b, c, h, w), a list of (n_k, c): see `topokd.clouds.as_rows`.
            teacher: (n, c_t) features of the same rows, or what `prepare` returned for them.
            offsets: (b,) cumulative number of rows per cloud, where the layout does not say it; or the cloud of each
                row. None for (n, c): one cloud.

        Returns:
            A scalar, float32 or float64.

        Raises:
            DataError: if shapes disagree, or features are not finite; names the cloud.
        """
        if isinstance(teacher, TeacherDiagrams):
            own = finite_rows("student", as_rows(student, offsets, "student's features"))
            if own.ends != teacher.ends:
                raise DataError(
                    f"the student has {len(own.rows)} rows in {len(own.ends)} clouds, the prepared teacher "
                    f"{teacher.ends[-1]} in {len(teacher.ends)}, or they end at other rows: match rows"
                )
            references = teacher.results()
        else:
            student, teacher, ends = matched_rows(student, teacher, offsets)
            own = finite_rows("student", Clouds(student, ends))
            tasks = self._teacher_tasks(finite_rows("teacher", Clouds(teacher, ends)))
            references = parallel_map(_call, tasks, self.workers)
        points = [
            normalize_features(at_least_float32(cloud), self.normalize)[reference.indices].cpu()
            for cloud, reference in zip(own.split(), references, strict=True)
        ]
        total = at_least_float32(own.rows[:0].sum())  # 0, in the graph even if no cloud has a diagram
        return (total + self._total(points, references).to(total.device)) / max(1, len(references))

    def _total(self, points: list[Tensor], references: list[TeacherCloud]) -> Float[Tensor, ""]:
        """The sum of the distances of all clouds and degrees."""
        options = {"workers": self.workers, **self.rips, **self.moves}
        teacher = [reference.diagrams for reference in references]
        if isinstance(self.distance, partial) and self.distance.func is persistence_weighted_chamfer:
            return rips_chamfer(points, teacher, dims=self.dims, **self.distance.keywords, **options)
        diagrams = vietoris_rips(points, max_dim=max(self.dims), **options)
        total: Any = 0.0
        for own, persistence in zip(teacher, diagrams, strict=True):
            for dim in self.dims:
                value = torch.as_tensor(self.distance(own[dim], persistence.diagrams[dim]))
                if value.dim():
                    raise ParameterError(f"distance gave the shape {tuple(value.shape)}: it must return one number")
                total = total + value
        return torch.as_tensor(total)

    def extra_repr(self) -> str:
        """The arguments that `print(module)` shows."""
        return f"num_points={self.num_points}, dims={self.dims}, normalize={self.normalize!r}, engine={self.engine!r}"


def _call(task: Callable[[], TeacherCloud]) -> TeacherCloud:
    return task()

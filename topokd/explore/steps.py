"""L_topo between two feature clouds, its gradient, and steps along it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from numpy import ndarray

from topokd.errors import ParameterError
from topokd.explore.cloud import DrawnCloud, describe, persistence_of, principal_axes
from topokd.explore.matching import cloud_size, describe_match
from topokd.topology import GRADIENTS, Persistence, TopologicalLoss, farthest_point_sampling, normalize_features


class GradientSteps:
    """The student's features F as free points: F <- F - eta dL_topo/dF, the teacher's held.

    Args:
        student: (n, c_s) features.
        teacher: (n, c_t) features of the same rows.
        num_points: M.
        normalize: see `normalize_features`.
        engine: see `vietoris_rips`.
        max_dim: highest degree compared.
        names: labels of student and teacher.
        colors: colours of student and teacher, "#rrggbb".
        cycles: whether a cycle of each class of degree 1 is computed for every diagram.

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> teacher = rng.normal(size=(30, 2))
        >>> steps = GradientSteps(teacher + rng.normal(0, 0.1, (30, 2)), teacher, 30, "none")
        >>> before = steps.value
        >>> steps.step(0.005)
        >>> steps.value < before
        True
    """

    def __init__(
        self,
        student: Float64[ndarray, "n a"],
        teacher: Float64[ndarray, "n b"],
        num_points: int,
        normalize: str,
        engine: str = "auto",
        max_dim: int = 1,
        names: tuple[str, str] = ("student", "teacher"),
        colors: tuple[str, str] = ("#d1495b", "#1b4965"),
        cycles: bool = False,
    ) -> None:
        self.cycles = cycles
        self.start, self.names, self.colors = torch.from_numpy(np.array(student, dtype=np.float64)), names, colors
        self.teacher = torch.from_numpy(np.array(teacher, dtype=np.float64))
        self.options: dict[str, Any] = {
            "num_points": num_points, "dims": tuple(range(max_dim + 1)), "normalize": normalize, "engine": engine,
        }  # fmt: skip
        self.engine, self.max_dim = engine, max_dim
        reference = normalize_features(self.teacher, normalize)
        self.kept = farthest_point_sampling(reference, num_points)
        self.reference = reference[self.kept].numpy()
        self.reference_persistence = persistence_of(self.reference, max_dim, engine, cycles)
        first = self._normalized(self.start)
        self.mean, self.axes = first.mean(axis=0), principal_axes(first)
        self.size = cloud_size(self.start[self.kept].numpy())
        self.reset()

    def reset(self) -> None:
        """Back to the features that were given."""
        with self._all_or_nothing():
            self.features = self.start.clone()
            self.history: list[float] = []
            self._update(None)

    def step(self, size: float, way: str | None = None) -> None:
        """F <- F - eta dL/dF, eta so that the row that moves most moves by `size` times the cloud's size.

        Raises:
            ParameterError: if `size` is not positive, or `way` is unknown.
        """
        if not 0 < size <= 1:
            raise ParameterError(f"size is {size!r}; choose a share of the cloud's size in (0, 1]")
        if way is not None and way not in GRADIENTS:
            raise ParameterError(f"the gradient is {way!r}; choose one of {', '.join(map(repr, GRADIENTS))}")
        with self._all_or_nothing():
            if way != self.way:
                self._differentiate(way)
            largest = float(self.gradient.norm(dim=1).max())
            if largest > 0:
                self.features = self.features - size * self.size / largest * self.gradient
            self._update(way)

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Points, diagram and loss that belong together, also if an engine fails on the moved points."""
        before = dict(vars(self))
        try:
            yield
        except BaseException:  # an interrupted kernel too
            vars(self).update(before)
            raise

    def _update(self, way: str | None) -> None:
        self.points = self._normalized(self.features)
        self.persistence: Persistence = persistence_of(self.points, self.max_dim, self.engine, self.cycles)
        self._differentiate(way)
        self.history = [*self.history, self.value]

    def _differentiate(self, way: str | None) -> None:
        self.way = way
        options = self.options if way is None else {**self.options, "gradient": way}
        features = self.features.clone().requires_grad_()
        loss = TopologicalLoss(**options)(features, self.teacher, torch.tensor([len(features)]))
        (self.gradient,) = torch.autograd.grad(loss, features)
        self.value = loss.item()

    def _normalized(self, features: torch.Tensor) -> Float64[ndarray, "m c"]:
        rows: ndarray = normalize_features(features, self.options["normalize"])[self.kept].numpy()
        return rows

    def _cloud(self) -> DrawnCloud:
        positions = (self.points - self.mean) @ self.axes
        return DrawnCloud(self.points, self.names[0], self.colors[0], positions, total=len(self.start))

    def _loss(self) -> dict[str, Any]:
        arrows = -(self.gradient[self.kept].numpy() @ self.axes)
        length = self.gradient[self.kept].norm(dim=1).numpy()
        missing = 3 - arrows.shape[1]
        return {
            "value": self.value,
            "parts": describe_match(self.reference_persistence, self.persistence),
            "arrows": np.pad(arrows, ((0, 0), (0, missing))).astype(np.float32),
            "gradient": length.astype(np.float32),
            "moved": int((length > 0).sum()),
            "history": list(self.history),
            "ways": list(GRADIENTS),
        }

    def scene(self) -> dict[str, Any]:
        """Both clouds and the loss, for the browser."""
        teacher = DrawnCloud(self.reference, self.names[1], self.colors[1], total=len(self.teacher))
        return {
            "clouds": [describe(self._cloud(), self.persistence), describe(teacher, self.reference_persistence)],
            "loss": self._loss(),
        }

    def changes(self) -> dict[str, Any]:
        """The student's cloud and the loss after a step."""
        return {"student": describe(self._cloud(), self.persistence), "loss": self._loss()}

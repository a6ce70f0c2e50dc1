"""The state of an explorer without its widget: what is chosen, what can be chosen, and what is shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float64
from numpy import ndarray

from topokd.errors import ParameterError
from topokd.explore.cloud import DrawnCloud, describe, describe_cycles, persistence_of
from topokd.explore.networks import Say, silent
from topokd.explore.shapes import DENSITY, SHAPES
from topokd.explore.sources import RAW, UNTRAINED, MatchedRows, Networks, SourceOptions, bare_scan
from topokd.explore.steps import GradientSteps
from topokd.scans import SYNTHETIC
from topokd.topology import ENGINES, Normalization, farthest_point_sampling, normalize_features
from topokd.viz.style import STUDENT, TEACHER

Kind = Literal["filtration", "loss", "scene"]
POINTS = (64, 128, 256, 512, 1024)
NETWORKS = "networks on a scan"
CYCLES_AT_ONCE = 256
"""Up to this many points, cycles come with the diagrams (0.2 s); at 1,024 points they take seconds: only on request."""


@dataclass(frozen=True)
class Choice:
    """The choices of a user.

    Attributes:
        source: a shape, `NETWORKS`, or the name of own points.
        points: M, how many points are kept by farthest point sampling.
        normalize: see `normalize_features`.
        engine: see `vietoris_rips`.
        max_dim: highest degree.
        options: profile, scan, network, teacher, stage: see `SourceOptions`.
    """

    source: str
    points: int = 256
    normalize: str = "none"
    engine: str = "auto"
    max_dim: int = 1
    options: SourceOptions = field(default_factory=SourceOptions)


class Session:
    """One explorer.

    Args:
        kind: "filtration" of one cloud, the "loss" between two, or the "scene" of a scan with one network's features.
        own: the user's clouds by name: (n, c), or a pair (student, teacher) of features of the same rows.
        profile: profile of the networks; None takes the first one with trained networks.
        points: initial M.
        max_dim: initial highest degree.
        all_cycles: whether diagrams include cycles of degree 1 for any M, as pages need them.
        say: called with a message before each slow step.

    Raises:
        ParameterError: ``kind`` or ``profile`` does not exist; lists those that do.

    Examples:
        >>> session = Session("filtration", {"mine": np.random.default_rng(0).normal(size=(40, 5))})
        >>> scene = session.scene()
        >>> len(scene["clouds"]), len(scene["clouds"][0]["edges"])
        (1, 780)
    """

    def __init__(
        self,
        kind: Kind = "filtration",
        own: Mapping[str, Any] | None = None,
        *,
        profile: str | None = None,
        points: int = 256,
        max_dim: int = 1,
        all_cycles: bool = False,
        say: Say = silent,
    ) -> None:
        if kind not in get_args(Kind):
            raise ParameterError(f"kind is {kind!r}; choose one of {', '.join(map(repr, get_args(Kind)))}")
        self.kind, self.own, self.say, self.all_cycles = kind, dict(own or {}), say, all_cycles
        self.networks = Networks(profile)
        first = next(iter(self.own), None) or (
            NETWORKS if kind == "scene" or (kind == "loss" and self.networks.trained()) else "circle"
        )
        self.choice = Choice(first, points, max_dim=max_dim, options=self.networks.defaults())
        self.choice = replace(self.choice, normalize=self._usual_normalization())
        self.steps: GradientSteps | None = None
        self._points: list[Float64[ndarray, "n c"]] = []

    def shows_real_scan(self) -> bool:
        """Whether points of a scan are shown that is not of the synthetic world: few licences allow publishing them."""
        profile = self.choice.options.profile
        shown = self.choice.source == NETWORKS and bool(profile)
        return shown and self.networks.params(profile).data.dataset != SYNTHETIC

    def sources(self) -> list[str]:
        """Names that `Choice.source` can have."""
        shapes = [] if self.kind == "scene" else list(SHAPES)
        networks = [NETWORKS] if self.networks.available() else []
        return [*self.own, *networks, *shapes]

    def choosers(self) -> list[dict[str, Any]]:
        """The current menus: name, label, value and options of each."""
        choice = self.choice
        choosers: list[tuple[str, str, Any, list[Any]]] = [("source", "points", choice.source, self.sources())]
        if choice.source == NETWORKS:
            choosers += self.networks.choosers(choice.options, self.kind)
        choosers += [
            ("points", "M", choice.points, sorted({*POINTS, choice.points})),
            ("normalize", "normalisation", choice.normalize, list(get_args(Normalization))),
            ("max_dim", "degrees up to", choice.max_dim, [1, 2]),
            ("engine", "engine", choice.engine, self._engines()),
        ]
        names = ("name", "label", "value", "options")
        return [dict(zip(names, one, strict=True)) for one in choosers]

    def _engines(self) -> list[str]:
        return ["auto", *(name for name, engine in ENGINES.items() if engine.max_dim >= self.choice.max_dim)]

    def choose(self, **changes: Any) -> None:
        """Change the choice; values that no longer apply return to their defaults.

        Raises:
            ParameterError: for a value that cannot be chosen, listing those that can.
        """
        for name, value in changes.items():
            known = {one["name"]: one["options"] for one in self.choosers()}
            if name not in known:
                raise ParameterError(f"{name!r} cannot be chosen here; choose {', '.join(known)}")
            options = [one["value"] if isinstance(one, dict) else one for one in known[name]]
            if value not in options:
                raise ParameterError(f"{name} is {value!r}; choose one of {', '.join(map(repr, options))}")
            if hasattr(self.choice.options, name):
                self.choice = replace(self.choice, options=self.networks.choose(self.choice.options, name, value))
            else:
                self.choice = replace(self.choice, **{name: value})
            if name in ("source", "profile", "network"):
                self.choice = replace(self.choice, normalize=self._usual_normalization())
            if self.choice.engine not in self._engines():
                self.choice = replace(self.choice, engine="auto")

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Restore the previous choice, points and steps if the block fails.

        Examples:
            >>> session = Session("filtration", points=64)
            >>> try:
            ...     with session.all_or_nothing():
            ...         session.choose(source="torus")
            ...         raise MemoryError
            ... except MemoryError:
            ...     session.choice.source
            'circle'
        """
        before = (self.choice, dict(self.own), self.steps, self._points)
        try:
            yield
        except BaseException:  # an interrupted kernel too
            self.choice, self.own, self.steps, self._points = before
            raise

    def _usual_normalization(self) -> str:
        """That of the loss for features; none for points in space, which "l2" would move onto a sphere."""
        features = self.choice.source == NETWORKS and self.choice.options.network != RAW
        return "l2" if features else "none"

    def add(self, name: str, points: Float64[ndarray, "n c"] | tuple[ndarray, ndarray]) -> None:
        """Add a cloud, or features (student, teacher), and select them."""
        self.own[name] = points
        self.choose(source=name)

    def scene(self) -> dict[str, Any]:
        """Everything that the browser draws."""
        self.steps = None
        rows = self._rows()
        count = min(self.choice.points, len(rows.student))
        cycles = self.all_cycles or count <= CYCLES_AT_ONCE
        scene: dict[str, Any] = {"kind": self.kind, "note": rows.note}
        if self.kind == "loss":
            self.say("Computing both diagrams and the gradient of the loss")
            self.steps = GradientSteps(
                rows.student, rows.teacher, self.choice.points, self.choice.normalize, self.choice.engine,
                self.choice.max_dim, names=rows.names, colors=rows.colors, cycles=cycles,
            )  # fmt: skip
            kept = self.steps.kept.numpy()
            scene |= self.steps.scene()
            self._points = [self.steps.points, self.steps.reference]
        else:
            points = normalize(rows.student, self.choice.normalize)
            kept = farthest_point_sampling(points, self.choice.points).numpy()
            total, points = len(points), points[kept]
            self.say(f"Computing the diagram of {len(kept):,} points")
            persistence = persistence_of(points, self.choice.max_dim, self.choice.engine, cycles)
            cloud = DrawnCloud(points, rows.names[0], rows.colors[0], total=total)
            scene["clouds"] = [describe(cloud, persistence)]
            self._points = [points]
        if rows.positions is not None:
            scene["scan"] = {**rows.scan, "anchors": rows.positions[kept].astype(np.float32)}
        return scene

    def step(self, size: float, way: str | None = None) -> dict[str, Any]:
        """One gradient step of the loss, and what has changed.

        Args:
            size: the largest move of a row, as a share of the cloud's size.
            way: how gradients reach the points, one of `topokd.topology.GRADIENTS`.

        Raises:
            ParameterError: if this explorer has no loss, or `size` is not positive.
        """
        if self.steps is None:
            raise ParameterError("only the loss between two clouds has a gradient to follow: choose kind='loss'")
        self.steps.step(size, way)
        self._points[0] = self.steps.points
        return self.steps.changes()

    def reset(self) -> dict[str, Any]:
        """Undo all steps.

        Raises:
            ParameterError: if this explorer has no loss.
        """
        if self.steps is None:
            raise ParameterError("only the loss between two clouds has steps to undo: choose kind='loss'")
        self.steps.reset()
        self._points[0] = self.steps.points
        return self.steps.changes()

    def cycles(self) -> list[dict[str, ndarray]]:
        """A cycle of every class of degree 1 of each cloud that is shown, see `describe_cycles`."""
        self.say(f"Computing cycles of {len(self._points[0]):,} points")
        choice = self.choice
        return [describe_cycles(persistence_of(p, choice.max_dim, choice.engine, cycles=True)) for p in self._points]

    def _rows(self) -> MatchedRows:
        source = self.choice.source
        if source == NETWORKS:
            return self.networks.rows(self.choice.options, self.kind, self.say)
        rng = np.random.default_rng(0)
        count = self.choice.points
        if source in self.own:
            given = self.own[source]
            student, teacher = given if isinstance(given, tuple) else (given, given)
            if self.kind == "loss" and not isinstance(given, tuple):
                student = given + rng.normal(0, 0.1 * given.std(), given.shape)
            names = ("student", "teacher") if isinstance(given, tuple) else (source, source)
        else:
            teacher = SHAPES[source](count * DENSITY.get(source, 1), rng)
            student = teacher + rng.normal(0, 0.15, teacher.shape) if self.kind == "loss" else teacher
            names = (source, source)
        if self.kind == "loss" and names[0] == names[1]:
            names = (f"{source}, disturbed", source)
        colors = (STUDENT, TEACHER) if self.kind == "loss" else (TEACHER, TEACHER)
        scan: dict[str, Any] = {}
        positions = None
        if self.kind == "scene" and student.shape[1] == 3:  # own points are a scene by themselves
            positions = student - np.median(student, axis=0)  # float32 has no centimetres in the coordinates of a map
            scan = bare_scan(positions)
        note = "" if self.networks.trained() else f"This project has no trained networks. {UNTRAINED}"
        return MatchedRows(student, teacher, names, colors, note, positions, scan)


def normalize(rows: Float64[ndarray, "n c"], how: str) -> Float64[ndarray, "n c"]:
    """`normalize_features` of an array."""
    return normalize_features(torch.from_numpy(np.ascontiguousarray(rows)), how).numpy()

"""Scans and features of a project's networks, as rows for the explorers; read on demand and cached."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from topokd.data.dataset import ScanDataset
from topokd.errors import DataError, ParameterError, TopokdError
from topokd.explore.networks import (
    Network,
    Say,
    ScanOutputs,
    View,
    colourings,
    height_bytes,
    look_at,
    networks,
    profile_params,
    profiles,
)
from topokd.params import Params
from topokd.scans import SYNTHETIC, open_dataset
from topokd.viz.style import TEACHER

T = TypeVar("T")
REMEMBERED = 24  # parameters, data sets, scans and forward passes; the least recently used is dropped first
RAW = "coordinates"  # in place of a network's name: the points of the scan themselves
UNTRAINED = (
    "`make repro` trains them; features of teacher and students, predictions, errors and saliency maps are then "
    "offered here too."
)


@dataclass(frozen=True)
class SourceOptions:
    """Which features: profile, name of a scan, names of networks, encoder stage."""

    profile: str = ""
    scan: str = ""
    network: str = RAW
    teacher: str = ""
    stage: int = 4


@dataclass(frozen=True)
class MatchedRows:
    """Rows of a student and a teacher that belong together.

    Attributes:
        student: (n, a) features.
        teacher: (n, b) features of the same rows.
        names: labels of student and teacher.
        colors: colours of student and teacher.
        note: what the explorer offers only after training, or "".
        positions: (n, 3) metres, in the scan.
        scan: its points and colourings, for the browser.
    """

    student: Float64[ndarray, "n a"]
    teacher: Float64[ndarray, "n b"]
    names: tuple[str, str]
    colors: tuple[str, str]
    note: str = ""
    positions: Float64[ndarray, "n 3"] | None = None
    scan: dict[str, Any] = field(default_factory=dict)


class Networks:
    """The scans and networks of all profiles of the project.

    Args:
        profile: the one to begin with; None takes the first with trained networks, else the first.

    Raises:
        ParameterError: ``profile`` does not exist; lists those that do.
    """

    def __init__(self, profile: str | None = None) -> None:
        self.profiles = profiles()
        if profile is not None and profile not in self.profiles:
            known = ", ".join(self.profiles) or "none: this is not a project folder"
            raise ParameterError(f"profile is {profile!r}; choose one of {known}")
        self._memory: OrderedDict[Hashable, Any] = OrderedDict()
        ready = [name for name in self.profiles if self.networks(name)]
        self.first = profile or (ready + self.profiles + [""])[0]

    def available(self) -> bool:
        """Whether there is a project with profiles."""
        return bool(self.profiles)

    def trained(self) -> bool:
        """Whether any profile has trained networks."""
        return any(self.networks(name) for name in self.profiles)

    def params(self, profile: str) -> Params:
        """Parameters of a profile."""
        return self._remember(("params", profile), lambda: profile_params(profile))

    def networks(self, profile: str) -> list[Network]:
        """The profile's trained networks, listed again on each call because training may add some."""
        return networks(self.params(profile)) if profile else []

    def scans(self, profile: str) -> list[str]:
        """Names of the validation scans; none if the data set is not there."""
        try:
            params = self.params(profile)
            if params.data.dataset == SYNTHETIC and not params.data_root.is_dir():
                return ["the first one (the synthetic world is written first)"]
            return list(self._dataset(profile).names)
        except (TopokdError, OSError):
            return []

    def defaults(self) -> SourceOptions:
        """The first profile's student and its teacher on the scan of Figure 3."""
        return self._fitted(SourceOptions(profile=self.first)) if self.first else SourceOptions()

    def choose(self, options: SourceOptions, name: str, value: Any) -> SourceOptions:
        """`options` with one value changed, and the values that depend on it adapted."""
        return self._fitted(replace(options, **{name: value}))

    def _fitted(self, options: SourceOptions) -> SourceOptions:
        """Replace values that the profile does not have by its defaults."""
        by_name = {network.name: network for network in self.networks(options.profile)}
        params, scans = self.params(options.profile), self.scans(options.profile)
        students = [name for name, network in by_name.items() if not network.teacher]
        teachers = [name for name, network in by_name.items() if network.teacher]
        last = params.train_rows[-1] if params.train_rows else ""
        default = next((n for n in students if n.startswith(f"{last}-")), (students + teachers + [RAW])[0])
        network = options.network if options.network in by_name else default
        same_seed = [name for name in teachers if name.partition("-")[2] == network.partition("-")[2]]
        teacher = options.teacher if options.teacher in teachers else (same_seed + teachers + [""])[0]
        first = scans[min(params.evaluation.figure_scan, len(scans) - 1)] if scans else ""
        scan = options.scan if options.scan in scans else first
        stage = options.stage if options.stage < 5 else int(params.terms.get("topo", {}).get("stage", 4))
        return replace(options, network=network, teacher=teacher, scan=scan, stage=stage)

    def choosers(self, options: SourceOptions, kind: str) -> list[tuple[str, str, Any, list[Any]]]:
        """Name, label, value and options of the choosers of networks."""
        trained = self.networks(options.profile)
        shown = [{"value": n.name, "label": n.label} for n in trained]
        raw = [{"value": RAW, "label": "coordinates of the scan"}] if kind != "loss" or not trained else []
        entries: list[tuple[str, str, Any, list[Any]]] = [
            ("profile", "profile", options.profile, self.profiles),
            ("scan", "scan", options.scan, self.scans(options.profile)),
            ("network", "student" if kind == "loss" else "network", options.network, shown + raw),
        ]
        if trained and kind != "filtration":
            teachers = [{"value": n.name, "label": n.label} for n in trained if n.teacher]
            entries.append(("teacher", "teacher", options.teacher, teachers))
        if options.network != RAW:
            entries.append(("stage", "stage", options.stage, list(range(5))))
        return entries

    def rows(self, options: SourceOptions, kind: str, say: Say) -> MatchedRows:
        """Features of the chosen networks on the chosen scan.

        Raises:
            DataError: the profile has no scans here, or no teacher for a loss.
        """
        by_name = {network.name: network for network in self.networks(options.profile)}
        view = self._view(options.profile, options.scan, say)
        note = "" if by_name else f"Profile {options.profile} has no trained networks. {UNTRAINED}"
        if options.network == RAW:
            if kind == "loss":
                raise DataError(f"profile {options.profile} has no trained networks to compare: run `make repro`")
            stage = view.stage(2)
            name = "coordinates of the scan"
            scan = describe_scan(view, {})
            return MatchedRows(
                stage.positions, stage.positions, (name, name), (TEACHER, TEACHER), note, stage.positions, scan
            )
        student, teacher = by_name[options.network], by_name.get(options.teacher)
        if kind == "loss" and teacher is None:
            raise DataError(f"profile {options.profile} has no trained teacher: run `make repro`")
        wanted = [student] + ([teacher] if teacher and kind != "filtration" and teacher != student else [])
        looks = {one.name: self._look(options.profile, options.scan, one, view, say) for one in wanted}
        own = looks[student.name].features[options.stage].astype(np.float64)
        other = looks[teacher.name].features[options.stage].astype(np.float64) if teacher and kind == "loss" else own
        shown = {by_name[name].label: look for name, look in looks.items()}
        labels = (student.label, teacher.label if teacher and kind == "loss" else student.label)
        colors = (student.color, teacher.color if teacher and kind == "loss" else student.color)
        positions = view.stage(options.stage).positions
        scan = describe_scan(view, shown) if kind != "filtration" else {}
        return MatchedRows(own, other, labels, colors, note, positions if scan else None, scan)

    def _dataset(self, profile: str) -> ScanDataset:
        params = self.params(profile)
        return self._remember(("scans", profile), lambda: open_dataset(params.data, params.data_root, "val"))

    def _view(self, profile: str, scan: str, say: Say) -> View:
        params = self.params(profile)
        if params.data.dataset == SYNTHETIC and not params.data_root.is_dir():
            say("Writing the synthetic world, about a minute")
        dataset = self._dataset(profile)
        name = scan if scan in dataset.names else dataset.names[0]

        def read() -> View:
            say(f"Reading scan {name}")
            index = dataset.names.index(name)
            return View(dataset[index], params.data.voxel_size, dataset.class_names, dataset.palette)

        return self._remember(("view", profile, name), read)

    def _look(self, profile: str, scan: str, network: Network, view: View, say: Say) -> ScanOutputs:
        def run() -> ScanOutputs:
            say(f"Running {network.label} on the scan")
            return look_at(view, network)

        changed = network.checkpoint.stat().st_mtime_ns
        return self._remember(("look", profile, view.scan.name, network.name, changed), run)

    def _remember(self, key: Hashable, make: Callable[[], T]) -> T:
        if key not in self._memory:
            self._memory[key] = make()
            while len(self._memory) > REMEMBERED:
                self._memory.popitem(last=False)
        self._memory.move_to_end(key)
        value: T = self._memory[key]
        return value


def describe_scan(view: View, looks: dict[str, ScanOutputs]) -> dict[str, Any]:
    """A scan for the browser; the camera opens behind and above the sensor, as in the figures."""
    return {
        "name": view.scan.name,
        "positions": view.scan.xyz.astype(np.float32),
        "colourings": colourings(view, looks),
        "classes": list(view.class_names),
        "palette": [list(rgb) for rgb in view.palette],
        "eye": [-16.0, 0.0, 9.0],
        "target": [12.0, 0.0, -2.0],
    }


def bare_scan(xyz: Float64[ndarray, "n 3"]) -> dict[str, Any]:
    """Own points as a scan, coloured by height."""
    return {
        "name": "own points",
        "positions": xyz.astype(np.float32),
        "colourings": [{"name": "height", "kind": "value", "values": height_bytes(xyz)}],
        "classes": [],
        "palette": [],
        "eye": None,
        "target": None,
    }

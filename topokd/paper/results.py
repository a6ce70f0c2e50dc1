"""Everything a profile has measured so far: run records, cost and topology records, parameters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from topokd import params as P
from topokd.datasets import BENCHMARKS
from topokd.errors import DataError, ParameterError
from topokd.io import read_json
from topokd.paper.statistics import Interval, interval, paired
from topokd.project import TEACHER, run_name, run_record
from topokd.scans import SYNTHETIC, label_map_of
from topokd.viz.rows import Looks, labels, looks

DEFAULT_LAYOUT = "semantickitti"  # files of the synthetic world unless the profile says otherwise


@dataclass(frozen=True)
class Results:
    """The folder ``results/<profile>``, read once. Anything not there yet is None or empty.

    ``runs[network][seed]`` is a run record; a network is ``"teacher"`` or a row of the ablation. Only the profile's
    own seeds and rows are read: records that an earlier choice of parameters left behind are not mixed in.
    ``studies`` are the answers in ``study/answers`` of the project that holds the folder, by the study's profile.
    """

    folder: Path
    params: P.Params
    runs: dict[str, dict[int, dict[str, Any]]]
    records: dict[str, Any] = field(default_factory=dict)
    studies: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: str | Path) -> Results:
        """Read a results folder.

        Raises:
            DataError: naming a record that is damaged or lacks a field.
        """
        folder = Path(folder)
        params = P.load((folder / "params.yaml").resolve()) if (folder / "params.yaml").exists() else P.Params()
        runs: dict[str, dict[int, dict[str, Any]]] = {}
        for network in networks(params):
            for seed in seeds_of(network, params):
                path = run_record(folder, network, seed)
                if path.exists():
                    runs.setdefault(network, {})[seed] = _checked(read_json(path), path)
        others = sorted([*folder.glob("*.json"), *folder.glob("timings/*.json")])
        records = {path.relative_to(folder).with_suffix("").as_posix(): read_json(path) for path in others}
        return cls(folder, params, runs, records, _answers(folder))

    @classmethod
    def of_studies(cls, params: P.Params) -> Results:
        """The answers of the studies alone, without the profile's own runs."""
        return cls(params.results, params, {}, {}, _answers(params.results))

    @property
    def profile(self) -> str:
        """Name of the profile."""
        return self.params.profile

    @property
    def dataset(self) -> str:
        """Name of the data set for readers."""
        return dataset_title(self.params.data)

    @property
    def looks(self) -> Looks:
        """Label and colour of the networks that the profile trains, by name: the teacher, then the rows in order."""
        every = looks(self.params)
        return {network: every[network] for network in networks(self.params)}

    @property
    def labels(self) -> dict[str, str]:
        """Labels of `looks`."""
        return labels(self.looks)

    @property
    def rows(self) -> dict[str, P.Row]:
        """The rows of the ablation that the profile trains, in order."""
        return {name: self.params.rows[name] for name in networks(self.params)[1:]}

    @property
    def headline(self) -> tuple[str, ...]:
        """Networks with runs, for displays without room for all rows: the teacher, then ``params.panels.rows``."""
        return tuple(name for name in (TEACHER, *self.params.panels.rows) if self.runs.get(name))

    @property
    def metric(self) -> str:
        """The mIoU convention of the profile: ``miou_skip``, ``miou_zero`` or ``miou_one``."""
        return f"miou_{self.params.evaluation.absent}"

    def all_runs(self) -> Iterator[dict[str, Any]]:
        """Every run record, in the order of the networks, then of the seeds."""
        for seeds in self.runs.values():
            yield from seeds.values()

    def require_runs(self) -> Results:
        """The results themselves.

        Raises:
            DataError: the profile has no runs.
        """
        if not self.runs:
            raise DataError(f"{self.folder / 'runs'} has no run of this profile: run the training stages (`dvc repro`)")
        return self

    def missing(self) -> list[str]:
        """Names of the runs of the profile that do not exist yet."""
        wanted = [(network, seed) for network in networks(self.params) for seed in seeds_of(network, self.params)]
        return [run_name(network, seed) for network, seed in wanted if seed not in self.runs.get(network, {})]

    def scores(self, network: str, metric: str | None = None) -> dict[int, float]:
        """``{seed: percent}`` of a network; ``metric`` is a field of the evaluation (default: the profile's mIoU)."""
        metric = metric or self.metric
        values = {seed: run["evaluation"][metric] for seed, run in self.runs.get(network, {}).items()}
        return {seed: 100 * value for seed, value in values.items() if value is not None}

    def class_scores(self, network: str, name: str) -> dict[int, float]:
        """``{seed: IoU in percent}`` of a class; empty if it is in neither the validation scans nor the predictions."""
        by_seed = {}
        for seed, run in self.runs.get(network, {}).items():
            record = run["evaluation"]
            if name in record["class_names"]:
                index = record["class_names"].index(name)
                if record["iou"][index] is not None:
                    by_seed[seed] = 100 * record["iou"][index]
        return by_seed

    def invented_classes(self, network: str) -> list[str]:
        """Classes that a network predicts although no validation scan has them; each is an IoU of 0 in its mIoU."""
        names: dict[str, None] = {}
        for run in self.runs.get(network, {}).values():
            record = run["evaluation"]
            each = zip(record["class_names"], record["present"], record["iou"], strict=True)
            names |= {name: None for name, present, iou in each if iou is not None and not present}
        return list(names)

    def score(self, network: str, metric: str | None = None) -> Interval:
        """Mean over seeds in percent, with its interval."""
        return interval(self.scores(network, metric).values())

    def gain(self, network: str, over: str, metric: str | None = None) -> Interval:
        """Difference of two networks in points, paired by seed; the teacher of a seed counts for all its students."""
        return paired(self.by_student(network, metric), self.by_student(over, metric))

    def by_student(self, network: str, metric: str | None = None) -> dict[int, float]:
        """``{seed: percent}`` by the seed of the student; a teacher's score stands for each of its students."""
        scores = self.scores(network, metric)
        if network != TEACHER:
            return scores
        teachers = {seed: self.params.teacher_seed(seed) for seed in self.params.seeds}
        return {seed: scores[teacher] for seed, teacher in teachers.items() if teacher in scores}


def _answers(folder: Path) -> dict[str, Any]:
    for parent in folder.resolve().parents:
        if (parent / "study" / "answers").is_dir():
            return {path.stem: read_json(path) for path in sorted((parent / "study" / "answers").glob("*.json"))}
    return {}


def seeds_of(network: str, params: P.Params) -> tuple[int, ...]:
    """The seeds with which a profile trains a network."""
    return params.teacher_seeds if network == TEACHER else params.seeds


def networks(params: P.Params) -> tuple[str, ...]:
    """Names of the networks that a profile trains: the teacher, then its rows of the ablation."""
    return (TEACHER, *params.train_rows)


def dataset_title(data: P.Data) -> str:
    """Name of a data set for readers."""
    if data.dataset in BENCHMARKS:
        return BENCHMARKS[data.dataset].title
    if data.dataset != SYNTHETIC:
        try:
            label_map = label_map_of(data)
        except ParameterError:  # moved away since the results were made
            label_map = None
        return Path(data.dataset).stem if label_map is None else label_map.name
    layout = "" if data.layout == DEFAULT_LAYOUT else f" in the {BENCHMARKS[data.layout].title} layout"
    return f"synthetic street world{layout}"


def class_names(results: Results) -> list[str]:
    """The class names of the run records; empty without records."""
    return next((list(run["evaluation"]["class_names"]) for run in results.all_runs()), [])


def _checked(record: Any, path: Path) -> dict[str, Any]:
    try:
        evaluation = record["evaluation"]
        for name in ("run", "seed", "preset", "parameters", "steps", "dataset", "profile", "history"):
            record[name]
        classes = len(evaluation["class_names"])
        for name in ("iou", "present", "confusion"):
            if len(evaluation[name]) != classes:
                raise DataError(f"{path}: evaluation.{name} has {len(evaluation[name])} entries for {classes} classes")
        for name in ("miou_skip", "miou_zero", "accuracy", "points", "scans"):
            evaluation[name]
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: the run record lacks {error}; delete it and run `dvc repro`") from error
    return record

"""What a profile has measured so far: run records, cost and topology records, parameters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from topokd import params as P
from topokd.errors import DataError
from topokd.io import read_json
from topokd.paper.statistics import Interval, interval, paired

TEACHER = "teacher"
NAMES = {  # how exhibits call the runs
    "teacher": "Teacher",
    "plain": "Student without KD",
    "kd": "Student, KD",
    "kd_topo": "Student, KD + topology",
    "kd_grad": "Student, KD + saliency",
    "full": "Student, KD + topology + saliency",
}
DATASETS = {
    "synthetic": "synthetic street world",
    "semantickitti": "SemanticKITTI",
    "nuscenes": "nuScenes-lidarseg",
    "waymo": "Waymo Open",
}
LAYOUTS = {"nuscenes": " in nuScenes' layout", "waymo": " in Waymo's layout"}


@dataclass(frozen=True)
class Results:
    """The folder ``results/<profile>``, read once. Whatever is not there yet is None or empty.

    ``runs[variant][seed]`` is a run record; ``"teacher"`` counts as a variant. Only the profile's own seeds and
    variants are taken: a record that an earlier choice of parameters left behind is not mixed in.
    """

    folder: Path
    params: P.Params
    runs: dict[str, dict[int, dict[str, Any]]]
    records: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: str | Path) -> Results:
        """Read ``folder``. Raises :class:`DataError` naming a record that is damaged or lacks a field."""
        folder = Path(folder)
        params = P.load((folder / "params.yaml").resolve()) if (folder / "params.yaml").exists() else P.Params()
        runs: dict[str, dict[int, dict[str, Any]]] = {}
        for variant in (TEACHER, *params.train_rows):
            for seed in params.seeds:
                path = folder / "runs" / f"{variant}-seed{seed}.json"
                if path.exists():
                    runs.setdefault(variant, {})[seed] = _checked(read_json(path), path)
        others = sorted([*folder.glob("*.json"), *folder.glob("timings/*.json")])
        records = {path.relative_to(folder).with_suffix("").as_posix(): read_json(path) for path in others}
        return cls(folder, params, runs, records)

    @property
    def profile(self) -> str:
        """Name of the profile."""
        return self.params.profile

    @property
    def dataset(self) -> str:
        """Name of the dataset for readers."""
        data = self.params.data
        return DATASETS[data.dataset] + (LAYOUTS.get(data.layout, "") if data.dataset == "synthetic" else "")

    @property
    def metric(self) -> str:
        """The mIoU convention of the profile: ``miou_skip``, ``miou_zero`` or ``miou_one``."""
        return f"miou_{self.params.evaluation.absent}"

    def all_runs(self) -> Iterator[dict[str, Any]]:
        """Every run record, in the order of the variants, then of the seeds."""
        for seeds in self.runs.values():
            yield from seeds.values()

    def require_runs(self) -> Results:
        """The results themselves. Raises :class:`DataError` when no run of the profile is there."""
        if not self.runs:
            raise DataError(
                f"{self.folder / 'runs'} holds no run of this profile: run the training stages (`dvc repro`)"
            )
        return self

    def missing(self) -> list[str]:
        """Names of the runs that the profile asks for and that are not there."""
        wanted = [(v, s) for v in (TEACHER, *self.params.train_rows) for s in self.params.seeds]
        return [f"{v}-seed{s}" for v, s in wanted if s not in self.runs.get(v, {})]

    def scores(self, variant: str, metric: str | None = None) -> dict[int, float]:
        """``{seed: percent}`` of a variant; ``metric`` is a field of the evaluation (default: the profile's mIoU)."""
        metric = metric or self.metric
        values = {seed: run["evaluation"][metric] for seed, run in self.runs.get(variant, {}).items()}
        return {seed: 100 * value for seed, value in values.items() if value is not None}

    def class_scores(self, variant: str, name: str) -> dict[int, float]:
        """``{seed: IoU in percent}`` of one class; empty where the validation scans do not hold it."""
        found = {}
        for seed, run in self.runs.get(variant, {}).items():
            record = run["evaluation"]
            if name in record["class_names"]:
                index = record["class_names"].index(name)
                if record["present"][index] and record["iou"][index] is not None:
                    found[seed] = 100 * record["iou"][index]
        return found

    def score(self, variant: str, metric: str | None = None) -> Interval:
        """Mean over seeds in percent, with its interval."""
        return interval(self.scores(variant, metric).values())

    def gain(self, variant: str, over: str, metric: str | None = None) -> Interval:
        """Difference of two variants in points, paired by seed."""
        return paired(self.scores(variant, metric), self.scores(over, metric))


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

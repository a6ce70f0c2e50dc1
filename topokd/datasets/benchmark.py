"""Everything topokd knows about one benchmark, as one object.

A benchmark is a subpackage of `topokd.datasets` that exposes ``BENCHMARK``, a `Benchmark`. Only ``name``,
``classes``, ``splits``, ``folders`` and ``open_split`` are needed to train and evaluate on it; without
``check`` the splits are read and counted, and without ``submission`` there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Float64, Int64
from numpy import ndarray

from topokd.choices import Absent
from topokd.data.dataset import OnBadScan, ScanDataset
from topokd.data.label_space import LabelSpace
from topokd.datasets.metric import ABSENT_VALUE, Counts, OfficialScores, class_iou, mean_iou
from topokd.errors import DataError

if TYPE_CHECKING:
    from topokd.datasets.report import SplitReport

Split = str | Sequence[str] | Sequence[int]
"""A split by name, or the names (numbers, for SemanticKITTI) of sequences, scenes or segments."""


@dataclass(frozen=True)
class ReaderOptions:
    """How a reader reads a split; a benchmark accepts some of the first four (`Benchmark.accepts`).

    Attributes:
        sweeps: k > 1 adds the k - 1 scans before each one.
        version: release of the tables (nuScenes); None: the one that holds the split.
        point_range: x, y, z from, x, y, z to, in metres: crop of training scans; () keeps all points.
        frames: file that lists the frames to read; None: all of the split.
        on_bad_scan: "raise", "skip" or "keep".
        cache: how many scans are kept in memory.
    """

    sweeps: int = 1
    version: str | None = None
    point_range: tuple[float, ...] = ()
    frames: Path | None = None
    on_bad_scan: OnBadScan = "raise"
    cache: int = 128


CHOICES = ("sweeps", "version", "point_range", "frames")
"""The reader options that only some benchmarks accept."""


def range_of(given: Sequence[float]) -> Float64[ndarray, "2 3"]:
    """Lowest and highest x, y, z.

    Raises:
        DataError: ``given`` is anything but six numbers, the lower ones first.
    """
    try:
        low, high = np.asarray(given, np.float64).reshape(2, 3)
    except (TypeError, ValueError):
        low = high = np.zeros(3)
    if not (low < high).all():
        raise DataError(f"point_range is {given!r}: give six numbers, x, y, z from, then x, y, z to")
    return np.stack([low, high])


@dataclass(frozen=True)
class SplitSize:
    """Published size of a split: ``count`` of ``unit`` (scans, keyframes, segments), and the publication."""

    count: int
    unit: str
    citation: str


@dataclass(frozen=True)
class ClassShares:
    """Published share of each class among the points that are not ignored, over all ``splits`` together."""

    splits: tuple[str, ...]
    shares: dict[str, float]

    @classmethod
    def of_counts(cls, splits: tuple[str, ...], counts: Mapping[str, float]) -> ClassShares:
        """Shares from counts per class name."""
        total = sum(counts.values())
        return cls(splits, {name: count / total for name, count in counts.items()})


@dataclass(frozen=True)
class Release:
    """Published facts about one release: the size of each split, and class shares if available."""

    sizes: dict[str, SplitSize]
    shares: ClassShares | None = None


@dataclass(frozen=True)
class Submission:
    """How predictions are handed in to a benchmark's server.

    Attributes:
        splits: the splits that the server evaluates.
        write: ``write(path, dataset, predictions, split, details)``; predictions are (scan index, classes) pairs.
        validate: ``validate(path, dataset, split)``: list of the reasons for which the server would reject the file.
        prepare: ``prepare(dataset, details)``: raises before hours of prediction if the submission cannot succeed.
        details: fields that the server requires besides the predictions: name to description.
    """

    splits: tuple[str, ...]
    write: Callable[[Path, Any, Iterable[tuple[int, Int64[ndarray, " _"]]], str, Mapping[str, Any]], None]
    validate: Callable[[Path, Any, str], list[str]]
    prepare: Callable[[Any, Mapping[str, Any]], None] = lambda dataset, details: None
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One benchmark.

    Attributes:
        name: key in ``BENCHMARKS``, and value of ``data.dataset``.
        classes: names, colours and file ids.
        splits: names of the splits.
        folders: folders below the root by which a copy is recognised, and that its fingerprint covers.
        open_split: the reader: ``open_split(root, split, options)``.
        accepts: names of the reader options that ``open_split`` uses, out of `CHOICES`.
        absent: how a class in neither truth nor prediction counts in the mean IoU.
        extra_scores: further numbers of the benchmark's tool, from the counts and the filled IoU; raises DataError
            where the tool would reject the predictions.
        releases: published sizes and class shares, by release.
        check: the benchmark's own check of a copy; None: read every split and compare its size.
        submission: None if there is no server.

    Examples:
        >>> from topokd.datasets import BENCHMARKS
        >>> benchmark = BENCHMARKS["waymo"]
        >>> benchmark.title, benchmark.splits, benchmark.classes.num_classes
        ('Waymo Open', ('train', 'val', 'test'), 22)
    """

    name: str
    classes: LabelSpace
    splits: tuple[str, ...]
    folders: tuple[str, ...]
    open_split: Callable[[Path, Split, ReaderOptions], ScanDataset]
    accepts: frozenset[str] = frozenset()
    absent: Absent = "skip"
    extra_scores: Callable[[Counts, Float[ndarray, " c"]], dict[str, float]] = lambda counts, iou: {}
    releases: dict[str, Release] = field(default_factory=dict)
    check: Callable[[Path], Iterator[SplitReport]] | None = None
    submission: Submission | None = None

    @property
    def title(self) -> str:
        """Name in tables and messages."""
        return self.classes.name

    def open(self, root: str | Path, split: Split, **options: Any) -> ScanDataset:
        """The scans of a split.

        Args:
            root: folder of the data set.
            split: one of `splits`, or names of sequences.
            **options: fields of `ReaderOptions`.

        Raises:
            DataError: the benchmark does not accept an option, or the reader raised it.
        """
        chosen = ReaderOptions(**options)
        defaults = {option.name: option.default for option in fields(ReaderOptions)}
        for option in CHOICES:
            if option not in self.accepts and getattr(chosen, option) != defaults[option]:
                known = ", ".join(sorted(self.accepts)) or "none"
                raise DataError(f"{self.title} does not accept the option {option}; it accepts: {known}")
        return self.open_split(Path(root), split, chosen)

    def is_at(self, root: Path) -> bool:
        """Whether ``root`` holds any of the benchmark's folders."""
        return any((root / folder).is_dir() for folder in self.folders)

    def official_scores(self, counts: Counts) -> OfficialScores:
        """The numbers that the benchmark's own tool prints for the predictions in ``counts``.

        Args:
            counts: a `topokd.evaluation.ConfusionMatrix`, or anything with its three arrays.

        Raises:
            DataError: the classes are not the benchmark's, or its tool would reject the predictions.

        Examples:
            >>> from topokd.datasets import BENCHMARKS
            >>> from topokd.evaluation import ConfusionMatrix
            >>> cm = ConfusionMatrix(22, BENCHMARKS["waymo"].classes.class_names)
            >>> cm.update([0, 0], [0, 1])
            >>> scores = BENCHMARKS["waymo"].official_scores(cm)
            >>> scores.iou["car"], scores.iou["truck"], scores.iou["bus"], round(scores.miou, 4)
            (0.5, 0.0, 1.0, 0.9318)
        """
        names = self.classes.class_names
        if counts.class_names != names:
            raise DataError(
                f"{self.classes.name} has the {len(names)} classes {', '.join(names)}; the confusion matrix "
                f"counts {len(counts.class_names)}: {', '.join(counts.class_names)}"
            )
        iou = class_iou(counts.matrix, counts.missed)
        filled = np.where(np.isnan(iou), ABSENT_VALUE[self.absent], iou)
        return OfficialScores(
            miou=mean_iou(iou, self.absent),
            iou=dict(zip(names, filled.tolist(), strict=True)),
            extra=self.extra_scores(counts, filled),
        )

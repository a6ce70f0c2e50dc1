"""Results of the check of a data set: one report per split, compared with the published one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from topokd.data.dataset import ScanDataset
from topokd.data.scan import IGNORE
from topokd.datasets.benchmark import Release
from topokd.errors import DataError
from topokd.progress import Progress

INCOMPLETE_COPY_THRESHOLD = 0.95
"""A split with at least this share of its published size, but not all of it, counts as an incomplete copy."""
SHARE_TOLERANCE = 0.02
"""Largest difference between a class's share in complete splits and the published one."""
READ_ERRORS = (OSError, ValueError, KeyError, TypeError)
"""Exceptions that readers raise on damaged files; DataError is a ValueError."""


@dataclass
class SplitReport:
    """One split of a copy.

    Attributes:
        name: name of the split.
        release: its release of the benchmark (``Benchmark.releases``).
        sequences: number of sequences, scenes or segments.
        scans: number of scans that could be read.
        size: size of this copy in the unit of ``published``.
        published: published size and its unit; None if none is published.
        lengths: points of each scan.
        class_points: points per class name.
        shares: published share per class, if the split belongs to those it is published for.
        ignored: points without a class.
        problems: sentences on everything wrong.
        notes: sentences on limits of the copy that are not problems.
    """

    name: str
    release: str
    sequences: int = 0
    scans: int = 0
    size: int = 0
    published: tuple[int, str] | None = None
    lengths: list[int] = field(default_factory=list)
    class_points: dict[str, int] = field(default_factory=dict)
    shares: dict[str, float] | None = None
    ignored: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether this is the whole published split."""
        return self.published is not None and self.size == self.published[0]

    @property
    def subset(self) -> bool:
        """Whether this is a part of the published split."""
        return self.published is not None and self.size < self.published[0]

    def lines(self) -> Iterator[str]:
        """The report as lines of text."""
        yield f"{self.name}: {self.scans:,} scans of {self.sequences:,} sequences, {self._completeness()}"
        if self.lengths:
            yield (
                f"  points per scan: {min(self.lengths):,} to {max(self.lengths):,}, "
                f"median {int(np.median(self.lengths)):,}"
            )
        total = sum(self.class_points.values())
        if total:
            yield f"  {total:,} labelled points, {self.ignored:,} ignored"
            for name, count in self.class_points.items():
                published = f"   published {100 * self.shares[name]:7.3f} %" if self.shares else ""
                yield f"  {name:22s}{100 * count / total:8.3f} %{published}"
        yield from (f"  note: {note}" for note in self.notes)

    def _completeness(self) -> str:
        if self.published is None:
            return "no published size"
        count, unit = self.published
        if self.complete:
            return f"complete ({count:,} {unit})"
        return f"{'a subset: ' if self.subset else ''}{self.size:,} of {count:,} published {unit}"


def new_report(split: str, name: str, release: Release) -> SplitReport:
    """An empty report of ``split``, with what release ``name`` publishes about it.

    Args:
        split: name of the split.
        name: name of the release.
        release: its published sizes.
    """
    size, known = release.sizes.get(split), release.shares
    return SplitReport(
        split,
        name,
        published=(size.count, size.unit) if size else None,
        shares=known.shares if known and split in known.splits else None,
    )


def format_error(error: Exception, where: object) -> str:
    """A problem's text: DataErrors name their file, other exceptions get ``where`` in front."""
    return str(error) if isinstance(error, DataError) else f"{where}: {type(error).__name__}: {error}"


def read_all(dataset: ScanDataset, report: SplitReport) -> None:
    """Read every scan, count its points into ``report``, and add the scans that cannot be read to its problems."""
    counts = np.zeros(dataset.num_classes, np.int64)
    for index in Progress(range(len(dataset)), f"checking {report.name}"):
        try:
            scan = dataset[index]
        except READ_ERRORS as error:
            report.problems.append(format_error(error, dataset.names[index]))
            continue
        report.scans += 1
        report.lengths.append(len(scan))
        if scan.label is not None:
            labelled = scan.label[scan.label != IGNORE]
            counts += np.bincount(labelled, minlength=dataset.num_classes)
            report.ignored += len(scan) - len(labelled)
    if report.ignored and not counts.any():
        report.problems.append(
            f"no point of {report.name} has a class, {report.ignored:,} are without: are its labels all 0, or of "
            "another data set?"
        )
    for name, count in zip(dataset.class_names, counts.tolist(), strict=True):
        report.class_points[name] = report.class_points.get(name, 0) + count


def compare_size(report: SplitReport) -> SplitReport:
    """Add a problem if the split is larger than the published one or lacks a few scans; returns ``report``."""
    if report.published is None:
        return report
    published, unit = report.published
    missing = published - report.size
    if missing < 0:
        report.problems.append(
            f"{report.name} holds {report.size:,} {unit}, {-missing:,} more than are published: files of another data "
            "set are among them"
        )
    elif 0 < missing <= (1 - INCOMPLETE_COPY_THRESHOLD) * published:
        report.problems.append(
            f"{report.name} lacks {missing:,} of {published:,} {unit}: so few are rarely left out on purpose, the copy "
            "is probably incomplete; copy or unpack it again"
        )
    return report


def compare_shares(splits: list[SplitReport], name: str, release: Release) -> None:
    """Add a problem per class with a share far from the published one, if all splits that it covers are complete.

    Args:
        splits: reports of the splits that were read; the problems are added to them.
        name: name of the release.
        release: its published shares.
    """
    published = release.shares
    if published is None:
        return
    whole = [split for split in splits if split.release == name and split.shares and split.complete]
    total = sum(sum(split.class_points.values()) for split in whole)
    if len(whole) < len(published.splits) or not total:
        return
    for class_name, share in published.shares.items():
        measured = sum(split.class_points[class_name] for split in whole) / total
        if abs(measured - share) > SHARE_TOLERANCE:
            whole[0].problems.append(
                f"{' and '.join(published.splits)}: {100 * measured:.2f} % of the labelled points are {class_name}, "
                f"but {100 * share:.2f} % are published: these are different labels"
            )

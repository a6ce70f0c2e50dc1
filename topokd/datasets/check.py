"""A look through a whole data set: what is there, what is missing or damaged, and how much of the published one it is.

Every scan is read once. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from topokd.data.dataset import ScanDataset
from topokd.data.scan import IGNORE
from topokd.datasets.nuscenes.reader import VERSIONS, NuScenesLidarSeg
from topokd.datasets.published import SPLIT_SIZES, class_shares
from topokd.datasets.semantickitti.reader import SPLITS, SemanticKITTI
from topokd.datasets.waymo.reader import SPLITS as WAYMO_FOLDERS
from topokd.datasets.waymo.reader import WaymoSegmentation
from topokd.errors import AbsentSplitError, DataError
from topokd.progress import Progress

Kind = Literal["semantickitti", "nuscenes", "waymo"]
NEARLY = 0.95
"""A split with this share of its published size or more, but not all of it, is taken for an incomplete copy."""
SHARE_TOLERANCE = 0.02
"""How far a class's share in complete splits may be from the published one."""
_DAMAGE = (OSError, ValueError, KeyError, TypeError)
"""What damaged files do to a reader; DataError is a ValueError."""


@dataclass
class SplitReport:
    """One split: ``parts`` sequences, scenes or segments, ``scans`` that could be read, and what is wrong.

    ``source``: the data set, nuScenes by its version; ``lengths``: points of each scan; ``class_points`` per class
    name; ``published``: its size there and the unit, None where none is published; ``size``: this copy's in that unit;
    ``shares``: the published share per class, of the splits that it is published for; ``notes``: what is no problem but
    rules something out.
    """

    name: str
    source: str
    parts: int = 0
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
        """The report in words."""
        yield f"{self.name}: {self.scans:,} scans of {self.parts:,} parts, {self._completeness()}"
        if self.lengths:
            yield (
                f"  points per scan: {min(self.lengths):,} to {max(self.lengths):,}, "
                f"median {int(np.median(self.lengths)):,}"
            )
        total = sum(self.class_points.values())
        if total:
            yield f"  {total:,} labelled points, {self.ignored:,} ignored"
            for name, count in self.class_points.items():
                beside = f"   published {100 * self.shares[name]:7.3f} %" if self.shares else ""
                yield f"  {name:22s}{100 * count / total:8.3f} %{beside}"
        yield from (f"  note: {note}" for note in self.notes)

    def _completeness(self) -> str:
        if self.published is None:
            return "no published size"
        count, unit = self.published
        if self.complete:
            return f"complete ({count:,} {unit})"
        return f"{'a subset: ' if self.subset else ''}{self.size:,} of {count:,} published {unit}"


@dataclass
class CheckReport:
    """What :func:`check_dataset` found."""

    root: Path
    dataset: str
    splits: list[SplitReport]

    @property
    def problems(self) -> list[str]:
        """All problems of all splits; empty when nothing is wrong (a subset is nothing wrong)."""
        return [problem for split in self.splits for problem in split.problems]


def detect(root: str | Path) -> Kind:
    """Whose folders these are. Raises :class:`~topokd.errors.DataError` when they are nobody's."""
    root = Path(root)
    if (root / "sequences").is_dir():
        return "semantickitti"
    if any((root / version).is_dir() for version in VERSIONS):
        return "nuscenes"
    if any((root / folder).is_dir() for folder in WAYMO_FOLDERS.values()):
        return "waymo"
    raise DataError(
        f"{root} is no data set that topokd knows: it has neither `sequences/` (SemanticKITTI) nor `v1.0-.../` "
        "(nuScenes) nor `training/`, `validation/` or `testing/` (Waymo v2); name the folder that holds it"
    )


def check_dataset(root: str | Path, dataset: Kind | None = None) -> CheckReport:
    """Read every scan of every split that is there, and compare with what is published.

    A problem is a file that is missing, damaged or superfluous, labels that do not fit, a split's folder without scans,
    a split that is larger than the published one or lacks a few scans of it, and in complete splits a class whose share
    is far from the published one (SemanticKITTI: train; nuScenes: train and val together). Poses and sweeps, which one
    scan alone does not need, are a note where none is there, and a problem where some are.

    >>> import tempfile
    >>> from topokd.data import Scan
    >>> from topokd.datasets.semantickitti.files import write_scan
    >>> root = tempfile.mkdtemp()
    >>> write_scan(root, 8, 0, Scan(np.ones((5, 3)), np.zeros(5), np.full(5, 8)))
    >>> report = check_dataset(root)
    >>> report.dataset, [(split.name, split.scans, split.subset) for split in report.splits], report.problems
    ('semantickitti', [('val', 1, True)], [])
    """
    root = Path(root)
    kind = dataset or detect(root)
    check = {"semantickitti": _semantickitti, "nuscenes": _nuscenes, "waymo": _waymo}[kind]
    splits = list(check(root))
    if not splits:
        raise DataError(f"{root} holds no split of {kind}; name the folder that holds it, or another --dataset")
    _compare_shares(splits)
    return CheckReport(root, kind, splits)


def _semantickitti(root: Path) -> Iterator[SplitReport]:
    folder = root / "sequences"
    if not folder.is_dir():
        raise DataError(f"{folder} does not exist: this is not SemanticKITTI's layout")
    official = {number for numbers in SPLITS.values() for number in numbers}
    present = {int(p.name) for p in folder.iterdir() if p.name.isdigit() and p.is_dir()}
    groups = [*SPLITS.items(), ("sequences of no split", tuple(sorted(present - official)))]
    for name, numbers in groups:
        here = [number for number in numbers if number in present]
        if not here:
            continue
        report = _split(name, "semantickitti")
        report.parts = len(here)
        for number in here:
            part = folder / f"{number:02d}"
            points, labels = (
                {file.stem for file in (part / sub).glob(f"*{ending}") if file.name[0] != "."}
                for sub, ending in (("velodyne", ".bin"), ("labels", ".label"))
            )
            report.size += len(points)
            report.problems += [f"{part}/labels/{stem}.label belongs to no scan" for stem in sorted(labels - points)]
            if not points:
                report.problems.append(f"{part}/velodyne holds no scan: copy it again")
            report.problems += _lost_motion(folder, number, present)
        if report.size:
            chosen = tuple(number for number in here if (folder / f"{number:02d}" / "velodyne").is_dir())
            dataset = SemanticKITTI(root, "test" if name == "test" else chosen, on_bad_scan="keep", cache=0)
            _read_all(dataset, report)
            _note_motion(dataset, report)
        yield _compared(report)


def _lost_motion(folder: Path, number: int, present: set[int]) -> list[str]:
    """Pose files that a sequence lacks and others of its kind, with or without labels, have."""
    alike = [other for other in present if (other in SPLITS["test"]) == (number in SPLITS["test"])]
    return [
        f"{folder / f'{number:02d}' / name} does not exist, but other sequences have theirs: copy it again"
        for name in ("poses.txt", "calib.txt")
        if not (folder / f"{number:02d}" / name).is_file()
        and any((folder / f"{other:02d}" / name).is_file() for other in alike)
    ]


def _note_motion(dataset: SemanticKITTI, report: SplitReport) -> None:
    """Say which sequences cannot be accumulated; the last scan needs the whole of ``poses.txt``."""
    faults = []
    for last in {name.split("/")[0]: name for name in dataset.names}.values():
        try:
            dataset.pose(last)
        except DataError as error:
            faults.append(str(error))
    if faults:
        report.notes.append(f"{len(faults)} sequences cannot be read with sweeps above 1, the first: {faults[0]}")


def _nuscenes(root: Path) -> Iterator[SplitReport]:
    reports: list[SplitReport] = []
    known: set[Path] | None = set()
    folders = ["samples/LIDAR_TOP", "sweeps/LIDAR_TOP"]
    for version in VERSIONS:
        if not (root / version).is_dir():
            continue
        folders += [f"lidarseg/{version}", f"panoptic/{version}"]
        dataset = None
        for name in SPLIT_SIZES[version]:
            report = _split(name, version)
            try:
                dataset = NuScenesLidarSeg(root, name, version, on_bad_scan="keep", cache=0)
            except AbsentSplitError:
                continue
            except _DAMAGE as error:
                report.problems.append(_told(error, root / version))
                reports.append(report)
                known = None  # tables that cannot be read do not tell which files are superfluous
                continue
            report.parts, report.size = len(dataset.parts), len(dataset)
            _read_all(dataset, report)
            reports.append(_compared(report))
        if dataset is None:
            known = None
        else:  # the tables are those of all its splits
            scans, sweeps = dataset.named_files()
            known = None if known is None else known | scans | sweeps
            _count_sweeps(sweeps, reports[-1])
    if known is not None and reports:
        reports[-1].problems += [problem for folder in folders for problem in _strays(root / folder, known)]
    yield from reports


def _count_sweeps(sweeps: set[Path], report: SplitReport) -> None:
    lost = sorted(file for file in sweeps if not file.is_file())
    if lost:
        told = f"{len(lost):,} of the {len(sweeps):,} sweeps of {report.source} are missing, the first: {lost[0]}"
        if len(lost) == len(sweeps):
            report.notes.append(f"{told}; data.sweeps above 1 needs them")
        else:
            report.problems.append(f"{told}: unpack the file blobs again")


def _strays(folder: Path, known: set[Path]) -> list[str]:
    there = folder.iterdir() if folder.is_dir() else ()
    strays = sorted(file for file in there if file.name[0] != "." and file not in known)
    if not strays:
        return []
    return [
        f"{folder} holds {len(strays):,} files that no table names, the first: {strays[0].name}: they are of another "
        "version or data set; move them away, or unpack the metadata again"
    ]


def _waymo(root: Path) -> Iterator[SplitReport]:
    for name, folder in WAYMO_FOLDERS.items():
        if not (root / folder).is_dir():
            continue
        report = _split(name, "waymo")
        labels = () if name == "test" else ("lidar_segmentation",)
        components = ("lidar", "lidar_pose", "vehicle_pose", "lidar_calibration", *labels)
        held = {c: {p.stem for p in (root / folder / c).glob("*.parquet") if p.name[0] != "."} for c in components}
        segments = sorted(set().union(*held.values()))
        if not segments:
            report.problems.append(
                f"{root / folder} holds no segment in {', '.join(components)}: download them, or remove the folder"
            )
        report.parts = report.size = len(segments)
        for segment in segments:
            lacking = [component for component in components if segment not in held[component]]
            report.problems += [
                f"{root / folder / component / segment}.parquet is missing beside its partners: download it"
                for component in lacking
            ]
            if lacking:
                continue
            try:
                dataset = WaymoSegmentation(root, (segment,), on_bad_scan="keep", cache=0, labelled=name != "test")
            except _DAMAGE as error:
                report.problems.append(_told(error, root / folder / segment))
                continue
            _read_all(dataset, report)
        yield _compared(report)


def _told(error: Exception, where: object) -> str:
    return str(error) if isinstance(error, DataError) else f"{where}: {type(error).__name__}: {error}"


def _split(name: str, source: str) -> SplitReport:
    size, known = SPLIT_SIZES[source].get(name), class_shares().get(source)
    return SplitReport(
        name,
        source,
        published=(size.count, size.unit) if size else None,
        shares=known.shares if known and name in known.splits else None,
    )


def _read_all(dataset: ScanDataset, report: SplitReport) -> None:
    """Read every scan and count; what cannot be read is a problem."""
    counts = np.zeros(dataset.num_classes, np.int64)
    for index in Progress(range(len(dataset)), f"checking {report.name}"):
        try:
            scan = dataset[index]
        except _DAMAGE as error:
            report.problems.append(_told(error, dataset.names[index]))
            continue
        report.scans += 1
        report.lengths.append(len(scan))
        if scan.label is not None:
            kept = scan.label[scan.label != IGNORE]
            counts += np.bincount(kept, minlength=dataset.num_classes)
            report.ignored += len(scan) - len(kept)
    for name, count in zip(dataset.class_names, counts.tolist(), strict=True):
        report.class_points[name] = report.class_points.get(name, 0) + count


def _compared(report: SplitReport) -> SplitReport:
    """Add what does not agree with the published split."""
    if report.published is None:
        return report
    published, unit = report.published
    lost = published - report.size
    if lost < 0:
        report.problems.append(
            f"{report.name} holds {report.size:,} {unit}, {-lost:,} more than are published: another data set's files "
            "are among them"
        )
    elif 0 < lost <= (1 - NEARLY) * published:
        report.problems.append(
            f"{report.name} lacks {lost:,} of {published:,} {unit}: too few to be left out on purpose, so the copy "
            "is incomplete; copy or unpack it again"
        )
    return report


def _compare_shares(splits: list[SplitReport]) -> None:
    """Add the classes whose share is far from the published one, where all the splits that it covers are whole."""
    for source, published in class_shares().items():
        whole = [split for split in splits if split.source == source and split.shares and split.complete]
        total = sum(sum(split.class_points.values()) for split in whole)
        if len(whole) < len(published.splits) or not total:
            continue
        for name, share in published.shares.items():
            found = sum(split.class_points[name] for split in whole) / total
            if abs(found - share) > SHARE_TOLERANCE:
                whole[0].problems.append(
                    f"{' and '.join(published.splits)}: {100 * found:.2f} % of the labelled points are {name}, "
                    f"published are {100 * share:.2f} %: these are other labels"
                )

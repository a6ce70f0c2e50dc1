"""Check of a data set that a label map describes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from topokd.data.formats.intensity import UNLIKE
from topokd.datasets.benchmark import Release
from topokd.datasets.check import CheckReport
from topokd.datasets.report import SplitReport, new_report, read_all
from topokd.errors import AbsentSplitError, DataError
from topokd.label_maps.dataset import MappedDataset, open_mapped
from topokd.label_maps.description import LabelMap


def check_mapped(root: str | Path, label_map: LabelMap) -> CheckReport:
    """Read every scan of every split present: counts, classes, and everything that cannot be read.

    Scans of the split "train" without a file of labels are only noted: `topokd adapt` learns from them.

    Args:
        root: folder of the data set.
        label_map: its description.

    Returns:
        Counts, class shares and problems of each split.

    Raises:
        DataError: ``root`` has no split of the data set.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> from topokd.label_maps import load_label_map
        >>> drive = Path(tempfile.mkdtemp()) / "sequences" / "03"
        >>> for folder in ("velodyne", "labels"):
        ...     (drive / folder).mkdir(parents=True)
        >>> np.ones((4, 4), "<f4").tofile(drive / "velodyne" / "000001.bin")
        >>> np.array([4, 4, 5, 0], "<u4").tofile(drive / "labels" / "000001.label")
        >>> report = check_mapped(drive.parents[1], load_label_map("semanticposs"))
        >>> report.splits[0].size, report.splits[0].problems
        (1, [])
    """
    root = Path(root)
    absent: dict[str, str] = {}
    splits = list(_reports(root, label_map, absent))
    if not splits:
        raise DataError(f"{root} has no split of {label_map.name}; {next(iter(absent.values()))}")
    splits[0].notes += [f"there is no split {name}: {why}" for name, why in absent.items()]
    return CheckReport(root, label_map.name, splits)


def _reports(root: Path, label_map: LabelMap, absent: dict[str, str]) -> Iterator[SplitReport]:
    """A report for each split that is there; why another is not goes to ``absent``."""
    for split in label_map.split_names:
        try:
            dataset = open_mapped(root, label_map, split, on_bad_scan="keep", cache=0)
        except AbsentSplitError as error:
            absent[split] = str(error)
            continue
        report = new_report(split, label_map.name, Release({}))
        report.sequences, report.size = len(dataset.sequences), len(dataset)
        if isinstance(dataset, MappedDataset) and dataset.intensity_scale is not None:
            report.notes.append(
                f"the label map gives no intensity_scale: all intensities are divided by {dataset.intensity_scale:g}, "
                "guessed from a sample of the scans"
            )
        if isinstance(dataset, MappedDataset) and split == "train" and (bare := dataset.unlabelled()):
            dataset.labels_may_lack = True
            report.notes.append(
                f"{len(bare)} of {len(dataset)} scans have no labels, {bare[0]} first: `topokd adapt` learns from them "
                "without, but a profile's training stops at them (data.on_bad_scan: skip leaves them out)"
            )
        read_all(dataset, report)
        if isinstance(dataset, MappedDataset):
            _note_files(dataset, report)
        yield report


def _note_files(dataset: MappedDataset, report: SplitReport) -> None:
    """Add what is missing to the report of a split that was read, and what was assumed about its scans."""
    if dataset.absent:
        report.problems.append(
            f"{len(dataset.absent)} scans that {dataset.label_map.splits[report.name]} names are not there, "
            f"{dataset.absent[0]} first: copy them"
        )
    if bare := dataset.labels_without_scans():
        report.problems.append(f"{len(bare)} files of labels have no scan, {bare[0]} first: copy the scans")
    if not dataset.labelled and report.name != "test":
        report.notes.append(f"no scan has labels: they are expected at {dataset.label_map.labels}")
    for kind, (note, names) in dataset.noted.items():
        first = next(iter(names))
        if kind == UNLIKE:
            report.notes.append(
                f"{len(names)} scans have intensities unlike those of the others, {first} first: they were clipped, or "
                "got a scale of their own; add intensity_scale to the label map"
            )
        else:
            report.notes.append(f"{len(names)} scans, {first} first: {note}")

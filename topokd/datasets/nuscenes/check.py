"""Check a copy of nuScenes-lidarseg: tables, scans, labels, sweeps, and files that no table names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from topokd.datasets.nuscenes.published import RELEASES
from topokd.datasets.nuscenes.reader import NuScenesLidarSeg
from topokd.datasets.report import READ_ERRORS, SplitReport, compare_size, format_error, new_report, read_all
from topokd.errors import AbsentSplitError


def check(root: Path) -> Iterator[SplitReport]:
    """One report per split of each version present."""
    reports: list[SplitReport] = []
    named: set[Path] = set()
    tables_readable = True  # damaged tables do not tell which files are superfluous
    folders = ["samples/LIDAR_TOP", "sweeps/LIDAR_TOP"]
    for version, release in RELEASES.items():
        if not (root / version).is_dir():
            continue
        folders += [f"lidarseg/{version}", f"panoptic/{version}"]
        dataset = None
        for split in release.sizes:
            report = new_report(split, version, release)
            try:
                dataset = NuScenesLidarSeg(root, split, version, on_bad_scan="keep", cache=0)
            except AbsentSplitError:
                continue
            except READ_ERRORS as error:
                report.problems.append(format_error(error, root / version))
                reports.append(report)
                tables_readable = False
                continue
            report.sequences, report.size = len(dataset.sequences), len(dataset)
            read_all(dataset, report)
            reports.append(compare_size(report))
        if dataset is None:
            tables_readable = False
        else:  # the tables cover all splits of the version
            scans, sweeps = dataset.named_files()
            named |= scans | sweeps
            _check_sweeps(sweeps, reports[-1])
    if tables_readable and reports:
        reports[-1].problems += [problem for folder in folders for problem in _superfluous(root / folder, named)]
    yield from reports


def _check_sweeps(sweeps: set[Path], report: SplitReport) -> None:
    missing = sorted(file for file in sweeps if not file.is_file())
    if missing:
        text = (
            f"{len(missing):,} of the {len(sweeps):,} sweeps of {report.release} are missing, the first: {missing[0]}"
        )
        if len(missing) == len(sweeps):
            report.notes.append(f"{text}; data.sweeps above 1 needs them")
        else:
            report.problems.append(f"{text}: unpack the file blobs again")


def _superfluous(folder: Path, named: set[Path]) -> list[str]:
    files = folder.iterdir() if folder.is_dir() else ()
    superfluous = sorted(file for file in files if file.name[0] != "." and file not in named)
    if not superfluous:
        return []
    return [
        f"{folder} holds {len(superfluous):,} files that no table names, the first: {superfluous[0].name}: they belong "
        "to another version or data set; move them away, or unpack the metadata again"
    ]

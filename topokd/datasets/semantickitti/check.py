"""Check a copy of SemanticKITTI: scans and labels in pairs, poses, sizes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from topokd.datasets.report import SplitReport, compare_size, new_report, read_all
from topokd.datasets.semantickitti.published import RELEASES
from topokd.datasets.semantickitti.reader import SPLITS, SemanticKITTI
from topokd.errors import DataError


def check(root: Path) -> Iterator[SplitReport]:
    """One report per split present, and one of the sequences that belong to no split.

    Raises:
        DataError: the folder ``sequences`` is missing.
    """
    folder = root / "sequences"
    if not folder.is_dir():
        raise DataError(f"{folder} does not exist: {root} is not in the layout of SemanticKITTI")
    official = {number for numbers in SPLITS.values() for number in numbers}
    present = {int(p.name) for p in folder.iterdir() if p.name.isdigit() and p.is_dir()}
    groups = [*SPLITS.items(), ("sequences of no split", tuple(sorted(present - official)))]
    for split, numbers in groups:
        report = new_report(split, "semantickitti", RELEASES["semantickitti"])
        chosen = [number for number in numbers if number in present]
        if not chosen:
            continue
        report.sequences = len(chosen)
        for number in chosen:
            _compare_names(folder / f"{number:02d}", report)
            report.problems += _missing_motion_files(folder, number, present)
        if report.size:
            readable = tuple(number for number in chosen if (folder / f"{number:02d}" / "velodyne").is_dir())
            dataset = SemanticKITTI(root, "test" if split == "test" else readable, on_bad_scan="keep", cache=0)
            read_all(dataset, report)
            _note_missing_poses(dataset, report)
        yield compare_size(report)


def _compare_names(sequence: Path, report: SplitReport) -> None:
    """Count a sequence's scans, and report labels without a scan."""
    scans, labels = (
        {file.stem for file in (sequence / folder).glob(f"*{suffix}") if file.name[0] != "."}
        for folder, suffix in (("velodyne", ".bin"), ("labels", ".label"))
    )
    report.size += len(scans)
    report.problems += [f"{sequence}/labels/{stem}.label belongs to no scan" for stem in sorted(labels - scans)]
    if not scans:
        report.problems.append(f"{sequence}/velodyne has no scans: copy it again")


def _missing_motion_files(folder: Path, number: int, present: set[int]) -> list[str]:
    """Pose files that a sequence lacks although others of its kind (with or without labels) have them."""
    alike = [other for other in present if (other in SPLITS["test"]) == (number in SPLITS["test"])]
    return [
        f"{folder / f'{number:02d}' / name} does not exist, but other sequences have theirs: copy it again"
        for name in ("poses.txt", "calib.txt")
        if not (folder / f"{number:02d}" / name).is_file()
        and any((folder / f"{other:02d}" / name).is_file() for other in alike)
    ]


def _note_missing_poses(dataset: SemanticKITTI, report: SplitReport) -> None:
    """Note which sequences cannot be accumulated; the last scan needs the whole of ``poses.txt``."""
    errors = []
    for last in {name.split("/")[0]: name for name in dataset.names}.values():
        try:
            dataset.pose(last)
        except DataError as error:
            errors.append(str(error))
    if errors:
        report.notes.append(f"{len(errors)} sequences cannot be read with sweeps above 1, the first: {errors[0]}")

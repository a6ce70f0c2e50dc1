"""Check a copy of the Waymo Open Dataset: every segment has all its components."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from topokd.datasets.report import READ_ERRORS, SplitReport, compare_size, format_error, new_report, read_all
from topokd.datasets.waymo.published import RELEASES
from topokd.datasets.waymo.reader import SPLITS, WaymoSegmentation


def check(root: Path) -> Iterator[SplitReport]:
    """One report per split present."""
    for split, name in SPLITS.items():
        folder = root / name
        if not folder.is_dir():
            continue
        report = new_report(split, "waymo", RELEASES["waymo"])
        labels = () if split == "test" else ("lidar_segmentation",)
        components = ("lidar", "lidar_pose", "vehicle_pose", "lidar_calibration", *labels)
        segments_of = {c: {p.stem for p in (folder / c).glob("*.parquet") if p.name[0] != "."} for c in components}
        segments = sorted(set().union(*segments_of.values()))
        if not segments:
            report.problems.append(
                f"{folder} has no segments in {', '.join(components)}: download them, or remove the folder"
            )
        report.sequences = report.size = len(segments)
        for segment in segments:
            missing = [component for component in components if segment not in segments_of[component]]
            report.problems += [
                f"{folder / component / segment}.parquet is missing, but other components of the segment are there: "
                "download it"
                for component in missing
            ]
            if missing:
                continue
            try:
                dataset = WaymoSegmentation(root, (segment,), on_bad_scan="keep", cache=0, labelled=split != "test")
            except READ_ERRORS as error:
                report.problems.append(format_error(error, folder / segment))
                continue
            read_all(dataset, report)
        yield compare_size(report)

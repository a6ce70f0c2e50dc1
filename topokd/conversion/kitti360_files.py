"""Files of KITTI-360: the lists of windows, accumulated clouds, poses of the vehicle and calibrations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray
from scipy.spatial import cKDTree

from topokd.checks import require_finite
from topokd.data.dataset import read_rigid
from topokd.data.formats.libraries import read_ply
from topokd.errors import DataError

DRIVE = re.compile(r"2013_05_28_drive_(\d{4})_sync")
_WINDOW = re.compile(r"(\d+)_(\d+)\.ply")


@dataclass(frozen=True)
class Window:
    """The accumulated clouds of the frames ``first`` to ``last`` of a drive.

    Attributes:
        drive: name of the folder of the drive.
        first: first frame.
        last: last frame.
        still: file of the static points.
        moving: file of the points on moving objects; it need not exist.
    """

    drive: str
    first: int
    last: int
    still: Path
    moving: Path

    def __contains__(self, frame: int) -> bool:
        return self.first <= frame <= self.last


@dataclass(frozen=True)
class AccumulatedCloud:
    """Accumulated points with their labels, searchable for the nearest.

    Attributes:
        tree: the points, in metres, in the frame of the world.
        ids: class ids of the points.
        instances: object numbers of the points, 0 for none.
        frames: the frame that each moving point was seen in; None for a static cloud.
    """

    tree: cKDTree
    ids: Int64[ndarray, " n"]
    instances: Int64[ndarray, " n"]
    frames: Int64[ndarray, " n"] | None

    def at(self, frame: int) -> AccumulatedCloud | None:
        """The points of one frame of a cloud of moving objects, None if there are none; a static cloud as it is."""
        if self.frames is None:
            return self
        rows = np.flatnonzero(self.frames == frame)
        points = np.asarray(self.tree.data)[rows]
        return AccumulatedCloud(cKDTree(points), self.ids[rows], self.instances[rows], None) if len(rows) else None


def find_windows(root: Path) -> dict[str, list[Window]]:
    """The windows of each split, as listed in the files of the data set; those without a file are left out.

    Args:
        root: folder of KITTI-360.

    Raises:
        DataError: a list is missing or damaged, or none of its clouds exists.
    """
    folder = root / "data_3d_semantics" / "train"
    windows: dict[str, list[Window]] = {}
    for split in ("train", "val"):
        file = folder / f"2013_05_28_drive_{split}.txt"
        if not file.is_file():
            raise DataError(
                f"{file} does not exist: it lists the accumulated clouds; name the folder of KITTI-360 that holds "
                "data_3d_semantics, data_3d_raw, data_poses and calibration"
            )
        windows[split] = []
        for line in file.read_text(encoding="utf-8").split():
            path = root / Path(line)
            name, drive = _WINDOW.fullmatch(path.name), path.parents[1].name
            if name is None or not DRIVE.fullmatch(drive) or ".." in path.parts:
                raise DataError(
                    f"{file} has the line {line!r}, which is not the path of an accumulated cloud: copy it again"
                )
            if path.is_file():
                moving = path.parents[1] / "dynamic" / path.name
                windows[split].append(Window(drive, int(name[1]), int(name[2]), path, moving))
    if not any(windows.values()):
        raise DataError(f"{folder} has none of the clouds that its lists name: unpack data_3d_semantics.zip there")
    return windows


def list_frames(root: Path, windows: dict[str, list[Window]], every: int) -> Iterator[tuple[str, str, int]]:
    """Yield (split, drive, frame) of the scans to convert, in order; frames in windows of both splits are left out.

    Args:
        root: folder of KITTI-360.
        windows: windows of each split.
        every: take every ``every``-th scan of a drive.
    """
    for drive in sorted({window.drive for of_split in windows.values() for window in of_split}):
        folder = root / "data_3d_raw" / drive / "velodyne_points" / "data"
        frames = sorted(int(path.stem) for path in folder.glob("*.bin") if path.stem.isdigit())
        for frame in frames[::every]:
            owners = {
                split
                for split, of_split in windows.items()
                for window in of_split
                if window.drive == drive and frame in window
            }
            if len(owners) == 1:
                yield owners.pop(), drive, frame


def read_accumulated(path: Path) -> AccumulatedCloud | None:
    """Read an accumulated cloud; None if it has no points.

    Args:
        path: a .ply file with the fields ``semantic`` and ``instance``, and ``timestamp`` for moving objects.

    Raises:
        DataError: the file is damaged, or has no classes: clouds of the test split have none.
    """
    try:
        table = read_ply(path)
    except (DataError, PermissionError):
        raise
    except Exception as error:  # plyfile raises many kinds for damaged files
        raise DataError(f"{path} is damaged ({' '.join(str(error).split())[:160]}): copy the file again") from error
    if not len(table.xyz):
        return None
    require_finite(table.xyz, str(path), "the file is damaged: copy it again")
    ids = _field(path, table.fields, ("semantic", "semanticid"))
    instances = _field(path, table.fields, ("instance", "instanceid"))
    ids = np.where((ids >= 0) & (ids < 1 << 16), ids, 0)  # -1 is a licence plate
    instances = np.where((instances >= 0) & (instances < 1 << 16), instances, 0)
    frames = table.fields.get("timestamp")
    return AccumulatedCloud(cKDTree(table.xyz), ids, instances, None if frames is None else frames.astype(np.int64))


def read_poses(file: Path) -> dict[int, Float64[ndarray, "4 4"]]:
    """The pose of the vehicle in each frame: vehicle to world, metres.

    Args:
        file: ``poses.txt`` of a drive; each line is a frame and the 12 numbers of a 3 x 4 matrix.

    Raises:
        DataError: the file is missing or damaged.
    """
    if not file.is_file():
        raise DataError(f"{file} does not exist: unpack data_poses.zip")
    poses = {}
    for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        words = line.split(maxsplit=1)
        if len(words) != 2 or not re.fullmatch(r"[0-9]{1,9}", words[0]):
            raise DataError(f"{file}, line {number}, is not a frame and 12 numbers: copy the file again")
        poses[int(words[0])] = read_rigid(words[1], f"{file}, line {number}")
    return poses


def _field(path: Path, fields: dict[str, ndarray], names: tuple[str, ...]) -> Int64[ndarray, " n"]:
    for name in names:
        if name in fields:
            return fields[name].astype(np.int64)
    raise DataError(f"{path} has no field {names[0]!r} (only {', '.join(fields) or 'coordinates'}): it is not labelled")


def read_calibration(file: Path, label: str) -> Float64[ndarray, "4 4"]:
    """The rigid transformation in the line ``label: 12 numbers`` of a calibration file.

    Args:
        file: text file.
        label: start of the line; "" for the first line, without a label.

    Raises:
        DataError: the file or the line is missing, or not a rigid transformation.
    """
    if not file.is_file():
        raise DataError(f"{file} does not exist: unpack calibration.zip")
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith(label) and line.strip():
            return read_rigid(line.partition(":")[2] if label else line, f"{file}, {label or 'line 1'}")
    raise DataError(f"{file} has no line {label}: copy it again")

"""KITTI-360 (Liao, Xie and Geiger 2022): labels of single scans from the accumulated clouds.

KITTI-360 labels no scans, but "windows": clouds accumulated over some 200 m of road, in the world's frame, one of what
stands still and one of what moves (there each point has the frame of its scan as `timestamp`). With the pose W_f of the
vehicle in frame f, camera to vehicle C and camera to scanner V, a scan's point p is at

    q = W_f C V^-1 d(p),    d(p) = exp(s log R) p + s t,    s = atan2(y, x) / 2 pi,

where (R, t) takes the previous scan's frame to this one's: the scanner turns once while the car moves, and passes the
front when the frame is taken. The point gets the class of the nearest accumulated point, if one is near enough.
"""

from __future__ import annotations

import logging
import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float64, Int64
from numpy import ndarray
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from topokd.conversion.output import Conversion
from topokd.data.dataset import check_rigid, count_points
from topokd.data.formats.libraries import read_ply
from topokd.errors import DataError
from topokd.options import number, whole
from topokd.progress import Progress

log = logging.getLogger(__name__)

_DRIVE = re.compile(r"2013_05_28_drive_(\d{4})_sync")
_WINDOW = re.compile(r"(\d+)_(\d+)\.ply")
_KEPT = 4
"""Windows in memory, about 150 MB each."""
_CAMERA = "image_00"


@dataclass(frozen=True)
class Window:
    """An accumulated cloud: the frames ``first`` to ``last`` of a drive."""

    drive: str
    first: int
    last: int
    still: Path
    moving: Path

    def __contains__(self, frame: int) -> bool:
        return self.first <= frame <= self.last


@dataclass(frozen=True)
class _Cloud:
    """Accumulated points with class ids, ready for nearest neighbours."""

    tree: cKDTree
    ids: Int64[ndarray, " n"]
    instances: Int64[ndarray, " n"]
    frames: Int64[ndarray, " n"] | None

    def at(self, frame: int) -> _Cloud | None:
        """The points of one frame, for a cloud of what moves; None without any."""
        if self.frames is None:
            return self
        rows = np.flatnonzero(self.frames == frame)
        points = np.asarray(self.tree.data)[rows]
        return _Cloud(cKDTree(points), self.ids[rows], self.instances[rows], None) if len(rows) else None


def convert_kitti360(
    root: str | Path, output: str | Path, *, distance: float = 0.3, every: int = 1, overwrite: bool = False
) -> dict[str, int | float]:
    """Write each labelled scan of KITTI-360 with its own labels; resumable.

    Frames belong to the split of their window; those in windows of both splits are left out.

    Args:
        root: the folder that holds ``data_3d_raw``, ``data_3d_semantics``, ``data_poses`` and ``calibration``.
        output: a new folder.
        distance: metres; a point without an accumulated one nearer than that gets the id 0, unlabelled.
        every: only each so many-th frame of a window.
        overwrite: replace an earlier conversion with other options.

    Returns:
        Numbers of scans, points and of the share of points that got a label.

    Raises:
        DataError: a file is missing or damaged, or there is no window at all.
    """
    root = Path(root)
    distance = number(distance, "distance", above=True, unit=" (metres)")
    every = whole(every, "every")
    windows = find_windows(root)
    recipe = {"data set": "KITTI-360", "root": str(root.resolve()), "distance": distance, "every": every}
    result = Conversion(Path(output), recipe, overwrite)
    splits: dict[str, list[tuple[int, int]]] = {name: [] for name in ("train", "val")}
    job = _Drives(root, windows, distance)
    counts = {"scans": 0, "points": 0, "labelled": 0}
    for split, drive, frame in Progress(list(_frames(root, windows, every)), "scans"):
        sequence = int(_DRIVE.fullmatch(drive)[1])  # type: ignore[index]
        if not result.has(sequence, frame):
            found = job.label(drive, frame)
            if found is None:
                continue
            xyz, intensity, ids, instances = found
            result.write(sequence, frame, xyz, intensity, ids, instances)
        labels = np.fromfile(result.points(sequence, frame).parents[1] / "labels" / f"{frame:06d}.label", "<u4")
        counts["scans"] += 1
        counts["points"] += len(labels)
        counts["labelled"] += int((labels & 0xFFFF != 0).sum())
        splits[split].append((sequence, frame))
    if not counts["scans"]:
        raise DataError(f"{root} has no scan with a pose and an accumulated cloud: unpack data_3d_raw and data_poses")
    summary = {**counts, "labelled": counts["labelled"] / counts["points"]}
    result.finish(splits, summary)
    return summary


def find_windows(root: Path) -> dict[str, list[Window]]:
    """The windows of each split, from the lists of the data set.

    Raises:
        DataError: a list or a cloud that it names is missing.
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
            if name is None or not _DRIVE.fullmatch(drive) or ".." in path.parts:
                raise DataError(f"{file} has the line {line!r}, which names no accumulated cloud: copy it again")
            if path.is_file():
                moving = path.parents[1] / "dynamic" / path.name
                windows[split].append(Window(drive, int(name[1]), int(name[2]), path, moving))
    if not any(windows.values()):
        raise DataError(f"{folder} has none of the clouds that its lists name: unpack data_3d_semantics.zip there")
    return windows


def _frames(root: Path, windows: dict[str, list[Window]], every: int) -> Iterator[tuple[str, str, int]]:
    """(split, drive, frame) of every scan in the windows of one split only, in order."""
    for drive in sorted({window.drive for found in windows.values() for window in found}):
        folder = root / "data_3d_raw" / drive / "velodyne_points" / "data"
        frames = sorted(int(path.stem) for path in folder.glob("*.bin") if path.stem.isdigit())
        for frame in frames[::every]:
            owners = {
                split
                for split, found in windows.items()
                for window in found
                if window.drive == drive and frame in window
            }
            if len(owners) == 1:
                yield owners.pop(), drive, frame


class _Drives:
    """Poses, clouds and scans of all drives; the clouds used last are kept."""

    def __init__(self, root: Path, windows: dict[str, list[Window]], distance: float) -> None:
        self.root, self.distance = root, distance
        self.windows = [window for found in windows.values() for window in found]
        camera = _labelled_matrix(root / "calibration" / "calib_cam_to_pose.txt", _CAMERA)
        scanner = _labelled_matrix(root / "calibration" / "calib_cam_to_velo.txt", "")
        self.to_vehicle = camera @ np.linalg.inv(scanner)
        self._poses: dict[str, dict[int, ndarray]] = {}
        self._clouds: OrderedDict[Path, _Cloud | None] = OrderedDict()

    def label(self, drive: str, frame: int) -> tuple[ndarray, ndarray, ndarray, ndarray] | None:
        """Points, intensities, class ids and objects of a scan; None for a frame without a pose."""
        poses = self._poses.setdefault(drive, {}) or self._read_poses(drive)
        if frame not in poses:
            log.info("%s: frame %d has no pose and is left out", drive, frame)
            return None
        path = self.root / "data_3d_raw" / drive / "velodyne_points" / "data" / f"{frame:010d}.bin"
        values = np.fromfile(path, "<f4").reshape(count_points(path, 4), 4)
        pose = poses[frame] @ self.to_vehicle
        before = max((other for other in poses if frame - 5 <= other < frame), default=None)
        still = values[:, :3].astype(np.float64)
        if before is not None:
            step = np.linalg.inv(pose) @ poses[before] @ self.to_vehicle
            still = without_motion(still, step, frame - before)
        world = still @ pose[:3, :3].T + pose[:3, 3]
        nearest = np.full(len(world), self.distance)
        ids, instances = np.zeros(len(world), np.int64), np.zeros(len(world), np.int64)
        for cloud in self._near(drive, frame):
            gap, row = cloud.tree.query(world, distance_upper_bound=self.distance)
            closer = gap < nearest
            nearest[closer] = gap[closer]
            ids[closer], instances[closer] = cloud.ids[row[closer]], cloud.instances[row[closer]]
        return values[:, :3], np.clip(values[:, 3], 0, 1), ids, instances

    def _near(self, drive: str, frame: int) -> Iterator[_Cloud]:
        """What moves in this frame first, then the windows that hold the frame and their neighbours."""
        ordered = sorted((window for window in self.windows if window.drive == drive), key=lambda window: window.first)
        own = [k for k, window in enumerate(ordered) if frame in window]
        for k in own:
            if ordered[k].moving.is_file() and (found := self._cloud(ordered[k].moving)) is not None:
                here = found.at(frame)
                if here is not None:
                    yield here
        for near in sorted({place for k in own for place in (k - 1, k, k + 1) if 0 <= place < len(ordered)}):
            found = self._cloud(ordered[near].still)
            if found is not None:
                yield found

    def _cloud(self, path: Path) -> _Cloud | None:
        if path not in self._clouds:
            while len(self._clouds) >= 2 * _KEPT:
                self._clouds.popitem(last=False)
            self._clouds[path] = read_accumulated(path)
        self._clouds.move_to_end(path)
        return self._clouds[path]

    def _read_poses(self, drive: str) -> dict[int, ndarray]:
        file = self.root / "data_poses" / drive / "poses.txt"
        if not file.is_file():
            raise DataError(f"{file} does not exist: unpack data_poses.zip")
        found = {}
        for place, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            words = line.split(maxsplit=1)
            if len(words) != 2 or not words[0].isdigit():
                raise DataError(f"{file}, line {place}, is not a frame and 12 numbers: copy the file again")
            found[int(words[0])] = _matrix(words[1], f"{file}, line {place}")
        self._poses[drive] = found
        return found


def without_motion(xyz: Float64[ndarray, "n 3"], step: Float[ndarray, "4 4"], frames: int) -> Float64[ndarray, "n 3"]:
    """Points of a turning scanner as if it had stood still: p -> exp(s log R) p + s t, s = atan2(y, x) / 2 pi.

    Args:
        xyz: (n, 3) metres, x forward, y left.
        step: takes an earlier scan's frame to this one's.
        frames: between the two.

    Examples:
        >>> step = np.eye(4)
        >>> step[0, 3] = -1.0  # the car drives 1 m forward
        >>> without_motion(np.array([[0.0, 8.0, 0.0], [8.0, 0.0, 0.0]]), step, 1).tolist()
        [[-0.25, 8.0, 0.0], [8.0, 0.0, 0.0]]
    """
    share = np.arctan2(xyz[:, 1], xyz[:, 0])[:, None] / (2 * np.pi * frames)
    turn = Rotation.from_matrix(step[:3, :3]).as_rotvec()
    return Rotation.from_rotvec(share * turn).apply(xyz) + share * step[:3, 3]


def read_accumulated(path: Path) -> _Cloud | None:
    """An accumulated cloud; None without points.

    Raises:
        DataError: the file is damaged, or has no classes: clouds of the test split have none.
    """
    table = read_ply(path)
    if not len(table.xyz):
        return None
    ids = _field(path, table.fields, ("semantic", "semanticid"))
    instances = _field(path, table.fields, ("instance", "instanceid"))
    ids = np.where((ids >= 0) & (ids < 1 << 16), ids, 0)  # -1 is a licence plate
    instances = np.where((instances >= 0) & (instances < 1 << 16), instances, 0)
    frames = table.fields.get("timestamp")
    return _Cloud(cKDTree(table.xyz), ids, instances, None if frames is None else frames.astype(np.int64))


def _field(path: Path, fields: dict[str, ndarray], names: tuple[str, ...]) -> Int64[ndarray, " n"]:
    for name in names:
        if name in fields:
            return fields[name].astype(np.int64)
    raise DataError(
        f"{path} has no field {names[0]!r}, it has {', '.join(fields) or 'only coordinates'}: it is not labelled"
    )


def _labelled_matrix(file: Path, label: str) -> Float64[ndarray, "4 4"]:
    """The matrix in the line ``label: 12 numbers``, or in the only line."""
    if not file.is_file():
        raise DataError(f"{file} does not exist: unpack calibration.zip")
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith(label) and line.strip():
            return _matrix(line.partition(":")[2] if label else line, f"{file}, {label or 'line 1'}")
    raise DataError(f"{file} has no line {label}: copy it again")


def _matrix(text: str, where: str) -> Float64[ndarray, "4 4"]:
    try:
        values = np.array(text.split(), np.float64)
    except ValueError as error:
        raise DataError(f"{where}: {error}; copy the file again") from None
    if values.size != 12:
        raise DataError(f"{where} has {values.size} numbers, 12 are expected (3 x 4): copy the file again")
    return check_rigid(np.vstack((values.reshape(3, 4), [0.0, 0.0, 0.0, 1.0])), where)

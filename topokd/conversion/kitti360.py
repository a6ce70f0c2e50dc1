"""KITTI-360 (Liao, Xie and Geiger 2022): labels of single scans from the accumulated clouds.

KITTI-360 does not label scans, but "windows": clouds accumulated over some 200 m of road, in world coordinates, one of
the static scene and one of moving objects (whose points have the frame of their scan as `timestamp`). With the pose W_f
of the vehicle in frame f, camera to vehicle C and camera to scanner V, the point p of a scan is at

    q = W_f C V^-1 d(p),    d(p) = exp(s log R) p + s t,    s = atan2(y, x) / 2 pi,

where (R, t) maps coordinates of the previous scan to those of this one: the scanner turns once while the car moves, and
points forward at the time of the frame. The point gets the class of the nearest accumulated point within a distance.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float64
from numpy import ndarray
from scipy.spatial.transform import Rotation

from topokd.conversion.kitti360_files import (
    DRIVE,
    AccumulatedCloud,
    Window,
    find_windows,
    list_frames,
    read_accumulated,
    read_calibration,
    read_poses,
)
from topokd.conversion.output import SPLITS, Conversion
from topokd.data.dataset import count_points
from topokd.errors import DataError
from topokd.options import number, whole
from topokd.progress import Progress

log = logging.getLogger(__name__)

_KEPT = 4
"""Windows in memory, about 150 MB each."""
_CAMERA = "image_00"


def convert_kitti360(
    root: str | Path, output: str | Path, *, distance: float = 0.3, every: int = 1, overwrite: bool = False
) -> dict[str, int | float]:
    """Write each labelled scan of KITTI-360 with its own labels; resumable.

    Frames belong to the split of their window; those in windows of both splits are left out.

    Args:
        root: the folder that holds ``data_3d_raw``, ``data_3d_semantics``, ``data_poses`` and ``calibration``.
        output: a new folder.
        distance: metres; a point with no accumulated point nearer than that gets the id 0, unlabelled.
        every: take every ``every``-th scan of a drive.
        overwrite: replace an earlier conversion with other options.

    Returns:
        The numbers of scans and points, and the share of points that got a label.

    Raises:
        DataError: a file is missing or damaged, an option is out of range, or the folder holds no scans.

    Examples:
        >>> convert_kitti360("KITTI-360", "kitti360", every=5)["labelled"]  # doctest: +SKIP
    """
    root = Path(root)
    distance = number(distance, "distance", above=True, unit=" (metres)")
    every = whole(every, "every")
    windows = find_windows(root)
    recipe = {"data set": "KITTI-360", "root": str(root.resolve()), "distance": distance, "every": every}
    result = Conversion(Path(output), recipe, overwrite)
    splits: dict[str, list[tuple[int, int]]] = {name: [] for name in SPLITS}
    job = _Drives(root, windows, distance)
    counts = {"scans": 0, "points": 0, "labelled": 0}
    for split, drive, frame in Progress(list(list_frames(root, windows, every)), "scans"):
        sequence = int(DRIVE.fullmatch(drive)[1])  # type: ignore[index]
        if not result.has(sequence, frame):
            labelled = job.label(drive, frame)
            if labelled is None:
                continue
            xyz, intensity, ids, instances = labelled
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


class _Drives:
    """Poses, clouds and scans of all drives; the clouds used last are kept."""

    def __init__(self, root: Path, windows: dict[str, list[Window]], distance: float) -> None:
        self.root, self.distance = root, distance
        self.windows = [window for of_split in windows.values() for window in of_split]
        camera = read_calibration(root / "calibration" / "calib_cam_to_pose.txt", _CAMERA)
        scanner = read_calibration(root / "calibration" / "calib_cam_to_velo.txt", "")
        self.to_vehicle = camera @ np.linalg.inv(scanner)
        self._poses: dict[str, dict[int, ndarray]] = {}
        self._clouds: OrderedDict[Path, AccumulatedCloud | None] = OrderedDict()

    def label(self, drive: str, frame: int) -> tuple[ndarray, ndarray, ndarray, ndarray] | None:
        """Coordinates (m), intensities, class ids and object numbers of a scan; None for a frame without a pose."""
        poses = self._poses_of(drive)
        if frame not in poses:
            log.info("%s: frame %d has no pose: left out", drive, frame)
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

    def _poses_of(self, drive: str) -> dict[int, ndarray]:
        if drive not in self._poses:
            self._poses[drive] = read_poses(self.root / "data_poses" / drive / "poses.txt")
        return self._poses[drive]

    def _near(self, drive: str, frame: int) -> Iterator[AccumulatedCloud]:
        """Moving objects in this frame first, then the windows that contain the frame and their neighbours."""
        ordered = sorted((window for window in self.windows if window.drive == drive), key=lambda window: window.first)
        own = [k for k, window in enumerate(ordered) if frame in window]
        for k in own:
            if ordered[k].moving.is_file() and (cloud := self._cloud(ordered[k].moving)) is not None:
                here = cloud.at(frame)
                if here is not None:
                    yield here
        for near in sorted({place for k in own for place in (k - 1, k, k + 1) if 0 <= place < len(ordered)}):
            cloud = self._cloud(ordered[near].still)
            if cloud is not None:
                yield cloud

    def _cloud(self, path: Path) -> AccumulatedCloud | None:
        if path not in self._clouds:
            while len(self._clouds) >= 2 * _KEPT:
                self._clouds.popitem(last=False)
            self._clouds[path] = read_accumulated(path)
        self._clouds.move_to_end(path)
        return self._clouds[path]


def without_motion(xyz: Float64[ndarray, "n 3"], step: Float[ndarray, "4 4"], frames: int) -> Float64[ndarray, "n 3"]:
    """Points of a turning scanner as if it had stood still: p -> exp(s log R) p + s t, s = atan2(y, x) / 2 pi.

    Args:
        xyz: (n, 3) metres, x forward, y left.
        step: maps coordinates of an earlier scan to those of this one.
        frames: number of frames between the two.

    Examples:
        >>> step = np.eye(4)
        >>> step[0, 3] = -1.0  # the car drives 1 m forward
        >>> without_motion(np.array([[0.0, 8.0, 0.0], [8.0, 0.0, 0.0]]), step, 1).tolist()
        [[-0.25, 8.0, 0.0], [8.0, 0.0, 0.0]]
    """
    share = np.arctan2(xyz[:, 1], xyz[:, 0])[:, None] / (2 * np.pi * frames)
    turn = Rotation.from_matrix(step[:3, :3]).as_rotvec()
    return Rotation.from_rotvec(share * turn).apply(xyz) + share * step[:3, 3]

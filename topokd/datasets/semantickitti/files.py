"""The files of SemanticKITTI: reading and writing of scans, poses and calibration.

``<root>/sequences/<SS>/velodyne/<NNNNNN>.bin`` float32 (n, 4) x, y, z [m], remission;
``<root>/sequences/<SS>/labels/<NNNNNN>.label`` uint32, low 16 bits raw class id, high 16 bits instance id;
``poses.txt`` one 3 x 4 matrix per line, left camera to the first frame's; ``calib.txt`` with ``Tr``, LiDAR to camera;
``times.txt`` seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int64

from topokd.data.dataset import count_points, read_rigid
from topokd.data.label_files import check_label_count, ids_and_objects
from topokd.data.scan import Scan
from topokd.datasets.semantickitti.classes import SEMANTICKITTI
from topokd.errors import DataError
from topokd.io import write_bytes, write_text

COLUMNS = 4
"""float32 values per point."""


def read_scan(points: Path, labels: Path | None, name: str) -> Scan:
    """Read one scan.

    Args:
        points: the .bin file.
        labels: the .label file; None for a scan without ground truth.
        name: name of the scan.

    Raises:
        DataError: names the file that is missing, truncated, of another length or with an unknown class id; and
            the scan is invalid (see `Scan`).
    """
    count = count_points(points, COLUMNS)
    values = np.fromfile(points, np.float32).reshape(count, COLUMNS)
    label = instance = None
    if labels is not None:
        check_labels(labels, count)
        ids, instance = ids_and_objects(np.fromfile(labels, "<u4"), labels)
        label = class_of_raw(ids, labels)
    try:
        return Scan(np.ascontiguousarray(values[:, :3]), values[:, 3].copy(), label, instance, name)
    except DataError as error:
        raise DataError(f"{points}: {error}") from error


def class_of_raw(raw: np.ndarray, file: Path | str = "labels") -> Int64[np.ndarray, " n"]:
    """Classes 0..18 or IGNORE of raw ids, by the official learning map.

    Examples:
        >>> class_of_raw(np.array([0, 40, 60, 252])).tolist()
        [-1, 8, 8, 0]
    """
    return SEMANTICKITTI.class_of_raw(raw, file)


def check_labels(file: Path, points: int) -> None:
    """Compare a label file's size with the number of points of its scan.

    Raises:
        DataError: the file is missing, or belongs to another number of points.
    """
    if not file.is_file():
        raise DataError(f"{file} does not exist: this split needs labels; restore it, or read the sequence as test")
    remedy = "they do not belong together, or one is truncated; copy both again"
    check_label_count(file, points, np.dtype(np.uint32), remedy)


def write_scan(
    root: str | Path, sequence: int, frame: int, scan: Scan, raw: Int64[np.ndarray, " n"] | None = None
) -> None:
    """Write one scan atomically, labels first: an existing scan always has its labels.

    Args:
        root: the folder that holds ``sequences/``.
        sequence, frame: numbers of the scan.
        scan: the points; without labels, unless ``raw`` gives them, no label file is written.
        raw: raw ids (with moving objects, lane markings) to write instead of those of ``scan.label``.
    """
    folder = Path(root) / "sequences" / f"{sequence:02d}"
    if raw is None and scan.label is not None:
        raw = SEMANTICKITTI.raw_of_class(scan.label)
    if raw is not None:
        instance = np.zeros(len(scan), np.int64) if scan.instance is None else scan.instance
        write_bytes(folder / "labels" / f"{frame:06d}.label", (raw | instance << 16).astype("<u4").tobytes())
    points = np.concatenate((scan.xyz, scan.intensity[:, None]), axis=1).astype("<f4")
    write_bytes(folder / "velodyne" / f"{frame:06d}.bin", points.tobytes())


_TR = np.array([[0.0, -1.0, 0.0, 0.0], [0.0, 0.0, -1.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
"""LiDAR (x forward, y left, z up) to camera (x right, y down, z forward), one origin."""


def write_sequence_files(
    root: str | Path, sequence: int, poses: Float[np.ndarray, "f 4 4"], times: Sequence[float]
) -> None:
    """Write ``poses.txt``, ``calib.txt`` and ``times.txt`` of a sequence from LiDAR poses in any common frame.

    Args:
        root: folder of the data set.
        sequence: its number.
        poses: (f, 4, 4) from the LiDAR to a common frame, metres.
        times: seconds of the f scans.
    """
    folder = Path(root) / "sequences" / f"{sequence:02d}"
    inverse = np.linalg.inv(_TR)
    first = np.linalg.inv(poses[0])
    rows = [(_TR @ first @ pose @ inverse)[:3].reshape(-1) + 0.0 for pose in poses]

    def line(values: np.ndarray) -> str:
        return " ".join(f"{value:.9e}" for value in values)

    projection = line(np.eye(3, 4).reshape(-1))  # the synthetic car has no camera
    write_text(folder / "poses.txt", "".join(line(row) + "\n" for row in rows))
    cameras = "".join(f"P{i}: {projection}\n" for i in range(4))
    write_text(folder / "calib.txt", cameras + f"Tr: {line(_TR[:3].reshape(-1))}\n")
    write_text(folder / "times.txt", "".join(f"{time:.6e}\n" for time in times))


def read_poses(folder: Path) -> Float[np.ndarray, "f 4 4"]:
    """LiDAR poses of a sequence, to the frame of its first scan: ``Tr^-1 P Tr`` of ``poses.txt`` and ``calib.txt``.

    Raises:
        DataError: names the file and the line that is missing or damaged.
    """
    calib = folder / "calib.txt"
    transform = None
    for line in _lines(calib):
        if line.startswith("Tr:"):
            transform = read_rigid(line[3:], f"{calib}, Tr")
    if transform is None:
        raise DataError(f"{calib} has no line `Tr:` (LiDAR to camera): copy the calib.txt of SemanticKITTI")
    inverse = np.linalg.inv(transform)
    poses = folder / "poses.txt"
    rows = [read_rigid(line, f"{poses}, line {number}") for number, line in enumerate(_lines(poses), 1)]
    if not rows:
        raise DataError(f"{poses} is empty: a sequence has a pose per scan; copy it again")
    return np.stack([inverse @ row @ transform for row in rows])


def _lines(file: Path) -> list[str]:
    if not file.is_file():
        raise DataError(f"{file} does not exist: accumulating scans needs poses; copy it, or set sweeps to 1")
    try:
        return file.read_text(encoding="utf-8").strip().splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not a text file ({error}): copy it again") from None

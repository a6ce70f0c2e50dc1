"""PandaSet (Xiao et al. 2021): pickled data frames as plain scans, each in the frame of its own sensor.

``SSS/lidar/FF.pkl.gz`` holds x, y, z (world, metres), i (0..255), t and d (0: the spinning Pandar64, 1: the forward
PandarGT), ``SSS/lidar/poses.json`` the pose of every frame, ``SSS/annotations/semseg/FF.pkl.gz`` the class of every
point. With a pose of rotation R and position o, a point is at R^T (q - o) around the vehicle, x right, y forward;
SemanticKITTI's axes, x forward and y left, are (y, -x, z) of that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64
from numpy import ndarray
from scipy.spatial.transform import Rotation

from topokd.conversion.output import SPLITS, Conversion
from topokd.conversion.pickles import read_data_frame
from topokd.errors import DataError
from topokd.options import whole
from topokd.progress import Progress

SENSORS = {"pandar64": (0,), "pandargt": (1,), "both": (0, 1)}
"""The values of column d that each choice keeps."""
_FULL_SCALE = 255.0

Sensor = Literal["pandar64", "pandargt", "both"]
"""The spinning lidar, the forward-facing one, or both."""


def convert_pandaset(
    root: str | Path,
    output: str | Path,
    *,
    sensor: Sensor = "pandar64",
    every: int = 1,
    validation: int = 5,
    overwrite: bool = False,
) -> dict[str, int | float]:
    """Write each labelled scan of PandaSet as .bin and .label; resumable. Nothing in the pickles is executed.

    PandaSet has no official splits: every ``validation``-th labelled sequence is held out.

    Args:
        root: the folder that holds the sequences 001, 002, ...
        output: a new folder.
        sensor: the sensor, or sensors, whose points are kept.
        every: take every ``every``-th frame.
        validation: every ``validation``-th sequence is in the split val; 0: none.
        overwrite: replace an earlier conversion with other options.

    Returns:
        The numbers of scans and points, and the share of points that have a label.

    Raises:
        DataError: a file is missing, damaged, or holds anything but numbers.

    Examples:
        >>> convert_pandaset("pandaset", "converted", sensor="pandar64")["scans"]  # doctest: +SKIP
    """
    root = Path(root)
    if sensor not in SENSORS:
        raise DataError(f"sensor is {sensor!r}: choose one of {', '.join(SENSORS)} (--sensor)")
    every, validation = whole(every, "every"), whole(validation, "validation", least=0)
    if validation == 1:
        raise DataError("validation is 1, which leaves no sequence for training: pass 0 (none) or from 2")
    sequences = [folder for folder in _sequences(root) if any((folder / "annotations" / "semseg").glob("*.pkl.gz"))]
    if not sequences:
        raise DataError(f"{root} has no folder NNN/annotations/semseg with .pkl.gz files: name the folder of PandaSet")
    recipe = {"data set": "PandaSet", "root": str(root.resolve()), "sensor": sensor, "every": every}
    result = Conversion(Path(output), {**recipe, "validation": validation}, overwrite)
    splits: dict[str, list[tuple[int, int]]] = {name: [] for name in SPLITS}
    counts = {"scans": 0, "points": 0, "labelled": 0}
    work = [
        (place, folder, file)
        for place, folder in enumerate(sequences, 1)
        for file in sorted((folder / "annotations" / "semseg").glob("*.pkl.gz"))[::every]
    ]
    for place, folder, file in Progress(work, "scans"):
        sequence, frame = int(folder.name), _number(file)
        if not result.has(sequence, frame):
            result.write(sequence, frame, *read_frame(folder, frame, sensor))
        labels = np.fromfile(result.points(sequence, frame).parents[1] / "labels" / f"{frame:06d}.label", "<u4")
        counts["scans"] += 1
        counts["points"] += len(labels)
        counts["labelled"] += int((labels != 0).sum())
        splits["val" if validation and place % validation == 0 else "train"].append((sequence, frame))
    summary = {**counts, "labelled": counts["labelled"] / counts["points"]}
    result.finish(splits, summary)
    return summary


def read_frame(folder: Path, frame: int, sensor: Sensor) -> tuple[ndarray, ndarray, ndarray]:
    """Points around the vehicle (x forward, y left), intensities 0..1 and class ids of one frame.

    Args:
        folder: folder of the sequence.
        frame: number of the frame.
        sensor: the sensor, or sensors, whose points are kept.

    Raises:
        DataError: a file is missing or damaged, or belongs to another frame.
    """
    points, labels = (part / f"{frame:02d}.pkl.gz" for part in (folder / "lidar", folder / "annotations" / "semseg"))
    columns, index = read_data_frame(points)
    classes, class_index = read_data_frame(labels)
    for file, columns_present, needed in ((points, columns, ("x", "y", "z", "i", "d")), (labels, classes, ("class",))):
        lacking = [name for name in needed if name not in columns_present]
        if lacking:
            raise DataError(
                f"{file} has no column {lacking[0]}, it has {', '.join(columns_present) or 'none'}: copy it again"
            )
    ids = _in_order_of(index, class_index, classes["class"], len(columns["x"]), labels, points)
    if len(ids) and not 0 <= ids.min() <= ids.max() < 1 << 16:
        raise DataError(f"{labels}: class ids run from {ids.min()} to {ids.max()}, outside 0 to 65535: copy it again")
    xyz = np.stack([columns[name].astype(np.float64) for name in "xyz"], axis=1)
    kept = np.isin(columns["d"], SENSORS[sensor]) & np.isfinite(xyz).all(axis=1)
    if not kept.any():
        raise DataError(f"{points} has no point of the sensor {sensor}: choose another one (--sensor)")
    rotation, position = _pose(folder / "lidar" / "poses.json", frame)
    local = rotation.inv().apply(xyz[kept] - position)
    intensity = np.clip(np.nan_to_num(columns["i"][kept].astype(np.float64)) / _FULL_SCALE, 0, 1)
    return np.column_stack((local[:, 1], -local[:, 0], local[:, 2])), intensity, ids[kept]


def _in_order_of(
    index: ndarray | None, class_index: ndarray | None, ids: ndarray, count: int, labels: Path, points: Path
) -> ndarray:
    """Class ids in the order of the points: both frames have the same row labels, perhaps in another order."""
    if len(ids) != count:
        raise DataError(f"{labels} has {len(ids)} classes, {points} has {count} points: they do not belong together")
    own, other = (np.arange(count) if positions is None else positions for positions in (index, class_index))
    if np.array_equal(own, other):
        return ids.astype(np.int64)
    order = np.argsort(other, kind="stable")
    place = np.minimum(np.searchsorted(other, own, sorter=order), count - 1)
    if not np.array_equal(other[order[place]], own):
        raise DataError(f"{labels} has other row labels than {points}: they do not belong together")
    return ids[order[place]].astype(np.int64)


def _sequences(root: Path) -> Iterator[Path]:
    if not root.is_dir():
        raise DataError(f"{root} is not a folder: name the folder of PandaSet")
    yield from sorted(folder for folder in root.iterdir() if re.fullmatch(r"\d{3}", folder.name) and folder.is_dir())


def _number(file: Path) -> int:
    name = file.name.removesuffix(".pkl.gz")
    if not name.isdigit():
        raise DataError(f"{file}: its name is not the number of a frame; remove it")
    return int(name)


def _pose(file: Path, frame: int) -> tuple[Rotation, Float64[ndarray, " 3"]]:
    """Rotation and position of a frame: vehicle to world."""
    try:
        entry: Any = json.loads(file.read_text(encoding="utf-8"))[frame]
        position = np.array([entry["position"][axis] for axis in "xyz"], np.float64)
        rotation = Rotation.from_quat([entry["heading"][part] for part in "xyzw"])
    except FileNotFoundError:
        raise DataError(f"{file} does not exist: copy it") from None
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise DataError(f"{file}: frame {frame} has no pose with position and heading ({error}): copy it") from None
    if not np.isfinite(position).all():
        raise DataError(f"{file}: the position of frame {frame} is not finite: copy it again")
    return rotation, position

"""The synthetic world in the layout of nuScenes: JSON tables with tokens, 32-beam sweeps, lidarseg, panoptic."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from topokd import params
from topokd.datasets.nuscenes.classes import CATEGORIES
from topokd.datasets.nuscenes.tables import official_splits
from topokd.errors import DataError
from topokd.io import write_bytes, write_json
from topokd.synthetic.classes import NUSCENES_OF_RAW
from topokd.synthetic.folder import Work, sequences, write_folder
from topokd.synthetic.scanner import Measurement, measure, street_of
from topokd.synthetic.sensor import SENSORS
from topokd.synthetic.street import INTERVAL

VERSION = "v1.0-trainval"
WRITER_VERSION = 1
"""Increment it whenever the same parameters give different files."""
OWNED = (VERSION, "samples", "sweeps", "lidarseg", "panoptic", "maps")
SENSOR: Literal["hdl32"] = "hdl32"
START = 1_532_402_927_000_000  # microseconds, a day of July 2018 as in the released logs

_QUARTER = np.sqrt(0.5)
ROTATION = (_QUARTER, 0.0, 0.0, -_QUARTER)
"""LiDAR (x right, y forward) to car (x forward, y left): a quarter turn to the right, w x y z."""
TRANSLATION = (0.94, 0.0, SENSORS[SENSOR].height)


def write_nuscenes(root: str | Path, synthetic: params.Synthetic, jobs: int = 1, sweeps_between: int = 0) -> None:
    """Write every scan of the synthetic world under ``root`` as nuScenes v1.0-trainval with lidarseg and panoptic.

    The sensor always has 32 beams; ``synthetic.sensor`` is ignored. Training sequences take the names of the official
    train scenes in order, validation sequences those of val. The files depend only on the arguments.

    Args:
        root: the folder.
        synthetic: the parameters of the world.
        jobs: number of processes.
        sweeps_between: number of sweeps without labels between two keyframes.

    Raises:
        DataError: there are more sequences than official scenes, or ``root`` holds other files (`write_folder`).

    Examples:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> small = params.Synthetic(azimuths=64, train_sequences=(0,), val_sequences=(), scans_per_sequence=1)
        >>> write_nuscenes(root, small)
        >>> len(list(root.glob("samples/LIDAR_TOP/*.bin"))), (root / VERSION / "sample.json").is_file()
        (1, True)
    """
    synthetic = synthetic.replace(sensor=SENSOR)
    scene_names = official_splits()
    tasks = []
    for split, numbers in sequences(synthetic).items():
        names = scene_names[split]
        if len(numbers) > len(names):
            raise DataError(f"data.synthetic: {len(numbers)} {split} sequences, nuScenes has {len(names)} scenes")
        tasks += [
            SceneTask(Path(root), synthetic, sequence, scans, name, sweeps_between)
            for (sequence, scans), name in zip(numbers, names, strict=False)
        ]
    layout = f"nuscenes-{sweeps_between}" if sweeps_between else "nuscenes"
    work = Work(_write_scene, tasks, finish=lambda scenes: _write_tables(Path(root), scenes))
    write_folder(root, layout, WRITER_VERSION, synthetic, OWNED, work, jobs)


Tables = dict[str, list[dict[str, Any]]]
"""Records by name of the table."""


class SceneTask(NamedTuple):
    """One scene to write: ``keyframes`` labelled scans with ``between`` sweeps between consecutive ones."""

    root: Path
    synthetic: params.Synthetic
    sequence: int
    keyframes: int
    name: str
    between: int

    @property
    def frames(self) -> int:
        """Number of scans, labelled or not."""
        return self.keyframes * (self.between + 1) - self.between

    def sample_token(self, index: int) -> str:
        """Token of keyframe ``index``; empty before the first and after the last, as in the tables."""
        return token("sample", self.name, index) if 0 <= index < self.keyframes else ""

    def data_token(self, frame: int) -> str:
        """Token of the LiDAR file of ``frame``; empty before the first and after the last."""
        return token("sample_data", self.name, frame) if 0 <= frame < self.frames else ""


def token(*parts: object) -> str:
    """32 hexadecimal digits from the parts that identify a record."""
    return hashlib.md5("/".join(map(str, parts)).encode(), usedforsecurity=False).hexdigest()


def _write_scene(task: SceneTask) -> Tables:
    """Write the scans of one scene and return its records."""
    street = street_of(task.synthetic.seed, task.sequence, task.frames)
    sensor = SENSORS[SENSOR]
    tables: Tables = {name: [] for name in ("sample", "sample_data", "ego_pose", "lidarseg", "panoptic")}
    for frame in range(task.frames):
        rng = np.random.default_rng([task.synthetic.seed, task.sequence, frame, 1])
        measured = measure(street, frame, sensor, task.synthetic.azimuths, rng)
        time = START + int(1e6 * (1000 * task.sequence + INTERVAL * frame))
        index, offset = divmod(frame, task.between + 1)
        is_key_frame = offset == 0
        file = f"{'samples' if is_key_frame else 'sweeps'}/LIDAR_TOP/{task.name}__LIDAR_TOP__{time}.pcd.bin"
        order = np.argsort(measured.column, kind="stable")  # firing order: all beams of a column together
        columns = lidar_columns(measured.xyz, measured.intensity, measured.row)
        write_bytes(task.root / file, columns[order].tobytes())
        pose_token = token("ego_pose", task.name, frame)
        pose = _ego_pose(street.pose(frame, sensor.height))
        tables["ego_pose"].append({"token": pose_token, "timestamp": time, **pose})
        tables["sample_data"].append(_sample_data(task, frame, time, file, pose_token))
        if is_key_frame:
            tables["sample"].append(
                {
                    "token": task.sample_token(index),
                    "timestamp": time,
                    "prev": task.sample_token(index - 1),
                    "next": task.sample_token(index + 1),
                    "scene_token": token("scene", task.name),
                }
            )
            _write_labels(task, frame, measured, order, tables)
    return tables | _scene_records(task)


def _sample_data(task: SceneTask, frame: int, time: int, file: str, pose_token: str) -> dict[str, Any]:
    step = task.between + 1
    return {
        "token": task.data_token(frame),
        "sample_token": task.sample_token(min(-(-frame // step), task.keyframes - 1)),
        "ego_pose_token": pose_token,
        "calibrated_sensor_token": token("calibrated_sensor", task.name),
        "timestamp": time,
        "fileformat": "pcd",
        "is_key_frame": frame % step == 0,
        "height": 0,
        "width": 0,
        "filename": file,
        "prev": task.data_token(frame - 1),
        "next": task.data_token(frame + 1),
    }


def _write_labels(task: SceneTask, frame: int, measured: Measurement, order: np.ndarray, tables: Tables) -> None:
    """Write the semantic and panoptic labels of a keyframe, and add their records."""
    name = task.data_token(frame)
    category = NUSCENES_OF_RAW[measured.raw[order]]
    panoptic = 1000 * category + measured.instance[order] % 1000
    for table, file, content in (
        ("lidarseg", f"lidarseg/{VERSION}/{name}_lidarseg.bin", category.astype(np.uint8).tobytes()),
        ("panoptic", f"panoptic/{VERSION}/{name}_panoptic.npz", _npz(panoptic)),
    ):
        write_bytes(task.root / file, content)
        tables[table].append({"token": name, "sample_data_token": name, "filename": file})


def _scene_records(task: SceneTask) -> Tables:
    """The records that a scene has one of."""
    log = token("log", task.name)
    return {
        "scene": [
            {
                "token": token("scene", task.name),
                "log_token": log,
                "nbr_samples": task.keyframes,
                "first_sample_token": task.sample_token(0),
                "last_sample_token": task.sample_token(task.keyframes - 1),
                "name": task.name,
                "description": f"synthetic street {task.sequence}",
            }
        ],
        "log": [
            {
                "token": log,
                "logfile": f"synthetic-{task.sequence:04d}",
                "vehicle": "synthetic",
                "date_captured": "2018-07-24",
                "location": "synthetic-street",
            }
        ],
        "calibrated_sensor": [
            {
                "token": token("calibrated_sensor", task.name),
                "sensor_token": token("sensor", "LIDAR_TOP"),
                "translation": list(TRANSLATION),
                "rotation": list(ROTATION),
                "camera_intrinsic": [],
            }
        ],
    }


def lidar_columns(xyz: np.ndarray, intensity: np.ndarray, row: np.ndarray) -> np.ndarray:
    """(n, 5) float32: points rotated to x right, y forward; integer intensity 0..255; ring 0 at the bottom.

    Args:
        xyz: (n, 3) metres, x forward.
        intensity: (n,) in 0..1.
        row: (n,) row of the beam, 0 at the top.
    """
    ring = len(SENSORS[SENSOR].elevation_deg) - 1 - row
    return np.column_stack((-xyz[:, 1], xyz[:, 0], xyz[:, 2], np.round(255 * intensity), ring)).astype("<f4")


def _ego_pose(lidar_to_world: np.ndarray) -> dict[str, list[float]]:
    """Pose of the car, with the axes of the synthetic sensor and its origin on the road."""
    from scipy.spatial.transform import Rotation

    x, y, z, w = Rotation.from_matrix(lidar_to_world[:3, :3]).as_quat()
    origin = lidar_to_world[:3, 3] - lidar_to_world[:3, :3] @ np.array(TRANSLATION)
    return {"rotation": [w, x, y, z], "translation": origin.tolist()}


def _npz(values: np.ndarray) -> bytes:
    stream = io.BytesIO()  # NumPy writes zip entries with a fixed date, so the bytes depend only on the values
    np.savez_compressed(stream, data=values.astype(np.uint16))
    return stream.getvalue()


def _write_tables(root: Path, scenes: list[Tables]) -> None:
    from PIL import Image

    tables = {name: [record for scene in scenes for record in scene[name]] for name in scenes[0]}
    mask = f"maps/{token('map')}.png"
    stream = io.BytesIO()
    Image.new("L", (8, 8), 255).save(stream, "PNG")
    write_bytes(root / mask, stream.getvalue())
    tables |= {
        "category": [
            {"token": token("category", name), "name": name, "description": "", "index": index}
            for index, (name, _) in enumerate(CATEGORIES)
        ],
        "sensor": [{"token": token("sensor", "LIDAR_TOP"), "channel": "LIDAR_TOP", "modality": "lidar"}],
        "map": [
            {
                "token": token("map"),
                "category": "semantic_prior",
                "filename": mask,
                "log_tokens": [record["token"] for record in tables["log"]],
            }
        ],
        "visibility": [
            {"token": str(index + 1), "level": level, "description": ""}
            for index, level in enumerate(("v0-40", "v40-60", "v60-80", "v80-100"))
        ],
        "attribute": [],
        "instance": [],  # boxes are not written
        "sample_annotation": [],
    }
    for name, records in tables.items():
        write_json(root / VERSION / f"{name}.json", records)

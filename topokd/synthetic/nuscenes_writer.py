"""The synthetic world in nuScenes' released layout: JSON tables with tokens, 32-beam sweeps, lidarseg, panoptic."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np

from topokd import params
from topokd.datasets.nuscenes.classes import CATEGORIES
from topokd.datasets.nuscenes.reader import official_splits
from topokd.errors import DataError
from topokd.io import write_bytes, write_json
from topokd.synthetic.classes import NUSCENES_OF_RAW
from topokd.synthetic.folder import make_folder, sequences
from topokd.synthetic.scanner import measure, street_of
from topokd.synthetic.sensor import SENSORS
from topokd.synthetic.street import INTERVAL

VERSION = "v1.0-trainval"
WRITER_VERSION = 1
"""Raise it whenever the same parameters would give other files."""
MADE = (VERSION, "samples", "sweeps", "lidarseg", "panoptic", "maps")
SENSOR = "hdl32"
START = 1_532_402_927_000_000  # microseconds, a day of July 2018 as in the released logs

_QUARTER = np.sqrt(0.5)
ROTATION = (_QUARTER, 0.0, 0.0, -_QUARTER)
"""LiDAR (x right, y forward) to car (x forward, y left): a quarter turn to the right, w x y z."""
TRANSLATION = (0.94, 0.0, SENSORS[SENSOR].height)


def write_nuscenes(root: str | Path, synthetic: params.Synthetic, jobs: int = 1, sweeps_between: int = 0) -> None:
    """Write every scan of the synthetic world under ``root`` as nuScenes v1.0-trainval with lidarseg and panoptic.

    The sensor is the 32-beam one, whatever ``synthetic.sensor`` says. Training sequences take the names of the official
    train scenes in turn, validation sequences those of val. ``sweeps_between`` sweeps without labels lie between two
    keyframes. The files depend on the arguments alone.
    """
    synthetic = synthetic.replace(sensor="hdl32")
    names = official_splits()
    tasks = []
    for split, found in sequences(synthetic).items():
        if len(found) > len(names[split]):
            raise DataError(f"data.synthetic: {len(found)} {split} sequences, nuScenes has {len(names[split])} scenes")
        tasks += [
            (Path(root), synthetic, sequence, scans, name, sweeps_between)
            for (sequence, scans), name in zip(found, names[split], strict=False)
        ]
    layout = f"nuscenes-{sweeps_between}" if sweeps_between else "nuscenes"
    make_folder(
        root, layout, WRITER_VERSION, synthetic, MADE, _scene, tasks, lambda found: _tables(Path(root), found), jobs
    )


def token(*parts: object) -> str:
    """32 hexadecimal digits from whatever names a record."""
    return hashlib.md5("/".join(map(str, parts)).encode(), usedforsecurity=False).hexdigest()


def _scene(task: tuple[Path, params.Synthetic, int, int, str, int]) -> dict[str, list[dict[str, Any]]]:
    """Write one scene's scans; its records, table by table."""
    root, synthetic, sequence, scans, scene, between = task
    step = between + 1
    frames = scans * step - between
    street = street_of(synthetic.seed, sequence, frames)
    sensor = SENSORS[SENSOR]
    log, calibration = token("log", scene), token("calibrated_sensor", scene)
    samples = [token("sample", scene, index) for index in range(scans)]
    data = [token("sample_data", scene, frame) for frame in range(frames)]
    tables: dict[str, list[dict[str, Any]]] = {
        name: [] for name in ("sample", "sample_data", "ego_pose", "lidarseg", "panoptic")
    }
    for frame in range(frames):
        time = START + int(1e6 * (1000 * sequence + INTERVAL * frame))
        key = frame % step == 0
        found = measure(
            street, frame, sensor, synthetic.azimuths, np.random.default_rng([synthetic.seed, sequence, frame, 1])
        )
        file = f"{'samples' if key else 'sweeps'}/LIDAR_TOP/{scene}__LIDAR_TOP__{time}.pcd.bin"
        order = np.argsort(found.column, kind="stable")  # as the sensor fires: all beams of a column together
        write_bytes(root / file, lidar_columns(found.xyz, found.intensity, found.row)[order].tobytes())
        pose, pose_token = _ego(street.pose(frame, sensor.height)), token("ego_pose", scene, frame)
        tables["ego_pose"].append({"token": pose_token, "timestamp": time, **pose})
        tables["sample_data"].append(
            {
                "token": data[frame],
                "sample_token": samples[min(-(-frame // step), scans - 1)],
                "ego_pose_token": pose_token,
                "calibrated_sensor_token": calibration,
                "timestamp": time,
                "fileformat": "pcd",
                "is_key_frame": key,
                "height": 0,
                "width": 0,
                "filename": file,
                "prev": data[frame - 1] if frame else "",
                "next": data[frame + 1] if frame + 1 < frames else "",
            }
        )
        if not key:
            continue
        index = frame // step
        tables["sample"].append(
            {
                "token": samples[index],
                "timestamp": time,
                "prev": samples[index - 1] if index else "",
                "next": samples[index + 1] if index + 1 < scans else "",
                "scene_token": token("scene", scene),
            }
        )
        category = NUSCENES_OF_RAW[found.raw[order]]
        labels = f"lidarseg/{VERSION}/{data[frame]}_lidarseg.bin"
        write_bytes(root / labels, category.astype(np.uint8).tobytes())
        tables["lidarseg"].append({"token": data[frame], "sample_data_token": data[frame], "filename": labels})
        instances = f"panoptic/{VERSION}/{data[frame]}_panoptic.npz"
        write_bytes(root / instances, _npz(1000 * category + found.instance[order] % 1000))
        tables["panoptic"].append({"token": data[frame], "sample_data_token": data[frame], "filename": instances})
    tables["scene"] = [
        {
            "token": token("scene", scene),
            "log_token": log,
            "nbr_samples": scans,
            "first_sample_token": samples[0],
            "last_sample_token": samples[-1],
            "name": scene,
            "description": f"synthetic street {sequence}",
        }
    ]
    tables["log"] = [
        {
            "token": log,
            "logfile": f"synthetic-{sequence:04d}",
            "vehicle": "synthetic",
            "date_captured": "2018-07-24",
            "location": "synthetic-street",
        }
    ]
    tables["calibrated_sensor"] = [
        {
            "token": calibration,
            "sensor_token": token("sensor", "LIDAR_TOP"),
            "translation": list(TRANSLATION),
            "rotation": list(ROTATION),
            "camera_intrinsic": [],
        }
    ]
    return tables


def lidar_columns(xyz: np.ndarray, intensity: np.ndarray, row: np.ndarray) -> np.ndarray:
    """(n, 5) float32: points turned to x right, y forward; intensity in whole steps of 0..255; ring 0 at the bottom."""
    ring = len(SENSORS[SENSOR].elevation_deg) - 1 - row
    return np.column_stack((-xyz[:, 1], xyz[:, 0], xyz[:, 2], np.round(255 * intensity), ring)).astype("<f4")


def _ego(lidar_to_world: np.ndarray) -> dict[str, list[float]]:
    """Pose of the car (its axes are those of the synthetic sensor, its origin is on the road)."""
    from scipy.spatial.transform import Rotation

    x, y, z, w = Rotation.from_matrix(lidar_to_world[:3, :3]).as_quat()
    origin = lidar_to_world[:3, 3] - lidar_to_world[:3, :3] @ np.array(TRANSLATION)
    return {"rotation": [w, x, y, z], "translation": origin.tolist()}


def _npz(values: np.ndarray) -> bytes:
    stream = io.BytesIO()  # zip entries of numpy carry a fixed date, so the bytes depend on the values alone
    np.savez_compressed(stream, data=values.astype(np.uint16))
    return stream.getvalue()


def _tables(root: Path, scenes: list[dict[str, list[dict[str, Any]]]]) -> None:
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
        "instance": [],  # boxes, which the world does not file
        "sample_annotation": [],
    }
    for name, records in tables.items():
        write_json(root / VERSION / f"{name}.json", records)

"""The synthetic world in the layout of Waymo Open v2: parquet components with range images of two returns."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float

from topokd import params
from topokd.datasets.waymo.parquet import LASER, SEGMENT, TIME, TOP
from topokd.datasets.waymo.reader import SPLITS
from topokd.io import atomic_path
from topokd.synthetic.classes import WAYMO_OF_RAW
from topokd.synthetic.folder import Work, sequences, write_folder
from topokd.synthetic.scanner import Measurement, measure, street_of
from topokd.synthetic.sensor import SENSORS
from topokd.synthetic.street import INTERVAL, Street

if TYPE_CHECKING:
    import pyarrow as pa

WRITER_VERSION = 2
"""Increment it whenever the same parameters give different files."""
SENSOR: Literal["waymo64"] = "waymo64"
START = 1_550_083_467_000_000  # microseconds
FOOTPRINT = 0.0015
"""Radians from the centre of a beam to its edge; a second return occurs if the edge hits something farther away."""
SEPARATION = 0.8
"""Smallest distance between two returns of a beam that the sensor can separate, in metres."""
YAW = 2.6
"""Rotation of the sensor on the car, in radians: range images are stored relative to it."""
TRANSLATION = (1.43, 0.0, SENSORS[SENSOR].height)


def extrinsic() -> Float[np.ndarray, "4 4"]:
    """Sensor to vehicle."""
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(YAW), -np.sin(YAW)], [np.sin(YAW), np.cos(YAW)]]
    matrix[:3, 3] = TRANSLATION
    return matrix


def segment_name(seed: int, sequence: int) -> str:
    """A name in the form of the released segments: a long number, then start and end of the drive."""
    number = int(hashlib.sha256(f"segment {seed} {sequence}".encode()).hexdigest()[:15], 16)
    return f"{number}_{sequence * 100:04d}_000_{sequence * 100 + 20:04d}_000"


def write_waymo(root: str | Path, synthetic: params.Synthetic, jobs: int = 1) -> None:
    """Write every scan of the synthetic world under ``root`` as parquet components, one file per segment.

    The sensor is always that of Waymo; ``synthetic.sensor`` is ignored. The released range images have 2650 columns,
    these have ``synthetic.azimuths``. Points differ from those of the world by the float32 rounding of ranges and
    poses. The files depend only on the arguments (and on the version of pyarrow, which each file names).

    Args:
        root: the folder.
        synthetic: the parameters of the world.
        jobs: number of processes.

    Examples:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> small = params.Synthetic(azimuths=64, train_sequences=(0,), val_sequences=(), scans_per_sequence=1)
        >>> write_waymo(root, small)
        >>> sorted(path.name for path in (root / "training").iterdir())
        ['lidar', 'lidar_calibration', 'lidar_pose', 'lidar_segmentation', 'vehicle_pose']
    """
    synthetic = synthetic.replace(sensor=SENSOR)
    tasks = [
        (Path(root) / SPLITS[split], synthetic, sequence, scans)
        for split, numbers in sequences(synthetic).items()
        for sequence, scans in numbers
    ]
    write_folder(root, "waymo", WRITER_VERSION, synthetic, tuple(SPLITS.values()), Work(_write_segment, tasks), jobs)


def _write_segment(task: tuple[Path, params.Synthetic, int, int]) -> None:
    import pyarrow as pa

    folder, synthetic, sequence, scans = task
    street = street_of(synthetic.seed, sequence, scans)
    segment = segment_name(synthetic.seed, sequence)
    rows: dict[str, list[dict[str, Any]]] = {
        name: [] for name in ("lidar", "lidar_segmentation", "lidar_pose", "vehicle_pose")
    }
    for frame in range(scans):
        time = START + int(1e6 * (1000 * sequence + INTERVAL * frame))
        key = {"index": f"{segment};{time};{TOP}", SEGMENT: segment, TIME: time, LASER: TOP}
        ranges, labels = frame_images(street, frame, synthetic, sequence)
        pose = vehicle_pose(street, frame)
        rows["lidar"].append(key | _images("[LiDARComponent]", ranges))
        rows["lidar_segmentation"].append(key | _images("[LiDARSegmentationLabelComponent]", labels))
        per_pixel = np.broadcast_to(euler(pose).astype(np.float32), (*ranges[0].shape[:2], 6))
        rows["lidar_pose"].append(key | _images("[LiDARPoseComponent]", (per_pixel,)))
        rows["vehicle_pose"].append(
            {
                "index": f"{segment};{time}",
                SEGMENT: segment,
                TIME: time,
                "[VehiclePoseComponent].world_from_vehicle.transform": pose.reshape(-1),
            }
        )
    floats, doubles, ints = pa.list_(pa.float32()), pa.list_(pa.float64()), pa.list_(pa.int32())
    _write(folder, "lidar_calibration", segment, [_calibration(segment)], doubles)
    _write(folder, "vehicle_pose", segment, rows["vehicle_pose"], doubles)
    _write(folder, "lidar_pose", segment, rows["lidar_pose"], floats)
    _write(folder, "lidar_segmentation", segment, rows["lidar_segmentation"], ints)
    _write(folder, "lidar", segment, rows["lidar"], floats)


def _calibration(segment: str) -> dict[str, Any]:
    """The row of the calibration component."""
    inclination = np.deg2rad(np.array(SENSORS[SENSOR].elevation_deg))[::-1]  # from the lowest beam up
    prefix = "[LiDARCalibrationComponent]"
    return {
        "index": f"{segment};{TOP}",
        SEGMENT: segment,
        LASER: TOP,
        f"{prefix}.extrinsic.transform": extrinsic().reshape(-1),
        f"{prefix}.beam_inclination.min": float(inclination[0]),
        f"{prefix}.beam_inclination.max": float(inclination[-1]),
        f"{prefix}.beam_inclination.values": inclination,
    }


def vehicle_pose(street: Street, frame: int) -> Float[np.ndarray, "4 4"]:
    """Vehicle to world: the axes of the synthetic sensor, with the origin of the car."""
    pose = street.pose(frame, SENSORS[SENSOR].height).copy()
    pose[:3, 3] -= pose[:3, :3] @ np.array(TRANSLATION)
    return pose


def euler(pose: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, " 6"]:
    """roll, pitch, yaw [rad], x, y, z [m] of ``Rz(yaw) Ry(pitch) Rx(roll)``."""
    roll, pitch = np.arctan2(pose[2, 1], pose[2, 2]), -np.arcsin(np.clip(pose[2, 0], -1, 1))
    return np.array([roll, pitch, np.arctan2(pose[1, 0], pose[0, 0]), *pose[:3, 3]])


def frame_images(
    street: Street, frame: int, synthetic: params.Synthetic, sequence: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Range images (H, W, 4) float32 and label images (H, W, 2) int32 [instance, class] of both returns.

    Args:
        street: the world.
        frame: number of the scan.
        synthetic: the parameters of the world.
        sequence: number of the street.
    """
    sensor = SENSORS[SENSOR]
    first, edge = (
        measure(
            street, frame, sensor, synthetic.azimuths, np.random.default_rng([synthetic.seed, sequence, frame, k]), tilt
        )
        for k, tilt in ((1, 0.0), (2, FOOTPRINT))
    )
    shape = (len(sensor.elevation_deg), synthetic.azimuths)
    ranges, labels = [], []
    nearest = np.full(shape, np.inf)
    for measured in (first, edge):
        before = nearest[measured.row, measured.column]
        if measured is first:
            separate = np.full(len(measured.row), True)
        else:  # a second return needs a nearer first one
            separate = (measured.distance > before + SEPARATION) & np.isfinite(before)
        image, label = _image(measured, separate, shape)
        ranges.append(image)
        labels.append(label)
        nearest[measured.row, measured.column] = measured.distance
    return ranges, labels


def _image(measured: Measurement, selected: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    image, label = np.full((*shape, 4), -1.0, np.float32), np.zeros((*shape, 2), np.int32)  # -1: no return
    pixel = measured.row[selected], measured.column[selected]
    intensity = np.arctanh(measured.intensity[selected])
    elongation, no_label_zone = np.zeros(selected.sum()), np.full(selected.sum(), -1.0)
    image[pixel] = np.column_stack((measured.distance[selected], intensity, elongation, no_label_zone))
    label[pixel] = np.column_stack((measured.instance[selected], WAYMO_OF_RAW[measured.raw[selected]]))
    return image, label


def _images(prefix: str, images: Any) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for number, image in enumerate(images, 1):
        row[f"{prefix}.range_image_return{number}.values"] = image.reshape(-1)
        row[f"{prefix}.range_image_return{number}.shape"] = list(image.shape)
    return row


def _write(folder: Path, name: str, segment: str, rows: list[dict[str, Any]], values: pa.DataType) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"index": pa.string(), SEGMENT: pa.string(), TIME: pa.int64(), LASER: pa.int8()}
    fields = []
    for column, value in rows[0].items():
        kind = kinds.get(column, pa.float64() if isinstance(value, float) else values)
        fixed = {".shape": pa.list_(pa.int32(), 3), ".transform": pa.list_(pa.float64(), 16)}
        fields.append(pa.field(column, next((fixed[end] for end in fixed if column.endswith(end)), kind)))
    schema = pa.schema(fields)
    with (
        atomic_path(folder / name / f"{segment}.parquet") as temporary,
        pq.ParquetWriter(temporary, schema, compression="snappy") as writer,
    ):
        for row in rows:  # one row group per frame, so that a reader decodes one frame at a time
            writer.write_table(pa.Table.from_pylist([row], schema))

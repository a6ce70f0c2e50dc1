"""The nuScenes-lidarseg data set, from its released folders and JSON tables.

``<root>/<version>/*.json``: records that refer to each other by token; ``<root>/samples/LIDAR_TOP/*.pcd.bin``: float32
(n, 5) x, y, z [m], intensity 0..255, ring; ``<root>/lidarseg/<version>/<sample_data token>_lidarseg.bin``: uint8 (n,)
index of ``category.json``; ``<root>/panoptic/<version>/<sample_data token>_panoptic.npz``, if unpacked:
``data`` uint16 (n,) 1000 x category + instance.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from topokd.data.dataset import OnBadScan, ScanDataset, accumulate_sweeps, count_points
from topokd.data.scan import Scan
from topokd.datasets.nuscenes.classes import NUSCENES, label_space_of
from topokd.errors import AbsentSplitError, DataError
from topokd.io import read_json

VERSIONS = ("v1.0-trainval", "v1.0-mini", "v1.0-test")
MIN_DISTANCE = 1.0
"""Metres: points of earlier sweeps nearer than this to the sensor in both x and y (the car itself) are dropped."""

Record = dict[str, Any]

FIELDS: dict[str, dict[str, type]] = {
    "sensor": {"token": str, "channel": str},
    "calibrated_sensor": {"token": str, "sensor_token": str, "translation": list, "rotation": list},
    "sample_data": {
        **{"token": str, "sample_token": str, "ego_pose_token": str, "calibrated_sensor_token": str},
        **{"filename": str, "is_key_frame": bool, "prev": str},
    },
    "ego_pose": {"token": str, "translation": list, "rotation": list},
    "scene": {"name": str, "first_sample_token": str},
    "sample": {"token": str, "next": str},
    "category": {"name": str},
    "lidarseg": {"sample_data_token": str, "filename": str},
    "panoptic": {"sample_data_token": str, "filename": str},
}
"""Fields that are read from the records of each table."""


def official_splits() -> dict[str, tuple[str, ...]]:
    """Scene names of train, val, test, mini_train and mini_val (nuscenes-devkit, utils/splits.py).

    >>> {name: len(scenes) for name, scenes in official_splits().items()}
    {'train': 700, 'val': 150, 'test': 150, 'mini_train': 8, 'mini_val': 2}
    """
    table = read_json(str(files("topokd.datasets.nuscenes").joinpath("splits.json")))
    return {name: tuple(f"scene-{number:04d}" for number in numbers) for name, numbers in table.items()}


class NuScenesLidarSeg(ScanDataset):
    """The keyframes of a split in the LiDAR frame (x right, y forward, z up), intensity divided by 255.

    The readers of SemanticKITTI and Waymo have x forward, y left: rotate the points before you use a network of one on
    the other. A scan's name is ``<scene>/<sample_data token>``. ``instance`` holds the numbers of nuScenes-panoptic
    where ``panoptic/`` was unpacked (0: none), else None. The sizes of all files are checked at once.

    Args:
        root: the folder that holds ``<version>/``, ``samples/`` and ``lidarseg/``.
        split: "train" or "val" (of v1.0-mini: its mini_train and mini_val), "test" (v1.0-test, no labels), or a tuple
            of scene names. A named split uses those of its scenes that the tables hold.
        version: of the tables, one of `VERSIONS`.
        sweeps: k > 1 adds the k - 1 sweeps before each keyframe, moved into its frame through ego pose and
            calibration, as ignored points after its own.
        on_bad_scan, cache: as in `SemanticKITTI`.

    Raises:
        DataError: a missing table or folder, a token that is not in its table, labels that do not match the scan or
            ``category.json``.

    Examples:
        >>> import tempfile
        >>> from topokd import params
        >>> from topokd.synthetic import write_nuscenes
        >>> small = params.Synthetic(azimuths=64, train_sequences=(0,), val_sequences=(), scans_per_sequence=1)
        >>> root = tempfile.mkdtemp()
        >>> write_nuscenes(root, small)
        >>> dataset = NuScenesLidarSeg(root, "train")
        >>> len(dataset), dataset.num_classes, float(dataset[0].intensity.max()) <= 1
        (1, 16, True)
    """

    recipe_fields = ("labelled", "sweeps")
    columns = 5
    labels = NUSCENES
    class_names = NUSCENES.class_names
    num_classes = NUSCENES.num_classes
    palette = NUSCENES.palette

    def __init__(
        self,
        root: str | Path,
        split: str | Sequence[str] = "train",
        version: str = "v1.0-trainval",
        sweeps: int = 1,
        on_bad_scan: OnBadScan = "raise",
        cache: int = 128,
    ) -> None:
        if version not in VERSIONS:
            raise DataError(f"unknown version {version!r} of nuScenes: choose one of {', '.join(VERSIONS)}")
        if sweeps < 1:
            raise DataError(f"sweeps is {sweeps}: 1 reads a keyframe alone, k adds the k - 1 sweeps before it")
        self.root, self.split, self.version, self.sweeps = Path(root), split, version, sweeps
        self.labelled = version != "v1.0-test"
        if not (self.root / version).is_dir():
            there = [name for name in VERSIONS if (self.root / name).is_dir()]
            raise DataError(
                f"{self.root / version} does not exist, so {self.root} does not hold the tables of {version}; "
                + (f"there are {', '.join(there)}" if there else "data.root must be the folder above `v1.0-...`")
            )
        self._channel = {record["token"]: record for record in self._table("sensor")}
        self._calibration = {record["token"]: record for record in self._table("calibrated_sensor")}
        self._data = self._lidar_records()
        scenes = {record["name"]: record for record in self._table("scene")}
        self.sequences = self._scenes(scenes)
        self._labels_of, self._panoptic_of = self._label_files()
        self._index(self._keyframes(scenes), on_bad_scan, cache, f"{len(self.sequences)} scenes of {version}")

    def sample_data(self, name: str) -> Record:
        """The ``sample_data`` record of a scan: token, timestamp [us], filename, ego_pose_token, ..."""
        return self._data[name.split("/")[1]]

    def named_files(self) -> tuple[set[Path], set[Path]]:
        """LiDAR files listed by the tables, in scenes of any split: scans with all their labels, and sweeps between.

        ``sources`` tells the files of one scan.
        """
        of = {
            key: {self.root / r["filename"] for r in self._data.values() if r["is_key_frame"] == key} for key in (1, 0)
        }
        labels = {self.root / name for table in (self._labels_of, self._panoptic_of) for name in table.values()}
        return of[1] | labels, of[0]

    def sweep(self, record: Record) -> Float[np.ndarray, "n 5"]:
        """All five columns of a LiDAR file, unchanged: x, y, z [m], intensity 0..255, ring."""
        file = self.root / record["filename"]
        points = count_points(file, self.columns)
        return np.fromfile(file, "<f4").reshape(points, self.columns)

    def own_points(self, name: str) -> int:
        """Number of a keyframe's own points, without those that ``sweeps`` adds, from the size of its file."""
        return count_points(self.files(name)[0], self.columns)

    def pose(self, record: Record) -> Float[np.ndarray, "4 4"]:
        """LiDAR to world at a sweep, through calibrated sensor and ego pose."""
        calibration = self._resolve(
            self._calibration, record["calibrated_sensor_token"], "calibrated_sensor", "sample_data", record
        )
        ego = self._resolve(self._ego_pose, record["ego_pose_token"], "ego_pose", "sample_data", record)
        tables = self.root / self.version
        return _matrix(ego, tables / "ego_pose.json") @ _matrix(calibration, tables / "calibrated_sensor.json")

    def _table(self, name: str) -> list[Record]:
        """The records of a table, checked for the fields that are read."""
        file = self.root / self.version / f"{name}.json"
        fix = f"unpack {f'nuScenes-{name}' if name in ('lidarseg', 'panoptic') else 'the metadata archive'} again"
        if not file.is_file():
            raise DataError(f"{file} does not exist: the table {name} is missing; {fix}")
        try:
            table = json.loads(file.read_bytes())
        except (ValueError, RecursionError) as error:  # not text (a pickle, for example), or endlessly nested lists
            raise DataError(f"{file} is not valid JSON ({error}): {fix}") from None
        if not isinstance(table, list) or not all(isinstance(record, dict) for record in table):
            raise DataError(f"{file} is not a list of records: {fix}")
        for record in table:
            wrong = [field for field, kind in FIELDS[name].items() if not isinstance(record.get(field), kind)]
            if wrong:
                field, which = wrong[0], record.get("token", table.index(record))
                problem = f"{field!r} is {record[field]!r}" if field in record else f"has no field {field!r}"
                raise DataError(f"{file}: record {which} {problem}: the table is damaged or of another version; {fix}")
        return table

    def _resolve(self, table: dict[str, Record], token: str, name: str, referrer: str, record: Record) -> Record:
        if token not in table:
            raise DataError(
                f"{self.root / self.version / f'{referrer}.json'}: record {record.get('token')} refers to {token!r}, "
                f"which is not in {name}.json: the tables belong to different versions; unpack the metadata again"
            )
        return table[token]

    def _lidar_records(self) -> dict[str, Record]:
        """``sample_data`` of LIDAR_TOP by token; the table's other 90 % (cameras, radar) are dropped."""
        found = {}
        for record in self._table("sample_data"):
            calibration = self._resolve(
                self._calibration, record["calibrated_sensor_token"], "calibrated_sensor", "sample_data", record
            )
            sensor = self._resolve(
                self._channel, calibration["sensor_token"], "sensor", "calibrated_sensor", calibration
            )
            if sensor["channel"] == "LIDAR_TOP":
                found[record["token"]] = record
        return found

    @cached_property
    def _ego_pose(self) -> dict[str, Record]:
        wanted = {record["ego_pose_token"] for record in self._data.values()}
        return {record["token"]: record for record in self._table("ego_pose") if record["token"] in wanted}

    def _scenes(self, scenes: dict[str, Record]) -> list[str]:
        """Names of the scenes to read."""
        if not isinstance(self.split, str):
            missing = [name for name in self.split if name not in scenes]
            if missing:
                raise DataError(
                    f"{self.root / self.version / 'scene.json'} lacks the scenes {', '.join(missing[:5])}: choose among"
                    f" its {len(scenes)}, {', '.join(sorted(scenes)[:3])}, ..."
                )
            return list(self.split)
        known = {"v1.0-trainval": ("train", "val"), "v1.0-mini": ("train", "val", "mini_train", "mini_val")}
        allowed = known.get(self.version, ("test",))
        if self.split not in allowed:
            raise DataError(
                f"{self.version} has no split {self.split!r}: choose {' or '.join(allowed)}, or scene names"
            )
        name = f"mini_{self.split}" if self.version == "v1.0-mini" and self.split in ("train", "val") else self.split
        wanted = official_splits()[name]
        found = [scene for scene in wanted if scene in scenes]
        if not found:
            raise AbsentSplitError(
                f"{self.root / self.version / 'scene.json'} holds none of the {len(wanted)} scenes of split {name}: "
                f"it has {', '.join(sorted(scenes)[:3]) or 'no scene'}, ...; choose another version or split"
            )
        return found

    def _label_files(self) -> tuple[dict[str, str], dict[str, str]]:
        """File of each labelled sample_data, and of its panoptic labels if there are any."""
        if not self.labelled:
            return {}, {}
        self._space = label_space_of(self._table("category"), self.root / self.version / "category.json")
        labels = {record["sample_data_token"]: record["filename"] for record in self._table("lidarseg")}
        panoptic: dict[str, str] = {}
        if (self.root / self.version / "panoptic.json").is_file():
            panoptic = {record["sample_data_token"]: record["filename"] for record in self._table("panoptic")}
        if labels and not set(labels) & set(self._data):
            raise DataError(
                f"{self.root / self.version / 'lidarseg.json'}: none of its {len(labels)} sample_data tokens is in "
                f"sample_data.json: these are the labels of another version than {self.version}; unpack the right ones"
            )
        return labels, panoptic

    def _keyframes(self, scenes: dict[str, Record]) -> list[str]:
        """Names of the keyframes of ``self.sequences``, scene by scene, in time."""
        lidar_of = {record["sample_token"]: record for record in self._data.values() if record["is_key_frame"]}
        samples = {record["token"]: record for record in self._table("sample")}
        names: list[str] = []
        seen: set[str] = set()
        for scene in self.sequences:
            token, referrer, record = scenes[scene]["first_sample_token"], "scene", scenes[scene]
            while True:
                sample = self._resolve(samples, token, "sample", referrer, record)
                if token in seen:
                    raise DataError(
                        f"{self.root / self.version / 'sample.json'}: the samples of {scene} lead back to {token}: "
                        "`next` runs in a circle; unpack the metadata again"
                    )
                seen.add(token)
                lidar = lidar_of.get(token)
                if lidar is None:
                    raise DataError(
                        f"{self.root / self.version / 'sample_data.json'}: sample {token} has no LIDAR_TOP keyframe; "
                        "unpack the metadata again"
                    )
                names.append(f"{scene}/{lidar['token']}")
                token, referrer, record = sample["next"], "sample", sample
                if not token:
                    break
        return names

    def label_file(self, name: str) -> Path | None:
        """Path of a scan's labels; None in the test split."""
        if not self.labelled:
            return None
        token = name.split("/")[1]
        if token not in self._labels_of:
            raise DataError(
                f"{self.root / self.version / 'lidarseg.json'} has no labels of sample_data {token} ({name}): labels "
                f"and metadata belong to different versions; unpack nuScenes-lidarseg of {self.version}"
            )
        return self.root / self._labels_of[token]

    def files(self, name: str) -> tuple[Path, Path | None]:
        """Paths of a scan's points and labels (None in the test split)."""
        return self.root / self.sample_data(name)["filename"], self.label_file(name)

    def source_files(self, name: str) -> list[Path]:
        """Files of a scan and of the sweeps that are added, and the tables of classes and poses."""
        record, tables = self.sample_data(name), self.root / self.version
        files = super().source_files(name)
        if self.labelled:
            files.append(tables / "category.json")
        if record["token"] in self._panoptic_of:
            files.append(self.root / self._panoptic_of[record["token"]])
        if self.sweeps > 1:
            files += [tables / f"{name}.json" for name in ("sample_data", "ego_pose", "calibrated_sensor")]
            files += [self.root / before["filename"] for before in self._before(record)]
        return files

    def _before(self, record: Record) -> Iterator[Record]:
        """The ``sweeps`` - 1 records before one, the latest first, or as many as its scene has."""
        for _ in range(self.sweeps - 1):
            if not record["prev"]:
                return
            record = self._resolve(self._data, record["prev"], "sample_data", "sample_data", record)
            yield record

    def _check(self, name: str) -> None:
        record = self.sample_data(name)
        file = self.root / record["filename"]
        points, labels = count_points(file, self.columns), self.label_file(name)
        for before in self._before(record):
            count_points(self.root / before["filename"], self.columns)
        if labels is None:
            return
        if not labels.is_file():
            raise DataError(f"{labels} does not exist: unpack nuScenes-lidarseg of {self.version} again")
        if labels.stat().st_size != points:
            raise DataError(
                f"{labels} has {labels.stat().st_size} bytes, but {file} has {points} points (uint8 per point): they do"
                " not belong together, or one is truncated; unpack both again"
            )

    def _read(self, name: str) -> Scan:
        self._check(name)
        first = self._single(self.sample_data(name), name)
        if self.sweeps == 1:
            return first
        scans, moves = [first], [np.eye(4)]
        here = np.linalg.inv(self.pose(self.sample_data(name)))
        for record in self._before(self.sample_data(name)):
            columns = self.sweep(record)
            far = ~(np.abs(columns[:, :2]) < MIN_DISTANCE).all(axis=1)
            columns = columns[far]
            if len(columns):
                scans.append(_scan(columns, None, None, f"{name}, sweep {record['token']}", record["filename"]))
                moves.append(here @ self.pose(record))
        return accumulate_sweeps(scans, moves, name, labelled_rows="first")

    def _single(self, record: Record, name: str) -> Scan:
        labels = self.label_file(name)
        label = instance = None
        if labels is not None:
            label = self._space.class_of_raw(np.fromfile(labels, np.uint8), labels)
            if record["token"] in self._panoptic_of:
                instance = _panoptic(self.root / self._panoptic_of[record["token"]], len(label)) % 1000
        return _scan(self.sweep(record), label, instance, name, self.root / record["filename"])


def _scan(
    columns: np.ndarray, label: np.ndarray | None, instance: np.ndarray | None, name: str, file: str | Path
) -> Scan:
    try:
        return Scan(np.ascontiguousarray(columns[:, :3]), columns[:, 3] / np.float32(255), label, instance, name)
    except DataError as error:
        raise DataError(f"{file}: {error}") from error


def _panoptic(file: Path, points: int) -> np.ndarray:
    """1000 x category + instance of each point. A file with pickled objects is rejected, never loaded."""
    try:
        archive = np.load(file, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError("it is a single array")
        with archive:
            values = archive["data"]
        if not isinstance(values, np.ndarray) or values.dtype.kind not in "iu":
            raise ValueError("`data` does not hold integers")
    except FileNotFoundError:
        raise DataError(f"{file} does not exist: unpack nuScenes-panoptic again, or remove panoptic.json") from None
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        # NotImplementedError: zipfile raises it for an unknown compression
        raise DataError(
            f"{file} is not an archive with an array `data` ({error}): unpack nuScenes-panoptic again"
        ) from None
    if values.shape != (points,):
        raise DataError(f"{file} holds {values.shape} labels for {points} points: unpack nuScenes-panoptic again")
    return values.astype(np.int64)


def _matrix(record: Record, table: Path) -> Float[np.ndarray, "4 4"]:
    """Homogeneous transform of a record with ``translation`` [m] and ``rotation`` (quaternion w, x, y, z)."""
    rotation, translation = (
        _numbers(record, field, count, table) for field, count in (("rotation", 4), ("translation", 3))
    )
    length = np.linalg.norm(rotation)
    if length == 0:
        raise DataError(
            f"{table}: record {record['token']}: rotation is zero, not a quaternion; unpack the metadata again"
        )
    w, x, y, z = rotation / length
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, 3] = translation
    return matrix


def _numbers(record: Record, field: str, count: int, table: Path) -> Float[np.ndarray, " count"]:
    try:
        values = np.array(record[field], np.float64)
    except (TypeError, ValueError):  # text, or nested lists
        values = np.empty(0)
    if values.shape != (count,) or not np.isfinite(values).all():
        raise DataError(
            f"{table}: record {record['token']}: {field} is {record[field]!r}, not {count} numbers; unpack the "
            "metadata again"
        )
    return values

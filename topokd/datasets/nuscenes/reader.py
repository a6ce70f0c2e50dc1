"""The nuScenes-lidarseg data set, from its released folders and JSON tables.

``<root>/<version>/*.json``: records that refer to each other by token; ``<root>/samples/LIDAR_TOP/*.pcd.bin``: float32
(n, 5) x, y, z [m], intensity 0..255, ring; ``<root>/lidarseg/<version>/<sample_data token>_lidarseg.bin``: uint8 (n,)
index of ``category.json``; ``<root>/panoptic/<version>/<sample_data token>_panoptic.npz``, if unpacked:
``data`` uint16 (n,) 1000 x category + instance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from topokd.data.dataset import OnBadScan, ScanDataset, accumulate_sweeps, check_sweeps, count_points
from topokd.data.label_space import LabelSpace
from topokd.data.scan import Scan
from topokd.datasets.nuscenes.classes import NUSCENES, label_space_of
from topokd.datasets.nuscenes.panoptic import read_panoptic
from topokd.datasets.nuscenes.tables import Record, read_table, resolve, rigid_transform, split_scenes
from topokd.errors import DataError

VERSIONS = ("v1.0-trainval", "v1.0-mini", "v1.0-test")
MIN_DISTANCE = 1.0
"""Metres: points of earlier sweeps nearer than this to the sensor in both x and y (the car itself) are dropped."""


class NuScenesLidarSeg(ScanDataset):
    """The keyframes of a split in the LiDAR frame (x right, y forward, z up), intensity divided by 255.

    The readers of SemanticKITTI and Waymo have x forward, y left: rotate the points before you use a network of one on
    the other. A scan's name is ``<scene>/<sample_data token>``. ``instance`` holds the numbers of nuScenes-panoptic
    where ``panoptic/`` was unpacked (0: none), else None. The sizes of all files are checked at once.

    Args:
        root: the folder that holds ``<version>/``, ``samples/`` and ``lidarseg/``.
        split: "train" or "val" (of v1.0-mini: its mini_train and mini_val), "test" (v1.0-test, no labels), or a tuple
            of scene names. A named split uses those of its scenes that the tables hold.
        version: version of the tables, one of `VERSIONS`.
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

    recipe_fields: ClassVar[tuple[str, ...]] = ("labelled", "sweeps")
    versions: ClassVar[tuple[str, ...]] = VERSIONS
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
        if version not in self.versions:
            raise DataError(f"unknown version {version!r} of nuScenes: choose one of {', '.join(self.versions)}")
        self.root, self.split, self.version, self.sweeps = Path(root), split, version, check_sweeps(sweeps)
        self.tables = self.root / version
        self.labelled = version != "v1.0-test"
        if not self.tables.is_dir():
            there = [name for name in self.versions if (self.root / name).is_dir()]
            raise DataError(
                f"{self.tables} does not exist, so {self.root} does not hold the tables of {version}; "
                + (
                    f"there are {', '.join(there)}"
                    if there
                    else "ROOT (data.root of a profile) is the folder above `v1.0-...`"
                )
            )
        self._channel = {record["token"]: record for record in read_table(self.tables, "sensor")}
        self._calibration = {record["token"]: record for record in read_table(self.tables, "calibrated_sensor")}
        self._data = self._lidar_records()
        scenes = {record["name"]: record for record in read_table(self.tables, "scene")}
        self.sequences = split_scenes(self.tables, split, scenes)
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
        ego = resolve(self.tables, self._ego_pose, record["ego_pose_token"], "ego_pose", "sample_data", record)
        calibration = rigid_transform(self._calibration_of(record), self.tables / "calibrated_sensor.json")
        return rigid_transform(ego, self.tables / "ego_pose.json") @ calibration

    def _calibration_of(self, record: Record) -> Record:
        token = record["calibrated_sensor_token"]
        return resolve(self.tables, self._calibration, token, "calibrated_sensor", "sample_data", record)

    def _lidar_records(self) -> dict[str, Record]:
        """``sample_data`` of LIDAR_TOP by token; the table's other 90 % (cameras, radar) are dropped."""
        records = {}
        for record in read_table(self.tables, "sample_data"):
            calibration = self._calibration_of(record)
            sensor = resolve(
                self.tables, self._channel, calibration["sensor_token"], "sensor", "calibrated_sensor", calibration
            )
            if sensor["channel"] == "LIDAR_TOP":
                records[record["token"]] = record
        return records

    @cached_property
    def _ego_pose(self) -> dict[str, Record]:
        wanted = {record["ego_pose_token"] for record in self._data.values()}
        return {record["token"]: record for record in read_table(self.tables, "ego_pose") if record["token"] in wanted}

    def _label_files(self) -> tuple[dict[str, str], dict[str, str]]:
        """File of each labelled sample_data, and of its panoptic labels if there are any."""
        if not self.labelled:
            return {}, {}
        self._space = self._label_space(read_table(self.tables, "category"), self.tables / "category.json")
        labels = {record["sample_data_token"]: record["filename"] for record in read_table(self.tables, "lidarseg")}
        panoptic: dict[str, str] = {}
        if (self.tables / "panoptic.json").is_file():
            panoptic = {
                record["sample_data_token"]: record["filename"] for record in read_table(self.tables, "panoptic")
            }
        if labels and not set(labels) & set(self._data):
            raise DataError(
                f"{self.tables / 'lidarseg.json'}: none of its {len(labels)} sample_data tokens is in "
                f"sample_data.json: these are the labels of another version than {self.version}; unpack the right ones"
            )
        return labels, panoptic

    def _label_space(self, categories: list[Record], file: Path) -> LabelSpace:
        """The classes, with the ids that the table gives to their categories."""
        return label_space_of(categories, file)

    def _keyframes(self, scenes: dict[str, Record]) -> list[str]:
        """Names of the keyframes of ``self.sequences``, scene by scene, in time."""
        lidar_of = {record["sample_token"]: record for record in self._data.values() if record["is_key_frame"]}
        samples = {record["token"]: record for record in read_table(self.tables, "sample")}
        names: list[str] = []
        seen: set[str] = set()
        for scene in self.sequences:
            token, referrer, record = scenes[scene]["first_sample_token"], "scene", scenes[scene]
            while True:
                sample = resolve(self.tables, samples, token, "sample", referrer, record)
                if token in seen:
                    raise DataError(
                        f"{self.tables / 'sample.json'}: the samples of {scene} lead back to {token}: "
                        "`next` runs in a circle; unpack the metadata again"
                    )
                seen.add(token)
                lidar = lidar_of.get(token)
                if lidar is None:
                    raise DataError(
                        f"{self.tables / 'sample_data.json'}: sample {token} has no LIDAR_TOP keyframe; "
                        "unpack the metadata again"
                    )
                names.append(f"{scene}/{lidar['token']}")
                token, referrer, record = sample["next"], "sample", sample
                if not token:
                    break
        return names

    def label_file(self, name: str) -> Path | None:
        """Path of a scan's labels; None in the test split.

        Raises:
            DataError: ``lidarseg.json`` has no labels of the scan.
        """
        if not self.labelled:
            return None
        token = name.split("/")[1]
        if token not in self._labels_of:
            raise DataError(
                f"{self.tables / 'lidarseg.json'} has no labels of sample_data {token} ({name}): labels "
                f"and metadata belong to different versions; unpack nuScenes-lidarseg of {self.version}"
            )
        return self.root / self._labels_of[token]

    def files(self, name: str) -> tuple[Path, Path | None]:
        """Paths of a scan's points and labels (None in the test split)."""
        return self.root / self.sample_data(name)["filename"], self.label_file(name)

    def source_files(self, name: str) -> list[Path]:
        """Files of a scan and of the sweeps that are added, and the tables of classes and poses."""
        record = self.sample_data(name)
        files = super().source_files(name)
        if self.labelled:
            files.append(self.tables / "category.json")
        if record["token"] in self._panoptic_of:
            files.append(self.root / self._panoptic_of[record["token"]])
        if self.sweeps > 1:
            files += [self.tables / f"{name}.json" for name in ("sample_data", "ego_pose", "calibrated_sensor")]
            files += [self.root / before["filename"] for before in self._before(record)]
        return files

    def _before(self, record: Record) -> Iterator[Record]:
        """The ``sweeps`` - 1 records before one, the latest first, or as many as its scene has."""
        for _ in range(self.sweeps - 1):
            if not record["prev"]:
                return
            record = resolve(self.tables, self._data, record["prev"], "sample_data", "sample_data", record)
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
            columns = columns[~(np.abs(columns[:, :2]) < MIN_DISTANCE).all(axis=1)]
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
                instance = read_panoptic(self.root / self._panoptic_of[record["token"]], len(label)) % 1000
        return _scan(self.sweep(record), label, instance, name, self.root / record["filename"])


def _scan(
    columns: np.ndarray, label: np.ndarray | None, instance: np.ndarray | None, name: str, file: str | Path
) -> Scan:
    try:
        return Scan(np.ascontiguousarray(columns[:, :3]), columns[:, 3] / np.float32(255), label, instance, name)
    except DataError as error:
        raise DataError(f"{file}: {error}") from error

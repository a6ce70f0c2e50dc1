"""3D semantic segmentation of the Waymo Open Dataset, from its v2 parquet files.

``<root>/<training | validation | testing>/<component>/<segment>.parquet`` with the components ``lidar`` (range images
of both returns: range [m], intensity, elongation, no-label zone), ``lidar_segmentation`` (instance id, class),
``lidar_calibration`` (extrinsic, beam inclinations), ``lidar_pose`` (pose of the car at each pixel of the TOP lidar)
and ``vehicle_pose`` (at each frame).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Int64

from topokd.data.dataset import OnBadScan, ScanDataset
from topokd.data.scan import IGNORE, Scan
from topokd.datasets.benchmark import range_of
from topokd.datasets.waymo.classes import WAYMO
from topokd.datasets.waymo.parquet import Component
from topokd.datasets.waymo.range_image import LaserCalibration, points_of, uniform_inclinations
from topokd.errors import DataError

log = logging.getLogger(__name__)

SPLITS = {"train": "training", "val": "validation", "test": "testing"}
_LIDAR, _POSE, _LABEL = "[LiDARComponent]", "[LiDARPoseComponent]", "[LiDARSegmentationLabelComponent]"
_CALIBRATION, _VEHICLE = "[LiDARCalibrationComponent]", "[VehiclePoseComponent].world_from_vehicle.transform"


class PixelIndex(NamedTuple):
    """The pixel of each point of a scan: return (0 or 1), row and column of the range image."""

    return_index: Int64[np.ndarray, " n"]
    row: Int64[np.ndarray, " n"]
    column: Int64[np.ndarray, " n"]


class WaymoSegmentation(ScanDataset):
    """The labelled frames of a split: the points of the TOP lidar in the vehicle frame (x forward, y left, z up).

    A scan's name is ``<segment>/<timestamp in us>``. Its points are those of the first return, row by row, then those
    of the second (`pixels` gives the pixel of each). Intensity is ``tanh`` of the file's value. Points without a
    label are ignored. Segments without labels are left out with a warning.

    Args:
        root: the folder that holds ``training/``, ``validation/`` and ``testing/``.
        split: "train", "val", "test" (no labels) or a tuple of segment names from any of the three folders.
        returns: 2, or 1 for the first return only.
        frames: (segment, timestamp) pairs to read instead of all; for a submission, the benchmark's test frames.
        point_range: x, y, z from, x, y, z to, in metres; points outside are dropped (the common recipe trains within
            +-75.2 m and -2..4 m; evaluation needs all points).
        on_bad_scan, cache: as in `SemanticKITTI`.
        labelled: whether to read labels; None: for every split but "test".

    Raises:
        DataError: a component without its partners, a truncated range image, an empty frame, labels that do not match.

    Examples:
        >>> import tempfile
        >>> from topokd import params
        >>> from topokd.synthetic import write_waymo
        >>> small = params.Synthetic(azimuths=64, train_sequences=(0,), val_sequences=(), scans_per_sequence=1)
        >>> root = tempfile.mkdtemp()
        >>> write_waymo(root, small)
        >>> dataset = WaymoSegmentation(root, "train")
        >>> len(dataset), dataset.num_classes, sorted(set(dataset.pixels(0).return_index.tolist()))
        (1, 22, [0, 1])
    """

    recipe_fields = ("labelled", "returns", "point_range")
    labels = WAYMO
    class_names = WAYMO.class_names
    num_classes = WAYMO.num_classes
    palette = WAYMO.palette

    def __init__(
        self,
        root: str | Path,
        split: str | Sequence[str] = "train",
        returns: Literal[1, 2] = 2,
        frames: Sequence[tuple[str, int]] | None = None,
        point_range: Sequence[float] | None = None,
        on_bad_scan: OnBadScan = "raise",
        cache: int = 128,
        labelled: bool | None = None,
    ) -> None:
        if returns not in (1, 2):
            raise DataError(f"returns is {returns!r}: choose 1 (the first return) or 2 (both)")
        self.root, self.split, self.returns = Path(root), split, returns
        self.point_range = None if point_range is None else range_of(point_range)
        self.labelled = split != "test" if labelled is None else labelled
        self._folder_of = self._segments()
        self._open: dict[tuple[str, str], Component] = {}
        self.sequences = sorted(self._folder_of)
        names = self._frame_names(None if frames is None else {(segment, int(time)) for segment, time in frames})
        self._index(names, on_bad_scan, cache, f"{len(self.sequences)} segments of split {split!r}")

    def _frame_names(self, wanted: set[tuple[str, int]] | None) -> list[str]:
        """Names of all frames of the segments, or of the ``wanted`` ones."""
        component = "lidar_segmentation" if self.labelled else "lidar"
        names: list[str] = []
        empty: list[str] = []
        for segment in self.sequences:
            if wanted is not None and segment not in {name for name, _ in wanted}:
                continue
            times = sorted(time for time in self._component(component, segment).rows if time is not None)
            names += [f"{segment}/{time}" for time in times if wanted is None or (segment, time) in wanted]
            if not times:
                empty.append(segment)
        self._warn_left_out(empty, f"have no frame in {component}")
        if wanted is not None and len(names) != len(wanted):
            missing = sorted(f"{s}/{t}" for s, t in wanted if f"{s}/{t}" not in set(names))
            raise DataError(f"{self.root}: {len(missing)} of {len(wanted)} frames are missing, the first: {missing[0]}")
        return names

    def _segments(self) -> dict[str, Path]:
        """Folder of each segment of the split."""
        if isinstance(self.split, str):
            if self.split not in SPLITS:
                raise DataError(
                    f"unknown split {self.split!r}: choose {', '.join(SPLITS)}, or a tuple of segment names"
                )
            folders = [self.root / SPLITS[self.split]]
        else:
            folders = [self.root / name for name in SPLITS.values()]
        component = "lidar_segmentation" if self.labelled else "lidar"
        segments = {
            file.stem: folder
            for folder in folders
            for file in (folder / component).glob("*.parquet")
            if file.name[0] != "."
        }
        if isinstance(self.split, str):
            if not segments:
                components = dict.fromkeys(("lidar", component, "lidar_calibration", "lidar_pose"))
                raise DataError(
                    f"{folders[0] / component} has no *.parquet files: ROOT (data.root of a profile) is the folder "
                    "above training/, validation/ and testing/ of Waymo v2, with components "
                    f"{', '.join(components)} and vehicle_pose"
                )
            scanned = {file.stem for file in (folders[0] / "lidar").glob("*.parquet") if file.name[0] != "."}
            self._warn_left_out(sorted(scanned - set(segments)), f"have no file in {component}")
            return segments
        missing = [name for name in self.split if name not in segments]
        if missing:
            raise DataError(f"{self.root}: no {component} of segment {missing[0]} under {', '.join(SPLITS.values())}")
        return {name: segments[name] for name in self.split}

    def _warn_left_out(self, segments: Sequence[str], why: str) -> None:
        if segments:
            first = f"{', '.join(segments[:3])}{', ...' if len(segments) > 3 else ''}"
            log.warning("%s: %d segments %s and are left out: %s", self.root, len(segments), why, first)

    def _component(self, name: str, segment: str) -> Component:
        key = (name, segment)
        if key not in self._open:
            if len(self._open) > 64:  # a file handle each
                self._open.clear()
            self._open[key] = Component(self._folder_of[segment] / name / f"{segment}.parquet", name)
        return self._open[key]

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_open": {}}  # open files cannot be sent to worker processes

    def files(self, name: str) -> tuple[Path | None, ...]:
        """Paths of the components of a scan's segment: lidar, labels (None in the test split), poses, calibration."""
        segment = name.rsplit("/", 1)[0]
        components = ("lidar", "lidar_segmentation", "lidar_pose", "vehicle_pose", "lidar_calibration")
        return tuple(
            None
            if component == "lidar_segmentation" and not self.labelled
            else self._folder_of[segment] / component / f"{segment}.parquet"
            for component in components
        )

    def pixels(self, index: int) -> PixelIndex:
        """Return, row and column of each point of scan ``index``, in the scan's order."""
        return self._points(self.names[index])[0]

    def image_shape(self, index: int) -> tuple[int, int]:
        """Rows and columns of a scan's range image: 64 x 2650 in the released data."""
        segment, time = self.names[index].rsplit("/", 1)
        (shape,) = self._component("lidar", segment).numbers(int(time), [f"{_LIDAR}.range_image_return1.shape"], 3)
        return int(shape[0]), int(shape[1])

    def _images(self, segment: str, time: int) -> list[np.ndarray]:
        lidar = self._component("lidar", segment)
        images = []
        for number, image in enumerate(lidar.images(time, self._returns_of(_LIDAR), 4, np.float32), 1):
            if image is None:
                raise DataError(
                    f"{lidar.file} at {time}: return {number} of the TOP lidar is missing; download it again"
                )
            undefined = int(np.isnan(image[..., 0]).sum())
            if undefined:
                raise DataError(
                    f"{lidar.file} at {time}: return {number} has NaN as the range of {undefined} pixels (a pixel "
                    "without a return has -1); download it again"
                )
            images.append(image)
        if any(image.shape != images[0].shape for image in images):
            raise DataError(f"{lidar.file} at {time}: the returns have different shapes; download it again")
        return images

    def _returns_of(self, component: str) -> list[str]:
        return [f"{component}.range_image_return{number}" for number in range(1, self.returns + 1)]

    def _points(self, name: str) -> tuple[PixelIndex, np.ndarray, np.ndarray, tuple[int, int]]:
        """PixelIndex, points (n, 3), intensities as stored, and the range image's rows and columns."""
        segment, stamp = name.rsplit("/", 1)
        time = int(stamp)
        images = self._images(segment, time)
        hits = [np.nonzero(image[..., 0] > 0) for image in images]
        pixels = PixelIndex(
            np.repeat(np.arange(len(images)), [len(row) for row, _ in hits]),
            np.concatenate([row for row, _ in hits]),
            np.concatenate([column for _, column in hits]),
        )
        values = np.stack(images)[pixels.return_index, pixels.row, pixels.column]  # (n, 4)
        height, width = images[0].shape[:2]
        pose_file = self._component("lidar_pose", segment)
        (poses,) = pose_file.images(time, [f"{_POSE}.range_image_return1"], 6, np.float32)
        if poses is None or poses.shape[:2] != (height, width):
            raise DataError(
                f"{pose_file.file} at {time}: no poses for a range image of {height} x {width}; download it again"
            )
        xyz = points_of(
            values[:, 0].astype(np.float64),
            pixels.row,
            pixels.column,
            width,
            self.calibration(segment, height),
            poses[pixels.row, pixels.column],
            self._component("vehicle_pose", segment).transform(time, _VEHICLE),
        )
        if self.point_range is not None:
            kept = ((xyz >= self.point_range[0]) & (xyz <= self.point_range[1])).all(axis=1)
            return PixelIndex(*(value[kept] for value in pixels)), xyz[kept], values[kept, 1], (height, width)
        return pixels, xyz, values[:, 1], (height, width)

    def calibration(self, segment: str, height: int) -> LaserCalibration:
        """The TOP lidar's calibration of a segment, for range images of ``height`` rows.

        Raises:
            DataError: the table of inclinations has another number of beams.
        """
        component, inclination = self._component("lidar_calibration", segment), f"{_CALIBRATION}.beam_inclination"
        extrinsic = component.transform(None, f"{_CALIBRATION}.extrinsic.transform")
        beams = component.get(None, [f"{inclination}.values"])[f"{inclination}.values"]
        if beams is None:
            low, high = component.numbers(None, [f"{inclination}.min", f"{inclination}.max"], 0)
            return LaserCalibration(extrinsic, uniform_inclinations(float(low), float(high), height))
        if np.size(beams) != height:
            raise DataError(
                f"{component.file}: {np.size(beams)} beam inclinations for range images of {height} rows: calibration "
                "and lidar are of different versions; download both again"
            )
        return LaserCalibration(extrinsic, component.numbers(None, [f"{inclination}.values"], height)[0][::-1])

    def _check(self, name: str) -> None:
        segment, stamp = name.rsplit("/", 1)
        for component in ("lidar", "lidar_pose", "vehicle_pose"):
            opened = self._component(component, segment)
            if int(stamp) not in opened.rows:
                opened.get(int(stamp), [])  # raises
        self._component("lidar_calibration", segment)

    def _read(self, name: str) -> Scan:
        segment, stamp = name.rsplit("/", 1)
        pixels, xyz, intensity, shape = self._points(name)
        label = instance = None
        if self.labelled:
            label, instance = self._labels(segment, int(stamp), pixels, shape)
        try:
            return Scan(xyz.astype(np.float32), np.tanh(np.maximum(intensity, 0)), label, instance, name)
        except DataError as error:
            raise DataError(f"{self._component('lidar', segment).file}: {error}") from error

    def _labels(
        self, segment: str, time: int, pixels: PixelIndex, shape: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        component = self._component("lidar_segmentation", segment)
        label = np.full(len(pixels.row), IGNORE, np.int64)
        instance = np.zeros(len(pixels.row), np.int64)
        for return_index, image in enumerate(component.images(time, self._returns_of(_LABEL), 2, np.int32)):
            if image is None:
                continue
            if image.shape[:2] != shape:
                raise DataError(
                    f"{component.file} at {time}: labels of {image.shape[0]} x {image.shape[1]} pixels do not match "
                    f"the range image of {shape[0]} x {shape[1]}: they are of another version; download lidar and "
                    "lidar_segmentation again"
                )
            here = pixels.return_index == return_index
            values = image[pixels.row[here], pixels.column[here]]
            instance[here], label[here] = values[:, 0], self.labels.class_of_raw(values[:, 1], component.file)
        return label, instance

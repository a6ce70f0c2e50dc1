"""Missing, damaged and hostile files of Waymo Open are named."""

import pickle
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.datasets.waymo.conftest import LIDAR, change, first_of
from topokd.datasets import WaymoSegmentation
from topokd.errors import DataError


@pytest.mark.parametrize("component", ["lidar", "lidar_calibration", "lidar_pose", "vehicle_pose"])
def test_a_missing_component_is_named(copy: Path, component: str) -> None:
    next((copy / "training" / component).glob("*.parquet")).unlink()
    with pytest.raises(DataError, match=f"component {component} of this segment is missing, others are there"):
        WaymoSegmentation(copy, "train")


def test_a_frame_missing_from_a_component_is_named(copy: Path) -> None:
    file = next((copy / "training" / "lidar_pose").glob("*.parquet"))
    pq.write_table(pq.read_table(file).slice(0, 1), file)
    with pytest.raises(DataError, match="other components have one, lidar_pose does not"):
        WaymoSegmentation(copy, "train")


def test_a_truncated_range_image_raises(copy: Path) -> None:
    change(copy, "lidar", f"{LIDAR}.values", lambda value: value[:-4])
    with pytest.raises(DataError, match="the range image is truncated"):
        first_of(copy)[0]


def test_a_scan_without_returns_raises(copy: Path) -> None:
    for number in (1, 2):
        column = f"[LiDARComponent].range_image_return{number}.values"
        change(copy, "lidar", column, lambda value: [-1.0] * len(value))
    with pytest.raises(DataError, match="no points; remove it"):
        first_of(copy)[0]


def test_labels_and_calibration_of_another_version_raise(copy: Path) -> None:
    column = "[LiDARSegmentationLabelComponent].range_image_return1"
    change(copy, "lidar_segmentation", f"{column}.shape", lambda shape: [32, 48, 2])
    change(copy, "lidar_segmentation", f"{column}.values", lambda value: value[: 32 * 48 * 2])
    with pytest.raises(DataError, match="labels of 32 x 48 pixels do not match the range image of 64 x 48"):
        first_of(copy)[0]
    change(copy, "lidar_segmentation", f"{column}.shape", lambda shape: [64, 96, 2])  # room for every pixel, and more
    change(copy, "lidar_segmentation", f"{column}.values", lambda value: [1] * (64 * 96 * 2))
    with pytest.raises(DataError, match="labels of 64 x 96 pixels do not match the range image of 64 x 48"):
        first_of(copy)[0]
    change(copy, "lidar_calibration", "[LiDARCalibrationComponent].beam_inclination.values", lambda v: v[:10])
    with pytest.raises(DataError, match="10 beam inclinations for range images of 64 rows"):
        first_of(copy)[0]


CALIBRATION = "[LiDARCalibrationComponent]"
POSE = "[VehiclePoseComponent].world_from_vehicle.transform"


@pytest.mark.parametrize(
    ("component", "changes", "words"),
    [
        (
            "lidar",
            {f"{LIDAR}.values": lambda v: [np.nan] * len(v)},
            r"return 1 has NaN as the range of 3072 pix",
        ),
        ("lidar", {f"{LIDAR}.values": lambda v: [None, *v[1:]]}, r"return 1 has NaN as the range of 1 pixels"),
        ("lidar", {f"{LIDAR}.shape": lambda v: [-64, -48, 4]}, r"do not fill the shape \[-64, -48, 4\]"),
        ("lidar", {f"{LIDAR}.shape": lambda v: [64, None, 4]}, r"do not fill the shape \[64\.0, nan, 4\.0\]"),
        ("vehicle_pose", {POSE: lambda v: [0.0] * 16}, r"vehicle_pose/.* at \d+ is not a rotation and translation"),
        ("vehicle_pose", {POSE: lambda v: None}, r"vehicle_pose/.* at \d+: 16 finite numbers expected"),
        ("vehicle_pose", {POSE: lambda v: [np.nan] * 16}, r"vehicle_pose/.* at \d+: 16 finite numbers expected"),
        (
            "lidar_calibration",
            {f"{CALIBRATION}.extrinsic.transform": lambda v: [0.0] * 16},
            "is not a rotation and trans",
        ),
        (
            "lidar_calibration",
            {f"{CALIBRATION}.beam_inclination.{name}": lambda v: None for name in ("values", "min")},
            r"beam_inclination\.min: a finite number expected",
        ),
        (
            "lidar_calibration",
            {f"{CALIBRATION}.beam_inclination.values": lambda v: [None, *v[1:]]},
            r"beam_inclination\.values: 64 finite numbers expected",
        ),
        (
            "lidar_segmentation",
            {"[LiDARSegmentationLabelComponent].range_image_return1.values": lambda v: [None, *v[1:]]},
            "values are float64, or some are missing; int32 is needed",
        ),
    ],
)
def test_values_that_are_not_finite_numbers_raise(copy: Path, component: str, changes: dict, words: str) -> None:
    for column, new in changes.items():
        file = change(copy, component, column, new)
    with pytest.raises(DataError, match=words) as error:
        first_of(copy)[0]
    assert str(file) in str(error.value)


def test_segments_without_labels_are_logged(copy: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, second = sorted((copy / "training" / "lidar_segmentation").glob("*.parquet"))
    pq.write_table(pq.read_table(first).slice(0, 0), first)
    dataset = WaymoSegmentation(copy, "train")
    assert {name.split("/")[0] for name in dataset.names} == {second.stem}
    assert f"1 segments have no frame in lidar_segmentation and are left out: {first.stem}" in caplog.text
    first.unlink()
    assert WaymoSegmentation(copy, "train").names == dataset.names
    assert f"1 segments have no file in lidar_segmentation and are left out: {first.stem}" in caplog.text


def test_an_unknown_class_and_a_missing_column_raise(copy: Path) -> None:
    column = "[LiDARSegmentationLabelComponent].range_image_return1.values"
    change(copy, "lidar_segmentation", column, lambda value: [23] * len(value))
    with pytest.raises(DataError, match="class id 23 .* not in the list of Waymo Open"):
        first_of(copy)[0]
    file = sorted((copy / "training" / "lidar").glob("*.parquet"))[0]
    pq.write_table(pq.read_table(file).drop_columns([f"{LIDAR}.shape"]), file)
    with pytest.raises(DataError, match="has no column .*it is not the component lidar"):
        first_of(copy)[0]


def test_an_unknown_compression_raises(copy: Path) -> None:
    """The number of the codec in the footer is replaced by one that parquet does not define."""
    file = sorted((copy / "training" / "lidar").glob("*.parquet"))[0]
    with pq.ParquetWriter(file.with_suffix(".new"), pq.read_schema(file), compression="lz4") as writer:
        writer.write_table(pq.read_table(file))
    content = file.with_suffix(".new").read_bytes()
    length = int.from_bytes(content[-8:-4], "little")
    footer = content[-8 - length : -8].replace(b"\x15\x0e\x16", b"\x15\x28\x16")  # codec, then i64 num_values
    assert footer != content[-8 - length : -8]
    file.write_bytes(content[: -8 - length] + footer + content[-8:])
    with pytest.raises(DataError, match=r"lidar/.*\.parquet, row group 0, column .* compression .* update pyarrow"):
        first_of(copy)[0]


class Bomb:
    def __reduce__(self):
        return (Path("unpickled").touch, ())


def test_a_pickle_is_never_loaded(copy: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    file = sorted((copy / "training" / "lidar").glob("*.parquet"))[0]
    file.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(DataError, match="looks like a pickle, which is not read"):
        first_of(copy)
    assert not (tmp_path / "unpickled").exists()


def test_missing_folders_and_unknown_names_are_errors(world: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no \*.parquet files"):
        WaymoSegmentation(tmp_path, "train")
    with pytest.raises(DataError, match="components lidar, lidar_calibration, lidar_pose and vehicle_pose"):
        WaymoSegmentation(tmp_path, "test")
    with pytest.raises(DataError, match="unknown split"):
        WaymoSegmentation(world, "training")
    with pytest.raises(DataError, match="no lidar_segmentation of segment nowhere"):
        WaymoSegmentation(world, ("nowhere",))

"""Points, labels and frames of Waymo Open, as the reader gives them."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.datasets.waymo.conftest import LIDAR, SMALL, change, first_of
from topokd.data import IGNORE
from topokd.datasets import WaymoSegmentation
from topokd.datasets.waymo.classes import WAYMO
from topokd.datasets.waymo.parquet import Component
from topokd.datasets.waymo.range_image import LaserCalibration, points_of, uniform_inclinations
from topokd.errors import DataError
from topokd.synthetic import write_waymo
from topokd.synthetic.classes import WAYMO_OF_RAW
from topokd.synthetic.scanner import measure, street_of
from topokd.synthetic.sensor import SENSORS
from topokd.synthetic.waymo_writer import TRANSLATION, euler, extrinsic


def test_round_trip_gives_the_world(world: Path) -> None:
    dataset = WaymoSegmentation(world, "train")
    assert len(dataset) == 4 and len(dataset.sequences) == 2 and len(WaymoSegmentation(world, "val")) == 1
    names = {measured_segment(k): k for k in (0, 3)}
    for index in range(4):
        sequence, frame = names[dataset.names[index].split("/")[0]], index % 2
        measured = measure(
            street_of(0, sequence, 2), frame, SENSORS["waymo64"], 48, np.random.default_rng([0, sequence, frame, 1])
        )
        scan, pixels = dataset[index], dataset.pixels(index)
        first = pixels.return_index == 0
        order = np.lexsort((measured.column, measured.row))
        np.testing.assert_array_equal(pixels.row[first], measured.row[order])
        np.testing.assert_array_equal(pixels.column[first], measured.column[order])
        np.testing.assert_allclose(scan.xyz[first], measured.xyz[order] + np.array(TRANSLATION), atol=5e-5)
        np.testing.assert_allclose(scan.intensity[first], measured.intensity[order], atol=1e-6)
        np.testing.assert_array_equal(scan.label[first], WAYMO.class_of_raw(WAYMO_OF_RAW[measured.raw[order]]))
        np.testing.assert_array_equal(scan.instance[first], measured.instance[order])


def measured_segment(sequence: int) -> str:
    from topokd.synthetic.waymo_writer import segment_name

    return segment_name(0, sequence)


def test_second_returns_lie_behind_the_first(world: Path) -> None:
    dataset = WaymoSegmentation(world, "train")
    scan, pixels = dataset[0], dataset.pixels(0)
    distance = np.linalg.norm(scan.xyz - np.array(TRANSLATION), axis=1)
    first = {(r, c): d for e, r, c, d in zip(*pixels, distance, strict=True) if e == 0}
    second = [(d, first[r, c]) for e, r, c, d in zip(*pixels, distance, strict=True) if e == 1]
    assert len(second) > 5 and all(far > near + 0.5 for far, near in second)
    assert (WaymoSegmentation(world, "train", returns=1).pixels(0).return_index == 0).all()
    assert len(WaymoSegmentation(world, "train", returns=1)[0]) == len(first)


def test_written_rows_have_the_released_names_and_types(world: Path) -> None:
    file = next((world / "validation" / "lidar").glob("*.parquet"))
    row = pq.read_table(file).slice(0, 1).to_pylist()[0]
    assert row["key.segment_context_name"] == file.stem and row["key.laser_name"] == 1
    assert row[f"{LIDAR}.shape"] == [64, 48, 4] and len(row[f"{LIDAR}.values"]) == 64 * 48 * 4
    schema = pq.read_schema(file)
    assert schema.field(f"{LIDAR}.values").type == pa.list_(pa.float32())
    assert schema.field(f"{LIDAR}.shape").type == pa.list_(pa.int32(), 3)
    for component, column in (("vehicle_pose", "world_from_vehicle"), ("lidar_calibration", "extrinsic")):
        schema = pq.read_schema(next((world / "validation" / component).glob("*.parquet")))
        (kind,) = [field.type for field in schema if field.name.endswith(f"{column}.transform")]
        assert kind == pa.list_(pa.float64(), 16)
    folders = {path.name for path in (world / "validation").iterdir()}
    assert folders == {"lidar", "lidar_calibration", "lidar_pose", "lidar_segmentation", "vehicle_pose"}


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_points_follow_the_official_formula_pixel_by_pixel(seed: int) -> None:
    """Slow and independent: one pixel at a time, rotation by rotation, after the comments of the official tool."""
    rng = np.random.default_rng(seed)
    height, width = 4, 7
    beams = np.sort(rng.uniform(-0.3, 0.05, height))
    frame, n = np.eye(4), 6
    turn = rotation(*rng.uniform(-0.2, 0.2, 2), rng.uniform(-3, 3))
    frame[:3, :3], frame[:3, 3] = turn, rng.uniform(-50, 50, 3)
    row, column, distance = rng.integers(0, height, n), rng.integers(0, width, n), rng.uniform(1, 70, n)
    pose = np.column_stack((rng.uniform(-0.2, 0.2, (n, 2)), rng.uniform(-3, 3, n), rng.uniform(-50, 50, (n, 3))))
    calibration = LaserCalibration(extrinsic(), beams[::-1])
    points = points_of(distance, row, column, width, calibration, pose, frame)
    for k in range(n):
        ratio = (width - column[k] - 0.5) / width
        azimuth = (ratio * 2 - 1) * np.pi - np.arctan2(extrinsic()[1, 0], extrinsic()[0, 0])
        beam = beams[height - 1 - row[k]]
        point = distance[k] * np.array([np.cos(azimuth) * np.cos(beam), np.sin(azimuth) * np.cos(beam), np.sin(beam)])
        vehicle = (extrinsic() @ [*point, 1])[:3]
        world_point = rotation(*pose[k, :3]) @ vehicle + pose[k, 3:]
        np.testing.assert_allclose(points[k], turn.T @ (world_point - frame[:3, 3]), atol=1e-9)


def rotation(roll: float, pitch: float, yaw: float) -> np.ndarray:
    c, s = np.cos, np.sin
    x = np.array([[1, 0, 0], [0, c(roll), -s(roll)], [0, s(roll), c(roll)]])
    y = np.array([[c(pitch), 0, s(pitch)], [0, 1, 0], [-s(pitch), 0, c(pitch)]])
    z = np.array([[c(yaw), -s(yaw), 0], [s(yaw), c(yaw), 0], [0, 0, 1]])
    return z @ y @ x


def test_each_pixel_is_moved_by_its_own_pose(copy: Path) -> None:
    """The car is moved by whole metres in the world while it measures the lower half of the image."""
    before = first_of(copy)
    points, pixels = before[0].xyz.astype(np.float64), before.pixels(0)
    vehicle = "[VehiclePoseComponent].world_from_vehicle.transform"
    turn = np.reshape(pq.read_table(before.files(before.names[0])[3])[vehicle][0].as_py(), (4, 4))[:3, :3]
    step = np.array([2.0, -1.0, 0.5])

    def moved(values: list[float]) -> list[float]:
        image = np.array(values, np.float32).reshape(64, -1, 6)
        image[32:, :, 3:] += step.astype(np.float32)
        return image.reshape(-1).tolist()

    change(copy, "lidar_pose", "[LiDARPoseComponent].range_image_return1.values", moved)
    expected = points + np.where(pixels.row[:, None] >= 32, step @ turn, 0)  # from the world into the vehicle's frame
    np.testing.assert_allclose(first_of(copy)[0].xyz, expected, atol=1e-4)
    assert 0 < (pixels.row >= 32).mean() < 1


def test_rows_of_other_lasers_are_not_taken_for_the_top_lidars(copy: Path) -> None:
    """Rows of the side lidars have the same times, come later and have other numbers; their images are smaller."""
    expected = first_of(copy)[0]
    for component in ("lidar", "lidar_segmentation", "lidar_pose", "lidar_calibration"):
        file = sorted((copy / "training" / component).glob("*.parquet"))[0]
        table = pq.read_table(file)
        other = table.set_column(
            table.schema.names.index("key.laser_name"),
            table.schema.field("key.laser_name"),
            pa.array([2] * len(table), pa.int8()),
        )
        for index, field in enumerate(table.schema):
            if field.name.endswith(".values"):
                other = other.set_column(index, field, pa.array([[0.0]] * len(table)).cast(field.type))
            elif field.name.endswith(".shape"):
                other = other.set_column(index, field, pa.array([[1, 1, 1]] * len(table), field.type))
        pq.write_table(pa.concat_tables([table, other]), file)
    scans = first_of(copy)
    assert len(scans) == 2
    np.testing.assert_array_equal(scans[0].xyz, expected.xyz)
    np.testing.assert_array_equal(scans[0].label, expected.label)


def test_beams_are_uniform_if_the_calibration_lists_no_inclinations(copy: Path) -> None:
    prefix = "[LiDARCalibrationComponent].beam_inclination"
    change(copy, "lidar_calibration", f"{prefix}.values", lambda value: None)
    change(copy, "lidar_calibration", f"{prefix}.min", lambda value: -0.3)
    change(copy, "lidar_calibration", f"{prefix}.max", lambda value: 0.1)
    dataset = first_of(copy)
    inclinations = dataset.calibration(dataset.sequences[0], 4).inclination
    np.testing.assert_allclose(inclinations, [0.05, -0.05, -0.15, -0.25])  # the image's top row looks up


def test_angles_of_a_pose_are_recovered() -> None:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation(0.1, -0.2, 2.5), (1, 2, 3)
    angles = euler(pose)
    np.testing.assert_allclose(angles, [0.1, -0.2, 2.5, 1, 2, 3], atol=1e-12)
    np.testing.assert_allclose(uniform_inclinations(-0.2, 0.2, 2), [0.1, -0.1])


def test_frames_point_range_and_worker_processes(world: Path) -> None:
    whole = WaymoSegmentation(world, "train")
    segment, time = whole.names[2].split("/")
    one = WaymoSegmentation(world, "train", frames=[(segment, int(time))])
    assert one.names == [whole.names[2]]
    with pytest.raises(DataError, match="1 of 1 frames are missing"):
        WaymoSegmentation(world, "train", frames=[(segment, 5)])
    near = WaymoSegmentation(world, "train", point_range=(-20, -20, -2, 20, 20, 4))
    assert 0 < len(near[0]) < len(whole[0]) and np.abs(near[0].xyz[:, :2]).max() <= 20
    assert len(near.pixels(0).row) == len(near[0])
    again = pickle.loads(pickle.dumps(whole))
    np.testing.assert_array_equal(again[1].xyz, whole[1].xyz)


def test_unlabelled_pixels_are_ignored_and_test_has_no_labels(copy: Path) -> None:
    column = "[LiDARSegmentationLabelComponent].range_image_return2.values"
    change(copy, "lidar_segmentation", column, lambda value: None)
    dataset = first_of(copy)
    assert (dataset[0].label[dataset.pixels(0).return_index == 1] == IGNORE).all()
    (copy / "training").rename(copy / "testing")
    shutil.rmtree(copy / "testing" / "lidar_segmentation")
    assert WaymoSegmentation(copy, "test")[0].label is None


def test_both_returns_are_decoded_at_once(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, reads = WaymoSegmentation(world, "train"), []
    dataset.pixels(0)  # the components are open and know their rows from here on
    real = Component._read
    monkeypatch.setattr(
        Component,
        "_read",
        lambda self, group, columns: reads.append((self.name, columns)) or real(self, group, columns),
    )
    dataset[0]
    images = [name for name, columns in reads if any(column.endswith("values") for column in columns)]
    assert sorted(images).count("lidar") == images.count("lidar_segmentation") == images.count("lidar_pose") == 1
    reads.clear()
    assert dataset.image_shape(0) == (64, 48)
    assert [columns for _, columns in reads] == [[f"{LIDAR}.shape"]]


def test_a_second_write_gives_the_same_bytes(world: Path, tmp_path: Path) -> None:
    write_waymo(tmp_path, SMALL)
    for file in tmp_path.rglob("*.parquet"):
        assert file.read_bytes() == (world / file.relative_to(tmp_path)).read_bytes()

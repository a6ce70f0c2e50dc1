import pickle
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topokd import params
from topokd.data import IGNORE
from topokd.datasets import WaymoSegmentation
from topokd.datasets.waymo.classes import WAYMO
from topokd.datasets.waymo.parquet import Component
from topokd.datasets.waymo.range_image import Calibration, points_of, uniform_inclinations
from topokd.errors import DataError
from topokd.synthetic import write_waymo
from topokd.synthetic.classes import WAYMO_OF_RAW
from topokd.synthetic.scanner import measure, street_of
from topokd.synthetic.sensor import SENSORS
from topokd.synthetic.waymo_writer import TRANSLATION, euler, extrinsic

SMALL = params.Synthetic(
    azimuths=48, train_sequences=(0, 3), val_sequences=(8,), scans_per_sequence=2, val_scans_per_sequence=1
)
LIDAR = "[LiDARComponent].range_image_return1"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("waymo")
    write_waymo(root, SMALL)
    return root


@pytest.fixture
def copy(world: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(world, tmp_path / "waymo"))


def change(root: Path, component: str, column: str, new) -> Path:
    """Replace the values of a column in a component of the first training segment."""
    file = sorted((root / "training" / component).glob("*.parquet"))[0]
    table = pq.read_table(file)
    index = table.schema.names.index(column)
    values = [new(value) for value in table[column].to_pylist()]
    table = table.set_column(index, table.schema.field(column), pa.array(values, table.schema.field(column).type))
    pq.write_table(table, file, row_group_size=1)
    return file


def first_of(root: Path) -> WaymoSegmentation:
    """The dataset of the segment that ``change`` changes."""
    segment = sorted((root / "training" / "lidar").glob("*.parquet"))[0].stem
    return WaymoSegmentation(root, (segment,))


def test_round_trip_gives_the_world(world: Path) -> None:
    dataset = WaymoSegmentation(world, "train")
    assert len(dataset) == 4 and len(dataset.sequences) == 2 and len(WaymoSegmentation(world, "val")) == 1
    names = {measured_segment(k): k for k in (0, 3)}
    for index in range(4):
        sequence, frame = names[dataset.names[index].split("/")[0]], index % 2
        found = measure(
            street_of(0, sequence, 2), frame, SENSORS["waymo64"], 48, np.random.default_rng([0, sequence, frame, 1])
        )
        scan, pixels = dataset[index], dataset.pixels(index)
        first = pixels.return_index == 0
        order = np.lexsort((found.column, found.row))
        np.testing.assert_array_equal(pixels.row[first], found.row[order])
        np.testing.assert_array_equal(pixels.column[first], found.column[order])
        np.testing.assert_allclose(scan.xyz[first], found.xyz[order] + np.array(TRANSLATION), atol=5e-5)
        np.testing.assert_allclose(scan.intensity[first], found.intensity[order], atol=1e-6)
        np.testing.assert_array_equal(scan.label[first], WAYMO.class_of_raw(WAYMO_OF_RAW[found.raw[order]]))
        np.testing.assert_array_equal(scan.instance[first], found.instance[order])


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
    calibration = Calibration(extrinsic(), beams[::-1])
    found = points_of(distance, row, column, width, calibration, pose, frame)
    for k in range(n):
        ratio = (width - column[k] - 0.5) / width
        azimuth = (ratio * 2 - 1) * np.pi - np.arctan2(extrinsic()[1, 0], extrinsic()[0, 0])
        beam = beams[height - 1 - row[k]]
        point = distance[k] * np.array([np.cos(azimuth) * np.cos(beam), np.sin(azimuth) * np.cos(beam), np.sin(beam)])
        vehicle = (extrinsic() @ [*point, 1])[:3]
        world_point = rotation(*pose[k, :3]) @ vehicle + pose[k, 3:]
        np.testing.assert_allclose(found[k], turn.T @ (world_point - frame[:3, 3]), atol=1e-9)


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
    found = first_of(copy)
    assert len(found) == 2
    np.testing.assert_array_equal(found[0].xyz, expected.xyz)
    np.testing.assert_array_equal(found[0].label, expected.label)


def test_beams_are_uniform_if_the_calibration_lists_no_inclinations(copy: Path) -> None:
    prefix = "[LiDARCalibrationComponent].beam_inclination"
    change(copy, "lidar_calibration", f"{prefix}.values", lambda value: None)
    change(copy, "lidar_calibration", f"{prefix}.min", lambda value: -0.3)
    change(copy, "lidar_calibration", f"{prefix}.max", lambda value: 0.1)
    dataset = first_of(copy)
    found = dataset.calibration(dataset.sequences[0], 4).inclination
    np.testing.assert_allclose(found, [0.05, -0.05, -0.15, -0.25])  # the image's top row looks up


def test_angles_of_a_pose_give_it_back() -> None:
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


def test_missing_folders_and_unknown_names(world: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no \*.parquet files"):
        WaymoSegmentation(tmp_path, "train")
    with pytest.raises(DataError, match="components lidar, lidar_calibration, lidar_pose and vehicle_pose"):
        WaymoSegmentation(tmp_path, "test")
    with pytest.raises(DataError, match="unknown split"):
        WaymoSegmentation(world, "training")
    with pytest.raises(DataError, match="no lidar_segmentation of segment nowhere"):
        WaymoSegmentation(world, ("nowhere",))


def test_a_second_write_gives_the_same_bytes(world: Path, tmp_path: Path) -> None:
    write_waymo(tmp_path, SMALL)
    for file in tmp_path.rglob("*.parquet"):
        assert file.read_bytes() == (world / file.relative_to(tmp_path)).read_bytes()

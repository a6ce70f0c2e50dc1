"""Labels of single scans from accumulated clouds: a car drives and turns past points that each have a class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from plyfile import PlyData, PlyElement
from scipy.spatial.transform import Rotation
from typer.testing import CliRunner

from topokd.cli import app
from topokd.conversion.kitti360 import convert_kitti360, without_motion
from topokd.conversion.kitti360_files import read_accumulated, read_poses
from topokd.errors import DataError, ParameterError
from topokd.label_maps import MappedDataset, load_label_map

DRIVE = "2013_05_28_drive_0003_sync"
ROAD, BUILDING, CAR, GARAGE = 7, 11, 26, 34
CAMERA = np.array([[0.0, 0, 1, 0.2], [-1, 0, 0, 0.1], [0, -1, 0, 1.5], [0, 0, 0, 1]])  # camera to vehicle
SCANNER = np.array([[0.0, 0, 1, 0.3], [-1, 0, 0, 0], [0, -1, 0, -0.1], [0, 0, 0, 1]])  # camera to scanner
FRAMES = range(10, 30)


def pose_of(frame: int) -> np.ndarray:
    """Vehicle to world: 2 m and 3 degrees a frame, far from the world's origin."""
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("z", 3 * frame, degrees=True).as_matrix()
    pose[:3, 3] = (800 + 2 * frame, 3700 + 0.1 * frame**2, 110)
    return pose


def scanned(points: np.ndarray, frame: int) -> np.ndarray:
    """World points as a turning scanner on the moving car sees them, by solving d(p) = (W C V^-1)^-1 q for p."""
    to_world = [pose_of(f) @ CAMERA @ np.linalg.inv(SCANNER) for f in (frame - 1, frame)]
    still = (points - to_world[1][:3, 3]) @ to_world[1][:3, :3]
    step = np.linalg.inv(to_world[1]) @ to_world[0]
    turn, seen = Rotation.from_matrix(step[:3, :3]).as_rotvec(), still
    for _ in range(50):
        share = np.arctan2(seen[:, 1], seen[:, 0])[:, None] / (2 * np.pi)
        seen = Rotation.from_rotvec(-share * turn).apply(still - share * step[:3, 3])
    return seen


def write_ply(path: Path, xyz: np.ndarray, ids: np.ndarray, **more: np.ndarray) -> None:
    fields = {
        **dict(zip("xyz", xyz.T.astype("f4"), strict=True)),
        **{name: np.zeros(len(xyz), "u1") for name in ("red", "green", "blue")},
        **{"semantic": ids.astype("i4"), "instance": (1000 * ids + 3).astype("i4"), "visible": np.ones(len(xyz), "u1")},
        **{**more, "confidence": np.ones(len(xyz), "f4")},
    }
    rows = np.zeros(len(xyz), [(name, values.dtype) for name, values in fields.items()])
    for name, values in fields.items():
        rows[name] = values
    path.parent.mkdir(parents=True, exist_ok=True)
    PlyData([PlyElement.describe(rows, "vertex")], byte_order="<").write(str(path))


def line(matrix: np.ndarray) -> str:
    return " ".join(f"{value:.12g}" for value in matrix[:3].ravel())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two windows that share frames 20 and 21, and a car that keeps 1 m ahead and to the left."""
    root, rng = tmp_path / "KITTI-360", np.random.default_rng(0)
    for folder, text in (
        ("calibration/calib_cam_to_pose.txt", f"image_00: {line(CAMERA)}\nimage_01: {line(CAMERA)}\n"),
        ("calibration/calib_cam_to_velo.txt", line(SCANNER) + "\n"),
        (f"data_poses/{DRIVE}/poses.txt", "".join(f"{f} {line(pose_of(f))}\n" for f in FRAMES if f != 17)),
    ):
        (root / folder).parent.mkdir(parents=True, exist_ok=True)
        (root / folder).write_text(text)
    semantics = root / "data_3d_semantics" / "train"
    centre = pose_of(20)[:3, 3]
    grid = np.stack(np.meshgrid(np.arange(-30, 31, 1.0), np.arange(-30, 31, 1.0), [0.0, 1.0]), -1).reshape(-1, 3)
    world = centre + grid + rng.uniform(-0.05, 0.05, grid.shape)
    ids = rng.choice([ROAD, BUILDING, GARAGE, 0], len(world))
    cars = {f: pose_of(f)[:3, 3] + [6, 4, 3] + rng.uniform(-0.5, 0.5, (30, 3)) for f in FRAMES}
    for split, (first, last) in {"train": (10, 21), "val": (20, 29)}.items():
        name = f"{first:010d}_{last:010d}.ply"
        (semantics / DRIVE / "static").mkdir(parents=True, exist_ok=True)
        listed = f"data_3d_semantics/train/{DRIVE}/static/"
        missing = f"{listed}0000000100_0000000200.ply"  # not unpacked here
        (semantics / f"2013_05_28_drive_{split}.txt").write_text(f"{listed}{name}\n{missing}\n")
        write_ply(semantics / DRIVE / "static" / name, world, ids)
        frames = np.repeat(np.arange(first, last + 1), 30)
        moving = np.concatenate([cars[f] for f in range(first, last + 1)])
        write_ply(
            semantics / DRIVE / "dynamic" / name, moving, np.full(len(moving), CAR), timestamp=frames.astype("i4")
        )
    points = root / "data_3d_raw" / DRIVE / "velodyne_points" / "data"
    points.mkdir(parents=True)
    for frame in FRAMES:
        near = np.linalg.norm(world - pose_of(frame)[:3, 3], axis=1) < 20
        seen = np.concatenate((scanned(world[near], frame), scanned(cars[frame], frame), [[0.0, 0.0, 50.0]]))
        np.column_stack((seen, rng.uniform(0, 1, len(seen)))).astype("<f4").tofile(points / f"{frame:010d}.bin")
        truth = np.concatenate((ids[near], np.full(30, CAR), [0]))
        np.save(root / f"truth-{frame}.npy", truth)
    return root


def test_every_point_gets_the_class_of_its_place_although_the_car_moves(root: Path, tmp_path: Path) -> None:
    counts = convert_kitti360(root, tmp_path / "out")
    label_map = load_label_map("kitti360")
    train, val = (MappedDataset(tmp_path / "out", label_map, split) for split in ("train", "val"))
    assert train.names == [f"03/{f:06d}" for f in range(10, 20) if f != 17]  # 17 has no pose, 20 and 21 are of both
    assert val.names == [f"03/{f:06d}" for f in range(22, 30)] and counts["scans"] == 17
    for name in (*train.names[1:], *val.names):  # the first frame has no pose before it
        truth = np.load(root / f"truth-{int(name[-6:])}.npy")
        written = np.fromfile(tmp_path / "out" / "sequences" / "03" / "labels" / f"{name[-6:]}.label", "<u4")
        scan = np.fromfile(tmp_path / "out" / "sequences" / "03" / "velodyne" / f"{name[-6:]}.bin", "<f4")
        x, y, *_ = scan.reshape(-1, 4).T
        # behind the car a turn ends and another begins; nearer than the car moves in one, directions are not unique
        sure = (np.abs(np.degrees(np.arctan2(y, x))) < 165) & (np.hypot(x, y) > 4)
        assert sure.mean() > 0.5
        assert (written & 0xFFFF == truth)[sure].all()
        assert ((written >> 16) == 1000 * truth + 3)[sure & (truth > 0)].all()
    scan = train[1]
    assert scan.label is not None and set(scan.label.tolist()) <= {-1, 0, 2, 12}


def test_the_motion_within_a_scan_matters_here(root: Path) -> None:
    raw = np.fromfile(root / "data_3d_raw" / DRIVE / "velodyne_points/data/0000000015.bin", "<f4").reshape(-1, 4)
    to_world = [pose_of(f) @ CAMERA @ np.linalg.inv(SCANNER) for f in (14, 15)]
    still = without_motion(raw[:, :3].astype(float), np.linalg.inv(to_world[1]) @ to_world[0], 1)
    assert np.linalg.norm(still - raw[:, :3], axis=1).max() > 1.0


def test_the_command_converts_resumes_and_its_result_passes_the_check(root: Path, tmp_path: Path) -> None:
    command = ["data", "convert", "kitti360", str(root), "-o", str(tmp_path / "out"), "--every", "3"]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert done.exit_code == 0 and "7 scans" in done.output, done.output
    first, second, *_ = sorted((tmp_path / "out").rglob("*.bin"))
    before = first.stat().st_mtime_ns
    second.unlink()
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert done.exit_code == 0 and first.stat().st_mtime_ns == before and second.is_file()
    done = CliRunner().invoke(app, ["data", "check", str(tmp_path / "out"), "--labels", "kitti360"])
    assert done.exit_code == 0 and "train: 4 scans" in done.output and "nothing is wrong" in done.output, done.output
    done = CliRunner().invoke(app, [*command[:-1], "2"])
    assert isinstance(done.exception, DataError) and "with other options" in str(done.exception)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("calibration/calib_cam_to_velo.txt", "unpack calibration"),
        (f"data_poses/{DRIVE}/poses.txt", "unpack data_poses"),
        ("data_3d_semantics/train/2013_05_28_drive_val.txt", "it lists the accumulated clouds"),
        (f"data_3d_semantics/train/{DRIVE}/static", "none of the clouds that its lists name"),
        (f"data_3d_raw/{DRIVE}/velodyne_points", "no scan with a pose"),
    ],
)
def test_a_missing_part_of_the_data_set_is_named(root: Path, tmp_path: Path, damage: str, words: str) -> None:
    (root / damage).rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=words):
        convert_kitti360(root, tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "words"), [({"distance": float("nan")}, "distance is nan"), ({"every": 0}, "every is 0")]
)
def test_options_out_of_range_are_rejected(root: Path, tmp_path: Path, options: dict, words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        convert_kitti360(root, tmp_path / "out", **options)


def test_a_folder_of_other_files_is_left_alone(root: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="not an empty folder"):
        convert_kitti360(root, tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"format", b"farmot", "damaged"),
        (b"property float y", b"property float x", "damaged"),
        (b"element vertex 3", b"element vertex 4", "damaged"),
        (np.float32(2.1).tobytes(), np.float32(np.nan).tobytes(), "NaN or infinity, first in row 1"),
    ],
    ids=["header", "fields", "length", "not finite"],
)
def test_a_damaged_cloud_is_an_error_that_names_it(tmp_path: Path, old: bytes, new: bytes, words: str) -> None:
    fields = [("x", "f4"), ("y", "f4"), ("z", "f4"), ("semantic", "i4"), ("instance", "i4")]
    vertex = np.array([(1, 0, 0, 7, 0), (2.1, 0, 0, 7, 0), (3, 0, 0, 7, 0)], fields)
    file = tmp_path / "window.ply"
    PlyData([PlyElement.describe(vertex, "vertex")]).write(str(file))
    assert read_accumulated(file) is not None
    content = file.read_bytes()
    assert content.count(old) == 1
    file.write_bytes(content.replace(old, new))
    with pytest.raises(DataError, match=rf"window\.ply.*{words}"):
        read_accumulated(file)


@pytest.mark.parametrize("frame", ["²", "1" * 5000, "-1", "x"], ids=len)
def test_a_frame_that_is_no_number_is_an_error_that_names_its_line(tmp_path: Path, frame: str) -> None:
    file = tmp_path / "poses.txt"
    file.write_text(f"0 1 0 0 5 0 1 0 6 0 0 1 7\n{frame} 1 0 0 5 0 1 0 6 0 0 1 7\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"poses\.txt, line 2, is not a frame"):
        read_poses(file)

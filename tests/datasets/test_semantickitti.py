import logging
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from topokd.data import IGNORE, Scan
from topokd.datasets import SemanticKITTI
from topokd.datasets.semantickitti.classes import SEMANTICKITTI
from topokd.datasets.semantickitti.files import class_of_raw, write_scan, write_sequence_files
from topokd.datasets.semantickitti.real_statistics import real_statistics
from topokd.datasets.statistics import statistics
from topokd.errors import DataError


def make(seed: int, n: int = 20) -> Scan:
    rng = np.random.default_rng(seed)
    return Scan(rng.normal(size=(n, 3)), rng.random(n), rng.integers(-1, 19, n), rng.integers(0, 9, n))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for frame in range(3):
        write_scan(tmp_path, 8, frame, make(frame))
    return tmp_path


def files(root: Path, frame: int) -> tuple[Path, Path]:
    folder = root / "sequences/08"
    return folder / f"velodyne/{frame:06d}.bin", folder / f"labels/{frame:06d}.label"


def test_written_scans_are_read_back_unchanged(root: Path) -> None:
    dataset = SemanticKITTI(root, "val")
    assert dataset.names == ["08/000000", "08/000001", "08/000002"]
    for scan, seed in zip(dataset, range(3), strict=True):
        for field in ("xyz", "intensity", "label", "instance"):
            np.testing.assert_array_equal(getattr(scan, field), getattr(make(seed), field))
    assert dataset[-1].name == "08/000002"
    with pytest.raises(IndexError):
        dataset[3]


def test_raw_ids_follow_the_official_learning_map() -> None:
    assert class_of_raw(np.array(SEMANTICKITTI.raw_ids)).tolist() == list(range(19))
    ignored, moving = [0, 1, 52, 99], {252: 0, 258: 3, 254: 5, 253: 6, 255: 7, 257: 4, 259: 4, 60: 8}
    assert class_of_raw(np.array(ignored)).tolist() == [IGNORE] * 4
    assert class_of_raw(np.array(list(moving))).tolist() == list(moving.values())


def test_test_split_has_no_labels(tmp_path: Path) -> None:
    write_scan(tmp_path, 11, 0, Scan(np.ones((4, 3)), np.zeros(4)))
    assert SemanticKITTI(tmp_path, "test")[0].label is None
    assert not (tmp_path / "sequences/11/labels").exists()


def truncate(root: Path) -> None:
    points, _ = files(root, 1)
    points.write_bytes(points.read_bytes()[:-3])


def empty(root: Path) -> None:
    for path in files(root, 1):
        path.write_bytes(b"")


def lose_points(root: Path) -> None:
    points, _ = files(root, 1)
    points.write_bytes(points.read_bytes()[:-16])


def lose_labels(root: Path) -> None:
    files(root, 1)[1].unlink()


def spoil(root: Path) -> None:
    values = np.fromfile(files(root, 1)[0], np.float32)
    values[[4, 9]] = np.nan, np.inf
    values.tofile(files(root, 1)[0])


def mislabel(root: Path) -> None:
    raw = np.fromfile(files(root, 1)[1], np.uint32)
    raw[:3] = 7, 7, 12 + (5 << 16)
    raw.tofile(files(root, 1)[1])


BAD = [
    (truncate, r"velodyne/000001.bin has 317 bytes, not a multiple of 16"),
    (empty, r"velodyne/000001.bin is empty"),
    (lose_points, r"labels/000001.label has 80 bytes, but its scan has 19 points"),
    (lose_labels, r"labels/000001.label does not exist"),
    (spoil, r"velodyne/000001.bin: .*xyz holds NaN or infinity, first in row 1 of 20"),
    (mislabel, r"labels/000001.label: class ids 7 \(2 points\), 12 \(1 points\)"),
]


@pytest.mark.parametrize(("damage", "message"), BAD)
def test_a_bad_scan_stops_the_run_by_name(root: Path, damage, message: str) -> None:
    damage(root)
    with pytest.raises(DataError, match=message):
        list(SemanticKITTI(root, "val"))


@pytest.mark.parametrize(("damage", "message"), BAD)
def test_a_bad_scan_is_skipped_and_counted(root: Path, damage, message: str, caplog: pytest.LogCaptureFixture) -> None:
    damage(root)
    with caplog.at_level(logging.WARNING):
        dataset = SemanticKITTI(root, "val", on_bad_scan="skip")
    assert dataset.names == ["08/000000", "08/000002"] and len(list(dataset)) == 2
    assert [name for name, _ in dataset.skipped] == ["08/000001"] and "08/000001" in caplog.text
    assert re.search(message, dataset.skipped[0][1])


def test_only_bad_scans_are_an_error(root: Path) -> None:
    for frame in range(3):
        files(root, frame)[0].write_bytes(b"x")
    with pytest.raises(DataError, match="no usable scan .3 skipped"):
        SemanticKITTI(root, "val", on_bad_scan="skip")


def test_wrong_roots_and_splits_raise_and_missing_sequences_are_logged(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(DataError, match=r"nowhere/sequences does not exist"):
        SemanticKITTI(root / "nowhere", "val")
    with pytest.raises(DataError, match="did you mean"):
        SemanticKITTI(root / "sequences", "val")
    with pytest.raises(DataError, match="unknown split 'valid'"):
        SemanticKITTI(root, "valid")
    with pytest.raises(DataError, match="looked for sequences 00, 01, .* there are 08"):
        SemanticKITTI(root, "train")
    with pytest.raises(DataError, match="looked for sequence 03"):
        SemanticKITTI(root, (3, 8))
    write_scan(root, 9, 0, make(5))
    with caplog.at_level(logging.WARNING):
        assert SemanticKITTI(root, "train").names == ["09/000000"]
    assert "lacks sequences 00, 01" in caplog.text


def test_half_written_files_do_not_count_as_scans(root: Path) -> None:
    (root / "sequences/08/velodyne/.000003-abc.bin").write_bytes(b"")
    assert len(SemanticKITTI(root, "val")) == 3


def test_poses_are_the_camera_path(tmp_path: Path) -> None:
    poses = np.tile(np.eye(4), (2, 1, 1))
    poses[:, :3, 3] = (10, 5, 1), (13, 6, 1)  # LiDAR axes: x forward, y left, z up
    write_sequence_files(tmp_path, 0, poses, [0.0, 1.5])
    rows = np.loadtxt(tmp_path / "sequences/00/poses.txt").reshape(2, 3, 4)
    np.testing.assert_allclose(rows[0], np.eye(3, 4), atol=1e-9)
    np.testing.assert_allclose(rows[1, :, 3], (-1, 0, 3), atol=1e-9)  # camera axes: x right, y down, z forward
    calibration = (tmp_path / "sequences/00/calib.txt").read_text().splitlines()
    assert [line.split(":")[0] for line in calibration] == ["P0", "P1", "P2", "P3", "Tr"]


def test_the_real_scans_have_the_committed_statistics(real_scans: Path) -> None:
    dataset = SemanticKITTI(real_scans, tuple(range(11)), cache=0)
    assert len(dataset) == 34
    assert len(SemanticKITTI(real_scans, "train")) == 30 and len(SemanticKITTI(real_scans, "val")) == 4
    measured, committed = statistics(dataset), real_statistics()["statistics"]
    assert measured["class_points"] == committed["class_points"]
    np.testing.assert_allclose(measured["range_histogram"], committed["range_histogram"], atol=2e-6)
    share = measured["class_frequency"]
    assert share["road"] > 0.2 and share["vegetation"] > 0.1 and share["person"] < 0.01
    assert measured["points_per_scan"]["min"] > 120_000 and measured["range_max"] < 120


def test_a_bad_scan_in_a_real_folder_is_skipped_or_named(real_scans: Path, tmp_path: Path) -> None:
    for kind, suffix in (("velodyne", "bin"), ("labels", "label")):
        target = tmp_path / "sequences/08" / kind
        target.mkdir(parents=True)
        for frame in ("000000", "000004"):
            shutil.copy(real_scans / f"sequences/08/{kind}/{frame}.{suffix}", target)
    with (tmp_path / "sequences/08/labels/000004.label").open("r+b") as stream:
        stream.truncate(1000)
    assert SemanticKITTI(tmp_path, "val", on_bad_scan="skip").names == ["08/000000"]


def test_accumulated_scans_are_moved_by_the_poses(tmp_path: Path) -> None:
    from topokd import params
    from topokd.synthetic import SyntheticLidar, write_semantickitti
    from topokd.synthetic.scanner import sequence_poses

    small = params.Synthetic(azimuths=48, train_sequences=(), val_sequences=(0,), val_scans_per_sequence=3)
    write_semantickitti(tmp_path, small)
    alone, several = SemanticKITTI(tmp_path, (0,)), SemanticKITTI(tmp_path, (0,), sweeps=2)
    poses, _ = sequence_poses(small, 0, 3)
    here, before = alone[2], alone[1]
    world = before.xyz.astype(np.float64) @ poses[1][:3, :3].T + poses[1][:3, 3]
    expected = (world - poses[2][:3, 3]) @ poses[2][:3, :3]
    np.testing.assert_array_equal(several[2].xyz[: len(here)], here.xyz)
    np.testing.assert_allclose(several[2].xyz[len(here) :], expected, atol=1e-4)
    np.testing.assert_array_equal(several[2].label, np.concatenate((here.label, before.label)))
    assert len(several[0]) == len(alone[0])
    validation = SyntheticLidar(tmp_path, "val", small, sweeps=2)  # evaluation counts each point once
    np.testing.assert_array_equal(validation[2].xyz, several[2].xyz)
    np.testing.assert_array_equal(validation[2].label, np.append(here.label, np.full(len(before), IGNORE)))
    folder = tmp_path / "sequences/00"
    zero = " ".join("0" * 12)
    for content, words in (
        (b"1 0 0\n", "poses.txt, line 1 has 3 numbers"),
        (b"", "poses.txt is empty"),
        (b"\xff\xfe\x00", "poses.txt is not a text file"),
        (zero.encode(), "poses.txt, line 1 is not a rotation and translation"),
    ):
        (folder / "poses.txt").write_bytes(content)
        with pytest.raises(DataError, match=words):
            SemanticKITTI(tmp_path, (0,), sweeps=2)[2]
    (folder / "calib.txt").write_text(f"Tr: {zero}\n")
    with pytest.raises(DataError, match=r"calib.txt, Tr is not a rotation and translation"):
        SemanticKITTI(tmp_path, (0,), sweeps=2)[2]

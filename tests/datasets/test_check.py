import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from topokd import params
from topokd.cli import app
from topokd.data import Scan
from topokd.datasets import BENCHMARKS, NuScenesLidarSeg
from topokd.datasets.benchmark import Release, SplitSize
from topokd.datasets.check import check_dataset, detect_dataset
from topokd.datasets.nuscenes import published as nuscenes
from topokd.datasets.semantickitti.files import write_scan, write_sequence_files
from topokd.errors import DataError
from topokd.synthetic import write_nuscenes, write_waymo

SMALL = params.Synthetic(
    azimuths=32, train_sequences=(0, 3), val_sequences=(8,), scans_per_sequence=1, val_scans_per_sequence=1
)


@pytest.fixture
def kitti(tmp_path: Path) -> Path:
    root = tmp_path / "kitti"
    for sequence, frames in ((0, 3), (8, 2), (12, 1)):
        for frame in range(frames):
            label = None if sequence == 12 else np.array([8, 8, 0, -1])
            write_scan(root, sequence, frame, Scan(np.ones((4, 3)), np.zeros(4), label))
    return root


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("worlds")
    write_nuscenes(root / "nuscenes", SMALL)
    write_waymo(root / "waymo", SMALL)
    return root


def release(benchmark: str, name: str | None = None) -> Release:
    return BENCHMARKS[benchmark].releases[name or benchmark]


def test_a_subset_is_not_a_problem(kitti: Path) -> None:
    report = check_dataset(kitti)
    assert report.dataset == "semantickitti" and report.problems == []
    train, val, test = report.splits
    assert (train.scans, train.sequences, val.scans, test.scans) == (3, 1, 2, 1)
    assert train.subset and train.class_points["road"] == 6 and train.ignored == 3 and set(train.lengths) == {4}
    assert "a subset: 3 of 19,130 published scans" in "\n".join(train.lines())
    assert sum(test.class_points.values()) == 0


def test_each_damaged_file_is_named(kitti: Path) -> None:
    velodyne, labels = kitti / "sequences/00/velodyne", kitti / "sequences/00/labels"
    (velodyne / "000000.bin").write_bytes(b"\0" * 17)
    (labels / "000001.label").unlink()
    (velodyne / "000002.bin").unlink()
    (kitti / "sequences/08/labels/000001.label").write_bytes(np.full(4, 9, "<u4").tobytes())
    problems = check_dataset(kitti).problems
    assert len(problems) == 4
    for problem, words in zip(
        problems,
        ("000002.label belongs to no scan", "not a multiple of 16", "000001.label does not exist", "class id 9"),
        strict=True,
    ):
        assert words in problem  # fmt: skip


@pytest.mark.parametrize(
    ("published", "words"),
    [(2, "1 more than are published"), (3, "labelled points are car"), (100, None)],
)
def test_sizes_and_shares_are_compared(
    kitti: Path, monkeypatch: pytest.MonkeyPatch, published: int, words: str | None
) -> None:
    monkeypatch.setitem(release("semantickitti").sizes, "train", SplitSize(published, "scans", ""))
    problems = check_dataset(kitti).problems
    assert any(words in problem for problem in problems) if words else problems == []


def test_a_nearly_complete_split_is_an_incomplete_copy(kitti: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for frame in range(3, 38):
        write_scan(kitti, 0, frame, Scan(np.ones((1, 3)), np.zeros(1), np.array([8])))
    monkeypatch.setitem(release("semantickitti").sizes, "train", SplitSize(40, "scans", ""))
    assert ["lacks 2 of 40 scans" in problem for problem in check_dataset(kitti).problems] == [True]


def test_published_sizes_add_up_to_the_totals_of_the_sources() -> None:
    releases = {name: release for benchmark in BENCHMARKS.values() for name, release in benchmark.releases.items()}
    size = {name: {split: size.count for split, size in release.sizes.items()} for name, release in releases.items()}
    assert size["semantickitti"]["train"] + size["semantickitti"]["val"] == 23_201
    assert size["v1.0-mini"]["train"] + size["v1.0-mini"]["val"] == 404
    assert sum(size["waymo"].values()) == 1_150 and size["v1.0-trainval"]["train"] == 28_130
    assert all(size.citation for release in releases.values() for size in release.sizes.values())


def test_published_shares_sum_to_one() -> None:
    shares = {
        name: published.shares.shares
        for benchmark in BENCHMARKS.values()
        for name, published in benchmark.releases.items()
        if published.shares
    }
    assert {name: len(published) for name, published in shares.items()} == {"semantickitti": 19, "v1.0-trainval": 16}
    assert all(sum(published.values()) == pytest.approx(1) for published in shares.values())
    # the totals of the published tables: annotated objects, and the rest
    assert sum(nuscenes.POINTS.values()) == 78_942_623 + 1_106_713_569
    # a scan has 34,720 points on average, over all keyframes of train and val
    keyframes = sum(size.count for size in release("nuscenes", "v1.0-trainval").sizes.values())
    assert sum(nuscenes.POINTS.values()) / keyframes == pytest.approx(34_720, abs=1)


def test_shares_over_several_splits_need_all_of_them_complete(worlds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def problems(train: int) -> list[str]:
        sizes = release("nuscenes", "v1.0-trainval").sizes
        monkeypatch.setitem(sizes, "train", SplitSize(train, "keyframes", ""))
        monkeypatch.setitem(sizes, "val", SplitSize(1, "keyframes", ""))
        return check_dataset(worlds / "nuscenes").problems

    assert problems(200) == []  # train is a subset, so the two together say nothing
    assert any(problem.startswith("train and val: ") for problem in problems(2))


@pytest.mark.parametrize("kind", ["nuscenes", "waymo"])
def test_nuscenes_and_waymo_are_detected_and_checked(worlds: Path, kind: str) -> None:
    report = check_dataset(worlds / kind)
    assert report.dataset == kind and report.problems == []
    assert [(split.name, split.scans, split.subset) for split in report.splits] == [
        ("train", 2, True),
        ("val", 1, True),
    ]
    assert report.splits[0].class_points["car"] > 0


def test_missing_files_and_tables_of_nuscenes_are_problems(worlds: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(worlds / "nuscenes", tmp_path / "n"))
    sorted((root / "samples/LIDAR_TOP").iterdir())[0].unlink()
    assert ["does not exist" in problem for problem in check_dataset(root).problems] == [True]
    (root / "v1.0-trainval/sample.json").unlink()
    problems = check_dataset(root).problems
    assert problems and all("the table sample is missing" in problem for problem in problems)
    (root / "v1.0-trainval/scene.json").write_text(json.dumps([]))
    with pytest.raises(DataError, match="has no split"):
        check_dataset(root)


def test_files_that_no_table_names_are_a_problem(worlds: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(worlds / "nuscenes", tmp_path / "n"))
    for folder in ("samples/LIDAR_TOP", "lidarseg/v1.0-trainval", "panoptic/v1.0-trainval"):
        (root / folder / "stray.bin").write_bytes(b"x")
    (root / "samples/LIDAR_TOP/.half-written").touch()
    problems = check_dataset(root).problems
    assert [problem.split(":")[0] for problem in problems] == [
        f"{root / folder} holds 1 files that no table names, the first"
        for folder in ("samples/LIDAR_TOP", "lidarseg/v1.0-trainval", "panoptic/v1.0-trainval")
    ]


def test_some_missing_sweeps_are_a_problem_and_all_missing_a_note(tmp_path: Path) -> None:
    world = params.Synthetic(
        azimuths=32, train_sequences=(0,), val_sequences=(8,), scans_per_sequence=3, val_scans_per_sequence=1
    )
    write_nuscenes(tmp_path / "n", world, sweeps_between=1)
    sweeps = sorted((tmp_path / "n/sweeps/LIDAR_TOP").iterdir())
    report = check_dataset(tmp_path / "n")
    assert len(sweeps) == 2 and report.problems == [] and not any(split.notes for split in report.splits)
    sweeps[0].unlink()
    (problem,) = check_dataset(tmp_path / "n").problems
    assert f"1 of the 2 sweeps of v1.0-trainval are missing, the first: {sweeps[0]}" in problem
    shutil.rmtree(tmp_path / "n/sweeps")
    report = check_dataset(tmp_path / "n")
    assert report.problems == []
    assert "note: 2 of the 2 sweeps" in "\n".join(line for split in report.splits for line in split.lines())


@pytest.mark.parametrize("name", ["poses.txt", "calib.txt"])
def test_some_missing_poses_are_a_problem_and_all_missing_a_note(kitti: Path, name: str) -> None:
    write_scan(kitti, 1, 0, Scan(np.ones((4, 3)), np.zeros(4), np.array([8, 8, 0, -1])))
    notes = [split.notes for split in check_dataset(kitti).splits]
    assert all("cannot be read with sweeps above 1, the first: " in note for (note,) in notes) and len(notes) == 3
    for sequence, frames in ((0, 3), (1, 1), (8, 2)):
        write_sequence_files(kitti, sequence, np.tile(np.eye(4), (frames, 1, 1)), [0.0] * frames)
    report = check_dataset(kitti)
    assert report.problems == [] and [bool(split.notes) for split in report.splits] == [False, False, True]
    (kitti / "sequences/08" / name).unlink()
    (problem,) = check_dataset(kitti).problems
    assert f"08/{name} does not exist, but other sequences have theirs" in problem
    write_sequence_files(kitti, 8, np.eye(4)[None], [0.0])  # a pose for the first of two scans
    assert "poses.txt has 1 lines" in check_dataset(kitti).splits[1].notes[0]


@pytest.mark.parametrize("error", [TypeError("unhashable"), ValueError("not a number"), KeyError("token")])
def test_any_exception_of_a_damaged_table_is_a_problem(worlds: Path, monkeypatch, error: Exception) -> None:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr(NuScenesLidarSeg, "_keyframes", broken)
    problems = check_dataset(worlds / "nuscenes").problems
    assert len(problems) == 2 and all(type(error).__name__ in problem for problem in problems)


@pytest.mark.parametrize("emptied", [False, True])
def test_a_split_folder_without_segments_is_a_problem(worlds: Path, tmp_path: Path, emptied: bool) -> None:
    root = Path(shutil.copytree(worlds / "waymo", tmp_path / "w"))
    if emptied:
        for file in (root / "training").rglob("*.parquet"):
            file.unlink()
    else:
        (root / "testing").mkdir()
    (problem,) = check_dataset(root).problems
    assert f"{root / ('training' if emptied else 'testing')} has no segments in lidar, " in problem


def test_missing_and_damaged_components_of_waymo_are_problems(worlds: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(worlds / "waymo", tmp_path / "w"))
    sorted((root / "training/lidar_pose").iterdir())[0].unlink()
    sorted((root / "training/lidar").iterdir())[1].write_bytes(b"\x80\x04]")
    problems = check_dataset(root).problems
    assert len(problems) == 2
    assert "is missing, but other components" in problems[0] and "looks like a pickle" in problems[1]


def test_unknown_folders_raise(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a data set that topokd knows"):
        detect_dataset(tmp_path)
    with pytest.raises(DataError, match="is not in the layout of SemanticKITTI"):
        check_dataset(tmp_path, "semantickitti")


def test_the_command_reports_problems_in_its_exit_code(kitti: Path) -> None:
    fine = CliRunner().invoke(app, ["data", "check", str(kitti)])
    assert fine.exit_code == 0 and "nothing is wrong" in fine.output
    (kitti / "sequences/08/velodyne/000000.bin").unlink()
    wrong = CliRunner().invoke(app, ["data", "check", str(kitti), "--dataset", "semantickitti"])
    assert wrong.exit_code == 1 and "1 problem\n" in wrong.output and "belongs to no scan" in wrong.output


def test_real_scans_are_a_subset(real_scans: Path) -> None:
    report = check_dataset(real_scans)
    assert report.problems == [] and all(split.subset for split in report.splits)
    assert sum(split.scans for split in report.splits) == 34

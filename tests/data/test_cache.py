"""The cache returns the bits of reading and voxelising, and never the result of other files or parameters."""

from __future__ import annotations

import dataclasses
import inspect
import logging
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from topokd import params as P
from topokd.data import IGNORE, Scan, ScanCache, Voxels, collate, prefetch, training_batch, voxelize
from topokd.data import cache as module
from topokd.data.dataset import ScanDataset
from topokd.datasets import BENCHMARKS, NuScenesLidarSeg, SemanticKITTI, WaymoSegmentation
from topokd.datasets.semantickitti.files import write_scan
from topokd.errors import DataError, ParameterError
from topokd.scans import open_dataset
from topokd.synthetic import SyntheticLidar, write_nuscenes, write_semantickitti, write_waymo

SIZE = 0.3


def write(root: Path, sequence: int = 8, frames: int = 3, seed: int = 0) -> None:
    for frame in range(frames):
        rng = np.random.default_rng([seed, frame])
        n = 300 + frame
        scan = Scan(rng.normal(size=(n, 3)) * 3, rng.random(n), rng.integers(IGNORE, 19, n), rng.integers(0, 400, n))
        write_scan(root, sequence, frame, scan)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path / "data")
    return tmp_path / "data"


def equal(first: Scan | Voxels, second: Scan | Voxels) -> None:
    for field in dataclasses.fields(first):
        ours, theirs = getattr(first, field.name), getattr(second, field.name)
        if isinstance(ours, np.ndarray):
            assert ours.dtype == theirs.dtype and ours.tobytes() == theirs.tobytes(), field.name
        else:
            assert ours == theirs, field.name


def entries(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.safetensors"))


def forbid(monkeypatch: pytest.MonkeyPatch, kind: type[ScanDataset]) -> None:
    """Make every later read fail: all scans must come from the cache."""

    def fail(self: ScanDataset, name: str) -> Scan:
        raise AssertionError(f"{name} was read")

    monkeypatch.setattr(kind, "_read", fail)


SMALL = P.Synthetic(
    azimuths=48, train_sequences=(0,), val_sequences=(8,), scans_per_sequence=2, val_scans_per_sequence=2
)
LAYOUTS = {"semantickitti": write_semantickitti, "nuscenes": write_nuscenes, "waymo": write_waymo}


@pytest.fixture(scope="module", params=LAYOUTS)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, P.Data]:
    """The synthetic world in each layout, and its parameters."""
    root = tmp_path_factory.mktemp(request.param)
    LAYOUTS[request.param](root, SMALL)
    return root, P.Data(layout=request.param, synthetic=SMALL)


@pytest.mark.parametrize("sweeps", [1, 2])
def test_every_reader_gives_the_same_scans_through_a_cache(
    world: tuple[Path, P.Data], sweeps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, data = world
    if sweeps > 1 and "sweeps" not in BENCHMARKS[data.layout].accepts:
        with pytest.raises(ParameterError, match=r"data\.sweeps is 2, but the reader of waymo"):
            open_dataset(data.replace(sweeps=sweeps), root, "val")
        return
    data = data.replace(sweeps=sweeps)
    plain = open_dataset(data, root, "val")
    scans, voxels = list(plain), [plain.voxels(i, SIZE) for i in range(len(plain))]
    for turn in ("cold", "warm"):
        cached = open_dataset(data, root, "val").stored_in(ScanCache(tmp_path / "cache"))
        if turn == "warm":
            forbid(monkeypatch, type(plain))
        for index, (scan, cloud) in enumerate(zip(scans, voxels, strict=True)):
            equal(cached[index], scan)
            equal(cached.voxels(index, SIZE), cloud)
            equal(cloud, voxelize(scan, SIZE))
    count, size = ScanCache(tmp_path / "cache").size()
    assert count == 2 * len(plain) and size == sum(file.stat().st_size for file in entries(tmp_path / "cache"))


def test_every_parameter_of_a_reader_is_in_the_key_or_chooses_scans() -> None:
    chooses = {"self", "root", "split", "synthetic", "version", "frames", "on_bad_scan", "cache"}
    for kind in (SemanticKITTI, SyntheticLidar, NuScenesLidarSeg, WaymoSegmentation):
        assert set(inspect.signature(kind.__init__).parameters) - chooses <= set(kind.recipe_fields), kind


def test_other_content_parameters_or_code_are_other_entries(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = root.parent / "cache"

    def read(**changes: object) -> tuple[Scan, Voxels]:
        dataset = SemanticKITTI(root, (8,), **changes).stored_in(ScanCache(folder))  # type: ignore[arg-type]
        return dataset[0], dataset.voxels(0, SIZE)

    scan, cloud = read()
    assert len(entries(folder)) == 2
    dataset = SemanticKITTI(root, (8,)).stored_in(ScanCache(folder))
    assert len(dataset.voxels(0, 2 * SIZE)) < len(cloud) and len(entries(folder)) == 3

    labels = root / "sequences/08/labels/000000.label"
    raw = np.fromfile(labels, "<u4")
    raw[150] = 40 if raw[150] & 0xFFFF != 40 else 48  # one label in the middle, the file as long as before
    labels.write_bytes(raw.tobytes())
    changed, _ = read()
    assert np.flatnonzero(changed.label != scan.label).tolist() == [150] and len(entries(folder)) == 5

    monkeypatch.setattr(module, "code_version", lambda: "another")
    equal(read()[0], changed)
    assert len(entries(folder)) == 7


def test_the_same_content_elsewhere_is_the_same_entry(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = root.parent / "cache"
    scans = list(SemanticKITTI(root, "val").stored_in(ScanCache(folder)))
    write(root.parent / "copy")
    forbid(monkeypatch, SemanticKITTI)
    for copy, scan in zip(SemanticKITTI(root.parent / "copy", "val").stored_in(ScanCache(folder)), scans, strict=True):
        equal(copy, scan)


def test_a_change_of_an_earlier_scan_or_of_the_poses_is_a_change_of_an_accumulated_one(tmp_path: Path) -> None:
    data, root = P.Data(synthetic=SMALL, sweeps=2), tmp_path / "data"
    write_semantickitti(root, SMALL)
    cached = open_dataset(data, root, "val").stored_in(ScanCache(tmp_path / "cache"))
    before = cached[1]
    points = cached.files(cached.names[0])[0]
    values = np.fromfile(points, "<f4").reshape(-1, 4)
    values[0, 0] += 1
    points.write_bytes(values.tobytes())
    moved = cached[1]
    assert np.flatnonzero((moved.xyz != before.xyz).any(axis=1)).tolist() == [len(before) - len(values)]
    poses = points.parent.with_name("poses.txt")
    rows = np.loadtxt(poses)
    rows[1, 3] += 2
    np.savetxt(poses, rows)
    again = open_dataset(data, root, "val").stored_in(ScanCache(tmp_path / "cache"))
    assert not np.array_equal(again[1].xyz, moved.xyz)


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "foreign", "text"])
def test_a_damaged_entry_is_reported_and_made_again(root: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    folder = root.parent / "cache"
    scans = list(SemanticKITTI(root, "val"))
    list(SemanticKITTI(root, "val").stored_in(ScanCache(folder)))
    files = entries(folder)
    whole = {file: file.read_bytes() for file in files}
    for number, file in enumerate(files):
        content = bytearray(whole[file])
        if damage == "cut":
            del content[-100:]
        elif damage == "flip":
            content[-7] ^= 4
        elif damage == "empty":
            content.clear()
        elif damage == "foreign":  # a whole entry under another's name
            content = bytearray(whole[files[(number + 1) % len(files)]])
        else:
            content = bytearray(b"not an entry at all")
        file.write_bytes(bytes(content))
    with caplog.at_level(logging.WARNING):
        for stored, scan in zip(SemanticKITTI(root, "val").stored_in(ScanCache(folder)), scans, strict=True):
            equal(stored, scan)
    assert caplog.text.count("is damaged") == len(files)
    assert {file: file.read_bytes() for file in files} == whole


def test_damaged_digests_are_computed_again(root: Path) -> None:
    folder = root.parent / "cache"
    scans = list(SemanticKITTI(root, "val").stored_in(ScanCache(folder)))
    contents = folder / "contents"
    lines = contents.read_bytes().splitlines(keepends=True)
    assert len(lines) == 2 * len(scans)
    torn = lines[0][:40] + lines[1][:50] + b"\n\xff\xfe\n" + lines[2].replace(b"a", b"b") + b"".join(lines[3:])[:-5]
    contents.write_bytes(torn)
    for stored, scan in zip(SemanticKITTI(root, "val").stored_in(ScanCache(folder)), scans, strict=True):
        equal(stored, scan)
    assert len(entries(folder)) == len(scans)


def _read_all(root: Path, folder: Path) -> list[bytes]:
    dataset = SemanticKITTI(root, "val").stored_in(ScanCache(folder))
    return [dataset.voxels(i, SIZE).feat.tobytes() for i in range(len(dataset))]


@pytest.mark.long
def test_processes_fill_one_cache_together(root: Path) -> None:
    folder = root.parent / "cache"
    expected = [voxelize(scan, SIZE).feat.tobytes() for scan in SemanticKITTI(root, "val")]
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        for read in pool.map(_read_all, [root] * 4, [folder] * 4):
            assert read == expected
    assert len(entries(folder)) == 2 * len(expected)
    assert not [file for file in folder.rglob("*") if file.name.startswith(".")]  # no half-written files


def test_entries_of_another_process_are_used(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = ScanCache(root.parent / "cache"), ScanCache(root.parent / "cache")
    scans = list(SemanticKITTI(root, "val").stored_in(first))
    monkeypatch.setattr(module, "sha256", lambda file: pytest.fail(f"{file} was hashed again"))
    module.code_version()
    for stored, scan in zip(SemanticKITTI(root, "val").stored_in(second), scans, strict=True):
        equal(stored, scan)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_used_without_writing(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = root.parent / "cache"
    folder.mkdir(mode=0o555)
    for stored, scan in zip(
        SemanticKITTI(root, "val").stored_in(ScanCache(folder)), SemanticKITTI(root, "val"), strict=True
    ):
        equal(stored, scan)
    assert caplog.text.count("cannot be written") == 1


def test_a_full_disk_does_not_stop_a_run(
    root: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "save_entry", full)
    scans = list(SemanticKITTI(root, "val").stored_in(ScanCache(root.parent / "cache")))
    assert len(scans) == 3 and caplog.text.count("cannot be written") == 1


def test_a_file_in_place_of_the_folder_is_named(root: Path) -> None:
    (root.parent / "cache").write_text("")
    with pytest.raises(DataError, match=r"cache is a file: train.cache"):
        ScanCache(root.parent / "cache")


def test_a_scan_that_cannot_be_read_is_not_kept(root: Path) -> None:
    dataset = SemanticKITTI(root, "val", on_bad_scan="keep").stored_in(ScanCache(root.parent / "cache"))
    points = root / "sequences/08/velodyne/000001.bin"
    points.write_bytes(points.read_bytes()[:-3])
    for _ in range(2):
        with pytest.raises(DataError, match=r"000001.bin has .* not a multiple of 16"):
            dataset[1]
    points.unlink()
    with pytest.raises(DataError, match=r"000001.bin does not exist"):
        dataset[1]
    assert entries(root.parent / "cache") == []


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("kept", [False, True])
def test_batches_do_not_depend_on_workers_or_cache(root: Path, workers: int, kept: bool) -> None:
    settings = P.Data(voxel_size=SIZE, crop_voxels=100)
    plain = SemanticKITTI(root, "val")
    expected = [training_batch(plain, settings, 3, step, 2) for step in range(5)]
    dataset = SemanticKITTI(root, "val").stored_in(ScanCache(root.parent / "cache") if kept else None)
    for _ in range(2):  # cold, warm
        batches = prefetch(lambda step: training_batch(dataset, settings, 3, step, 2), range(5), workers)
        for batch, wanted in zip(batches, expected, strict=True):
            for field in dataclasses.fields(wanted):
                ours, theirs = getattr(batch, field.name), getattr(wanted, field.name)
                assert ours.equal(theirs) if hasattr(theirs, "equal") else ours == theirs, field.name


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_of_a_worker_keeps_its_message_and_its_position(workers: int) -> None:
    def draw(number: int) -> int:
        if number == 2:
            raise DataError("08/000002: the file is truncated; copy it again")
        return number

    items = prefetch(draw, range(4), workers)
    assert [next(items), next(items)] == [0, 1]
    with pytest.raises(DataError, match=r"^08/000002: the file is truncated; copy it again$"):
        next(items)


def test_voxels_of_a_cache_make_batches(root: Path) -> None:
    dataset = SemanticKITTI(root, "val").stored_in(ScanCache(root.parent / "cache"))
    for _ in range(2):
        batch = collate([dataset.voxels(i, SIZE) for i in range(len(dataset))])
    plain = collate([voxelize(scan, SIZE) for scan in SemanticKITTI(root, "val")])
    assert batch.feat.equal(plain.feat) and batch.inverse.equal(plain.inverse) and batch.names == plain.names

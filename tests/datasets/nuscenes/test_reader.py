"""Points, labels, poses and scenes of nuScenes, as the reader gives them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.datasets.nuscenes.conftest import SMALL, edit
from topokd.data import IGNORE
from topokd.datasets import NuScenesLidarSeg
from topokd.datasets.nuscenes.classes import NUSCENES
from topokd.datasets.nuscenes.tables import official_splits, rigid_transform
from topokd.errors import DataError
from topokd.synthetic import write_nuscenes
from topokd.synthetic.classes import NUSCENES_OF_RAW
from topokd.synthetic.scanner import measure, street_of
from topokd.synthetic.sensor import SENSORS


def test_round_trip_gives_the_world(world: Path) -> None:
    dataset = NuScenesLidarSeg(world, "train")
    assert dataset.sequences == list(official_splits()["train"][:2]) and len(dataset) == 4
    scan = dataset[1]  # the second keyframe of sequence 0 is frame 2: a sweep lies between
    measured = measure(street_of(0, 0, 3), 2, SENSORS["hdl32"], 48, np.random.default_rng([0, 0, 2, 1]))
    order = np.argsort(measured.column, kind="stable")
    xyz = measured.xyz[order]
    np.testing.assert_array_equal(scan.xyz, np.column_stack((-xyz[:, 1], xyz[:, 0], xyz[:, 2])))
    np.testing.assert_allclose(scan.intensity, measured.intensity[order], atol=0.5 / 255 + 1e-6)
    np.testing.assert_array_equal(scan.label, NUSCENES.class_of_raw(NUSCENES_OF_RAW[measured.raw[order]]))
    np.testing.assert_array_equal(scan.instance, measured.instance[order] % 1000)
    ring = dataset.sweep(dataset.sample_data(scan.name))[:, 4]
    np.testing.assert_array_equal(ring, 31 - measured.row[order])
    assert len(NuScenesLidarSeg(world, "val")) == 1


def test_tokens_of_all_tables_resolve(world: Path) -> None:
    tables = {file.stem: json.loads(file.read_text()) for file in (world / "v1.0-trainval").glob("*.json")}
    assert {"category", "sensor", "calibrated_sensor", "ego_pose", "log", "map", "scene", "sample"} <= set(tables)
    known = {name: {record["token"] for record in records} for name, records in tables.items()}
    for name, records in tables.items():
        for record in records:
            for field, value in record.items():
                table = field.removeprefix("first_").removeprefix("last_").removesuffix("_token")
                if field.endswith("_token") and table in known:
                    assert value in known[table], (name, field)
                if field in ("prev", "next") and value:
                    assert value in known[name]
                if field == "filename":
                    assert (world / value).is_file()


def test_sweeps_are_moved_into_the_keyframes_frame(world: Path) -> None:
    alone, several = NuScenesLidarSeg(world, ("scene-0001",)), NuScenesLidarSeg(world, ("scene-0001",), sweeps=3)
    one, more = alone[1], several[1]
    n = len(one)
    np.testing.assert_array_equal(more.xyz[:n], one.xyz)
    assert (more.label[n:] == IGNORE).all()
    record = alone.sample_data(one.name)
    before = alone._data[record["prev"]]
    assert not before["is_key_frame"]
    raw = alone.sweep(before)[:, :3].astype(np.float64)
    raw = raw[~((np.abs(raw[:, 0]) < 1) & (np.abs(raw[:, 1]) < 1))]
    street, height = street_of(0, 0, 3), SENSORS["hdl32"].height  # the truth: the street's own poses
    turn = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    world_points = raw @ turn.T @ street.pose(1, height)[:3, :3].T + street.pose(1, height)[:3, 3]
    here = street.pose(2, height)
    expected = (world_points - here[:3, 3]) @ here[:3, :3] @ turn
    np.testing.assert_allclose(more.xyz[n : n + len(raw)], expected, atol=1e-4)


def test_the_cars_own_points_are_left_out_of_earlier_sweeps(copy: Path) -> None:
    alone, several = NuScenesLidarSeg(copy, ("scene-0001",)), NuScenesLidarSeg(copy, ("scene-0001",), sweeps=2)
    before = alone._data[alone.sample_data(alone.names[1])["prev"]]
    own, kept = [(0.9, -0.9, 5), (0, 0.5, 0)], [(0.9, 1.1, 0), (-1.1, 0, 0)]  # near in both x and y, or in one alone
    np.array([(*xyz, 7, 0) for xyz in (*own, *kept)], "<f4").tofile(copy / before["filename"])
    n, move = len(alone[1]), np.linalg.inv(alone.pose(alone.sample_data(alone.names[1]))) @ alone.pose(before)
    expected = np.array(kept) @ move[:3, :3].T + move[:3, 3]
    np.testing.assert_allclose(several[1].xyz[n:], expected, atol=1e-4)


def test_quaternions_are_w_x_y_z() -> None:
    half = np.sqrt(0.5)
    matrix = rigid_transform({"rotation": [half, 0, 0, half], "translation": [1, 2, 3]}, Path())  # a quarter turn left
    np.testing.assert_allclose(matrix @ [1, 0, 0, 1], [1, 3, 3, 1], atol=1e-12)


def test_a_complete_world_is_not_written_again(world: Path, tmp_path: Path) -> None:
    write_nuscenes(tmp_path, SMALL, sweeps_between=1)
    ours = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert ours == {p.relative_to(world): p.read_bytes() for p in world.rglob("*") if p.is_file()}
    marked = next(tmp_path.rglob("*.pcd.bin"))
    marked.write_bytes(b"")
    write_nuscenes(tmp_path, SMALL, sweeps_between=1)
    assert marked.read_bytes() == b""
    (tmp_path / "other" / "samples").mkdir(parents=True)
    with pytest.raises(DataError, match="did not write"):
        write_nuscenes(tmp_path / "other", SMALL)


def test_categories_are_matched_by_name(copy: Path, world: Path) -> None:
    edit(copy, "category", lambda records: [r | {"index": 31 - r["index"]} for r in records])
    for file in (copy / "lidarseg").rglob("*.bin"):
        file.write_bytes((31 - np.fromfile(file, np.uint8)).astype(np.uint8).tobytes())
    np.testing.assert_array_equal(NuScenesLidarSeg(copy, "train")[0].label, NuScenesLidarSeg(world, "train")[0].label)


@pytest.mark.parametrize(
    ("version", "official", "split"),
    [("v1.0-mini", "mini_train", "train"), ("v1.0-mini", "mini_val", "mini_val"), ("v1.0-test", "test", "test")],
)
def test_the_mini_and_test_versions_are_read_with_their_official_scenes(
    copy: Path, version: str, official: str, split: str
) -> None:
    (copy / "v1.0-trainval").rename(copy / version)
    (copy / "lidarseg" / "v1.0-trainval").rename(copy / "lidarseg" / version)
    for table in ("scene", "lidarseg"):
        file = copy / version / f"{table}.json"
        records = json.loads(file.read_text())
        for record, name in zip(records, official_splits()[official], strict=False):
            record |= {"name": name} if table == "scene" else {}
        for record in records if table == "lidarseg" else ():
            record["filename"] = record["filename"].replace("v1.0-trainval", version)
        file.write_text(json.dumps(records))
    if version == "v1.0-test":  # it has no labels
        shutil.rmtree(copy / "lidarseg")
        for table in ("lidarseg", "panoptic"):
            (copy / version / f"{table}.json").unlink()
    dataset = NuScenesLidarSeg(copy, split, version)
    assert dataset.sequences == list(official_splits()[official][: len(dataset.sequences)]) and len(dataset) > 1
    assert (dataset[0].label is None) == (version == "v1.0-test")


def test_official_splits_are_disjoint() -> None:
    splits = official_splits()
    assert len({*splits["train"], *splits["val"], *splits["test"]}) == 1000
    assert {*splits["mini_train"], *splits["mini_val"]} <= {*splits["train"], *splits["val"]}

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from topokd import params
from topokd.data import IGNORE
from topokd.datasets import NuScenesLidarSeg
from topokd.datasets.nuscenes.classes import NUSCENES
from topokd.datasets.nuscenes.tables import official_splits, rigid_transform
from topokd.errors import DataError
from topokd.synthetic import write_nuscenes
from topokd.synthetic.classes import NUSCENES_OF_RAW
from topokd.synthetic.scanner import measure, street_of
from topokd.synthetic.sensor import SENSORS

SMALL = params.Synthetic(
    azimuths=48, train_sequences=(0, 3), val_sequences=(8,), scans_per_sequence=2, val_scans_per_sequence=1
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("nuscenes")
    write_nuscenes(root, SMALL, sweeps_between=1)
    return root


@pytest.fixture
def copy(world: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(world, tmp_path / "nuscenes"))


def edit(root: Path, table: str, change) -> None:
    file = root / "v1.0-trainval" / f"{table}.json"
    records = json.loads(file.read_text())
    file.write_text(json.dumps(change(records) or records))


def test_round_trip_gives_the_world(world: Path) -> None:
    dataset = NuScenesLidarSeg(world, "train")
    assert dataset.sequences == list(official_splits()["train"][:2]) and len(dataset) == 4
    scan = dataset[1]  # the second keyframe of sequence 0 is frame 2: a sweep lies between
    found = measure(street_of(0, 0, 3), 2, SENSORS["hdl32"], 48, np.random.default_rng([0, 0, 2, 1]))
    order = np.argsort(found.column, kind="stable")
    xyz = found.xyz[order]
    np.testing.assert_array_equal(scan.xyz, np.column_stack((-xyz[:, 1], xyz[:, 0], xyz[:, 2])))
    np.testing.assert_allclose(scan.intensity, found.intensity[order], atol=0.5 / 255 + 1e-6)
    np.testing.assert_array_equal(scan.label, NUSCENES.class_of_raw(NUSCENES_OF_RAW[found.raw[order]]))
    np.testing.assert_array_equal(scan.instance, found.instance[order] % 1000)
    ring = dataset.sweep(dataset.sample_data(scan.name))[:, 4]
    np.testing.assert_array_equal(ring, 31 - found.row[order])
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


@pytest.mark.parametrize("table", ["sample_data", "category", "lidarseg", "calibrated_sensor", "scene"])
def test_a_missing_table_is_named(copy: Path, table: str) -> None:
    (copy / "v1.0-trainval" / f"{table}.json").unlink()
    with pytest.raises(DataError, match=rf"{table}\.json does not exist: the table {table} is missing"):
        NuScenesLidarSeg(copy, "train")


def test_an_unknown_token_names_its_record(copy: Path) -> None:
    def change(records: list) -> None:
        records[0]["next"] = "feedbeef"

    edit(copy, "sample", change)
    with pytest.raises(DataError, match=r"refers to 'feedbeef', which is not in sample.json"):
        NuScenesLidarSeg(copy, "train")


@pytest.mark.parametrize(
    ("table", "field"),
    [("sample_data", "filename"), ("scene", "first_sample_token"), ("lidarseg", "sample_data_token")],
)
def test_a_missing_field_is_named(copy: Path, table: str, field: str) -> None:
    edit(copy, table, lambda records: [{k: v for k, v in record.items() if k != field} for record in records])
    with pytest.raises(DataError, match=rf"{table}\.json: record \w+ has no field '{field}': .*; unpack .* again"):
        NuScenesLidarSeg(copy, "train")


@pytest.mark.parametrize("content", [pickle.dumps([{"token": "a"}]), b"[{]", b'{"token": "a"}', b"[1]", b"[" * 100_000])
def test_a_table_that_is_not_a_list_of_records_raises(copy: Path, content: bytes) -> None:
    (copy / "v1.0-trainval" / "scene.json").write_bytes(content)
    with pytest.raises(
        DataError, match=r"scene\.json is (not valid JSON|not a list of records).*unpack the metadata archive"
    ):
        NuScenesLidarSeg(copy, "train")


def test_a_missing_pose_raises_when_sweeps_need_it(copy: Path) -> None:
    edit(copy, "ego_pose", lambda records: records[2:])
    assert len(NuScenesLidarSeg(copy, "train")[1]) > 0
    with pytest.raises(DataError, match="not in ego_pose.json"):
        NuScenesLidarSeg(copy, "train", sweeps=3)[1]


def test_labels_of_another_version_raise(copy: Path) -> None:
    def other(records: list) -> None:
        for record in records:
            record["sample_data_token"] = record["sample_data_token"][::-1]

    edit(copy, "lidarseg", other)
    with pytest.raises(DataError, match="labels of another version than v1.0-trainval"):
        NuScenesLidarSeg(copy, "train")


def test_a_category_table_without_index_or_with_missing_names_raises(copy: Path) -> None:
    edit(copy, "category", lambda records: [{k: v for k, v in r.items() if k != "index"} for r in records])
    with pytest.raises(DataError, match="no field `index`: this is the table of the boxes"):
        NuScenesLidarSeg(copy, "train")
    edit(copy, "category", lambda records: [r | {"index": i} for i, r in enumerate(records[:-1])])
    with pytest.raises(DataError, match=r"lacks the categories vehicle\.ego"):
        NuScenesLidarSeg(copy, "train")


@pytest.mark.parametrize("index", ["abc", None, 300, -1, 1.5, True, 17])
def test_an_invalid_category_index_raises(copy: Path, index: object) -> None:
    """17 is the index of another category."""
    edit(copy, "category", lambda records: [records[0] | {"index": index}, *records[1:]])
    with pytest.raises(DataError, match=r"category\.json: category '.*index.*take the category\.json of"):
        NuScenesLidarSeg(copy, "train")


@pytest.mark.parametrize(
    ("table", "field", "value"),
    [
        ("sample_data", "filename", None),
        ("sample_data", "token", ["a"]),
        ("sample_data", "is_key_frame", "yes"),
        ("sample", "token", 7),
        ("scene", "first_sample_token", {}),
        ("lidarseg", "filename", 3),
        ("calibrated_sensor", "rotation", None),
    ],
)
def test_a_field_of_the_wrong_type_raises(copy: Path, table: str, field: str, value: object) -> None:
    edit(copy, table, lambda records: [records[0] | {field: value}, *records[1:]])
    with pytest.raises(DataError, match=rf"{table}\.json: record .* '{field}' is .*unpack .* again"):
        NuScenesLidarSeg(copy, "train")


@pytest.mark.parametrize(
    "rotation", [[1.0, 0.0], [0, 0, 0, 0], ["a", 0, 0, 0], [[1], 0, 0, 0], [float("nan"), 0, 0, 1]]
)
@pytest.mark.parametrize("table", ["ego_pose", "calibrated_sensor"])
def test_an_invalid_rotation_raises(copy: Path, table: str, rotation: list) -> None:
    edit(copy, table, lambda records: [record | {"rotation": rotation} for record in records])
    with pytest.raises(DataError, match=rf"{table}\.json: record \w+: rotation is .*unpack the metadata again"):
        NuScenesLidarSeg(copy, "train", sweeps=2)[1]


def test_samples_that_run_in_a_circle_raise(copy: Path) -> None:
    def turn_back(records: list) -> None:
        follower = next(record for record in records if not record["next"])
        follower["next"] = follower["prev"]

    edit(copy, "sample", turn_back)
    with pytest.raises(DataError, match=r"sample\.json: the samples of scene-\d+ lead back to .* in a circle"):
        NuScenesLidarSeg(copy, "train")


def test_a_missing_sweep_is_named_and_skipped(copy: Path) -> None:
    dataset = NuScenesLidarSeg(copy, "train", sweeps=2)
    file = dataset.source_files(dataset.names[1])[-1]
    assert "sweeps" in file.parts
    file.unlink()
    with pytest.raises(DataError, match=rf"{file.name} does not exist"):
        dataset[1]
    with pytest.raises(DataError, match=rf"{file.name} does not exist"):
        NuScenesLidarSeg(copy, "train", sweeps=2)
    left = NuScenesLidarSeg(copy, "train", sweeps=2, on_bad_scan="skip")
    assert [name for name, _ in left.skipped] == [dataset.names[1]] and len(left) == 3
    record = dataset._data[dataset.sample_data(dataset.names[1])["prev"]]
    with pytest.raises(DataError, match=rf"{file.name} does not exist"):
        dataset.sweep(record)


def test_categories_go_by_name(copy: Path, world: Path) -> None:
    edit(copy, "category", lambda records: [r | {"index": 31 - r["index"]} for r in records])
    for file in (copy / "lidarseg").rglob("*.bin"):
        file.write_bytes((31 - np.fromfile(file, np.uint8)).astype(np.uint8).tobytes())
    np.testing.assert_array_equal(NuScenesLidarSeg(copy, "train")[0].label, NuScenesLidarSeg(world, "train")[0].label)


def test_truncated_empty_and_short_files(copy: Path) -> None:
    dataset = NuScenesLidarSeg(copy, "train")
    file, labels = copy / dataset.sample_data(dataset.names[0])["filename"], dataset.label_file(dataset.names[0])
    good, good_labels = file.read_bytes(), labels.read_bytes()
    for content, words in ((good[:-3], "truncated"), (b"", "is empty: a scan holds at least one point")):
        file.write_bytes(content)
        with pytest.raises(DataError, match=words):
            NuScenesLidarSeg(copy, "train")
    file.write_bytes(good)
    labels.write_bytes(good_labels[:-1])
    with pytest.raises(DataError, match="do not belong together"):
        NuScenesLidarSeg(copy, "train")
    left = NuScenesLidarSeg(copy, "train", on_bad_scan="skip")
    assert len(left) == 3 and left.skipped[0][0] == dataset.names[0]
    labels.write_bytes(bytes([200]) + good_labels[1:])
    with pytest.raises(DataError, match="class id 200"):
        NuScenesLidarSeg(copy, "train")[0]


class Bomb:
    def __reduce__(self):
        return (Path("unpickled").touch, ())


def test_a_pickle_is_never_loaded(copy: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    dataset = NuScenesLidarSeg(copy, "train")
    token = dataset.sample_data(dataset.names[0])["token"]
    file = copy / "panoptic" / "v1.0-trainval" / f"{token}_panoptic.npz"
    np.savez(file, data=np.array([Bomb()], dtype=object))
    with pytest.raises(DataError, match="not an archive with an array"):
        dataset[0]
    file.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(DataError, match="not an archive with an array"):
        dataset[0]
    for bare in (np.arange(3), np.array(["a"])):  # an array without an archive, under the archive's name
        with file.open("wb") as stream:
            np.save(stream, bare)
        with pytest.raises(DataError, match="it is a single array"):
            dataset[0]
    np.savez(file, data=np.array(["a"]))
    with pytest.raises(DataError, match="does not hold"):
        dataset[0]
    assert not (tmp_path / "unpickled").exists()


def test_an_unknown_compression_of_panoptic_labels_raises(copy: Path) -> None:
    """The number of the method in both headers of the zip is replaced by one unknown to zipfile."""
    dataset = NuScenesLidarSeg(copy, "train")
    token = dataset.sample_data(dataset.names[0])["token"]
    file = copy / "panoptic" / "v1.0-trainval" / f"{token}_panoptic.npz"
    content = bytearray(file.read_bytes())
    content[8:10] = content[(entry := content.index(b"PK\x01\x02")) + 10 : entry + 12] = b"\x63\x00"
    file.write_bytes(content)
    with pytest.raises(
        DataError, match=r"_panoptic\.npz is not an archive .*compression.*unpack nuScenes-panoptic again"
    ):
        dataset[0]


def test_unknown_versions_splits_and_scenes_raise(world: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="unknown version"):
        NuScenesLidarSeg(world, "train", version="v2")
    with pytest.raises(DataError, match="there are v1.0-trainval"):
        NuScenesLidarSeg(world, "train", version="v1.0-mini")
    with pytest.raises(DataError, match="no split 'test'"):
        NuScenesLidarSeg(world, "test")
    with pytest.raises(DataError, match="lacks the scenes scene-9999"):
        NuScenesLidarSeg(world, ("scene-9999",))


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

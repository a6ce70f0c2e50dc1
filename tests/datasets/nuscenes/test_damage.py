"""Missing, damaged and hostile tables and files of nuScenes are named."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from tests.datasets.nuscenes.conftest import edit
from topokd.datasets import NuScenesLidarSeg
from topokd.errors import DataError


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


def test_truncated_empty_and_short_files(copy: Path) -> None:
    dataset = NuScenesLidarSeg(copy, "train")
    file, labels = copy / dataset.sample_data(dataset.names[0])["filename"], dataset.label_file(dataset.names[0])
    good, good_labels = file.read_bytes(), labels.read_bytes()
    for content, words in ((good[:-3], "truncated"), (b"", "is empty, but a scan has points")):
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

"""Data sets that a YAML file describes: the presets on folders in their layouts, and a user's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from tests.conftest import PROJECT
from topokd import params as P
from topokd.cli import app
from topokd.data.cache import ScanCache
from topokd.datasets.fingerprint import fingerprint
from topokd.errors import CheckpointError, DataError, ParameterError
from topokd.label_maps import MappedDataset, WrittenLabels, check_mapped, label_map_names, load_label_map, open_mapped
from topokd.labelling import Labeller
from topokd.models import build_model, save_checkpoint
from topokd.paper.results import dataset_title
from topokd.scans import check_data
from topokd.training.state import dataset_fingerprint

SCANS = {  # two scans of a training split and one of a validation split
    "semanticposs": ["sequences/00/velodyne/000001.bin", "sequences/05/velodyne/000001.bin",
                     "sequences/03/velodyne/000007.bin"],
    "semanticstf": ["train/velodyne/a.bin", "train/velodyne/b.bin", "val/velodyne/c.bin"],
    "rellis3d": ["00000/os1_cloud_node_kitti_bin/000000.bin", "00001/os1_cloud_node_kitti_bin/000001.bin",
                 "00001/os1_cloud_node_kitti_bin/000002.bin"],
    "helimos": ["Deskewed_LiDAR/Avia/velodyne/000001.bin", "Deskewed_LiDAR/Aeva/velodyne/000001.bin",
                "Deskewed_LiDAR/Avia/velodyne/000002.bin"],
    "goose": ["lidar/train/forest/forest__1_vls128.bin", "lidar/train/yard/yard__1_vls128.bin",
              "lidar/val/forest/forest__2_vls128.bin"],
    "kitti360": ["sequences/00/velodyne/000002.bin", "sequences/03/velodyne/000100.bin",
                 "sequences/10/velodyne/000007.bin"],
    "pandaset": ["sequences/01/velodyne/000000.bin", "sequences/158/velodyne/000079.bin",
                 "sequences/40/velodyne/000000.bin"],
}  # fmt: skip
LISTS = {
    "rellis3d": {
        "pt_train.lst": "\n".join(f"{name} labels\n" for name in SCANS["rellis3d"][:2]),
        "pt_val.lst": f"{SCANS['rellis3d'][2]} labels\n",
    },
    **{name: {"train.txt": "\n".join(SCANS[name][:2]), "val.txt": SCANS[name][2]} for name in ("kitti360", "pandaset")},
    "helimos": {"Deskewed_LiDAR/train.txt": "000001\n", "Deskewed_LiDAR/val.txt": "000002\n"},
    "goose": {
        "goose_label_mapping.csv": "class_name,label_key,has_instance,hex\nundefined,0,0,#000000\n"
        "cobble,3,0,#6b006b\nleaves,5,0,#ffb400\nego_vehicle,8,0,#ff0000\n"
    },
}


def labels_of(name: str) -> str:
    """Path of a scan's labels, from the documentation of the data sets."""
    changes = {
        "velodyne": "labels", "os1_cloud_node_kitti_bin": "os1_cloud_node_semantickitti_label_id",
        "lidar/": "labels/", "_vls128.bin": "_goose.label", ".bin": ".label",
    }  # fmt: skip
    for old, new in changes.items():
        name = name.replace(old, new)
    return name


@pytest.fixture(params=sorted(SCANS))
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A small copy of a data set: every class and every ignored id occurs in each scan."""
    root = tmp_path / request.param
    for file, text in LISTS.get(request.param, {}).items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(text)
    label_map = load_label_map(request.param)
    space, rng = label_map.space(root), np.random.default_rng(0)
    ids = np.array([number for numbers in space.raw_ids_of_class for number in numbers] + list(space.ignored))
    raw = np.repeat(ids, 30)
    for name in SCANS[request.param]:
        columns = len(label_map.columns)
        rows = np.column_stack([rng.uniform(-20, 20, (len(raw), 3)), rng.uniform(0, 1, (len(raw), columns - 3))])
        rows[:, 3] *= label_map.intensity_scale or 1
        for file, values in ((name, rows.astype("<f4")), (labels_of(name), (raw | 7 << 16).astype("<u4"))):
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            values.tofile(root / file)
    if request.param == "semanticposs":
        (root / "sequences/00/tag").mkdir()
    return root


def test_every_preset_reads_a_folder_in_its_layout(folder: Path) -> None:
    label_map = load_label_map(folder.name)
    train, val = (MappedDataset(folder, label_map, split) for split in ("train", "val"))
    assert (len(train), len(val)) == (2, 1) and train.labelled
    for scan in train:
        assert scan.label is not None and scan.instance is not None and set(scan.instance) == {7}
        present = set(scan.label.tolist())
        assert present == {-1, *range(train.num_classes)} and 0.9 < scan.intensity.max() <= 1
        sizes = np.bincount(scan.label[scan.label >= 0])
        assert sizes.tolist() == [30 * len(numbers) for numbers in train.labels.raw_ids_of_class]
    report = check_mapped(folder, label_map)
    assert [(split.name, split.scans) for split in report.splits] == [("train", 2), ("val", 1)] and not report.problems


def test_the_command_checks_a_data_set_by_its_map(folder: Path) -> None:
    done = CliRunner().invoke(app, ["data", "check", str(folder), "--labels", folder.name])
    assert done.exit_code == 0 and "nothing is wrong" in done.output and "train: 2 scans" in done.output
    file = next(folder.rglob("*.label"))
    np.full(file.stat().st_size // 4, 4321, "<u4").tofile(file)
    done = CliRunner().invoke(app, ["data", "check", str(folder), "--labels", folder.name])
    assert done.exit_code == 1 and "class id 4321" in done.output and file.name in done.output
    file.write_bytes(file.read_bytes()[:-4])
    done = CliRunner().invoke(app, ["data", "check", str(folder), "--labels", folder.name])
    assert done.exit_code == 1 and "they do not belong together" in done.output


def test_a_changed_map_or_table_does_not_give_cached_labels(folder: Path, tmp_path: Path) -> None:
    store, label_map = ScanCache(tmp_path / "cache"), load_label_map(folder.name)
    before = MappedDataset(folder, label_map, "val").stored_in(store)[0]
    if label_map.class_table:
        table = folder / label_map.class_table
        header, *rows = table.read_text().splitlines()
        table.write_text("\n".join([header, *rows[::-1]]))
    else:
        label_map = label_map.model_copy(update={"classes": label_map.classes[::-1]})
    after = MappedDataset(folder, label_map, "val").stored_in(store)[0]
    assert before.label is not None and after.label is not None
    last = before.label.max()
    np.testing.assert_array_equal(after.label, np.where(before.label < 0, -1, last - before.label))


def test_all_presets_are_tested() -> None:
    assert label_map_names() == sorted(SCANS)


OWN = {
    "name": "Yard",
    "scans": "{sequence}/{scan}.npy",
    "labels": "{sequence}/{scan}.label",
    "splits": {"val": ["a"]},
    "classes": [{"name": "person", "ids": [4], "color": [226, 60, 50]}],
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels": "{scan}.label"}, "the same fields"),
        ({"splits": {}}, "splits is empty"),
        ({"classes": []}, "either classes or class_table"),
        ({"classes": [*OWN["classes"], {"name": "tree", "ids": [4], "color": [0, 0, 0]}]}, "the id 4 occurs twice"),
        ({"classes": [{"name": "person", "ids": [-1], "color": [0, 0, 0]}]}, r"classes\[0\]\.ids"),
        ({"classes": [{"name": "person", "ids": [70000], "color": [0, 0, 0]}]}, r"classes\[0\]\.ids"),
        ({"classes": [{"name": "a,b", "ids": [1], "color": [0, 0, 0]}]}, r"classes\[0\]\.name"),
        ({"intensity_scale": 0}, "intensity_scale"),
        ({"colour": 3}, "colour"),
        ({"scans": "/data/{sequence}/{scan}.npy"}, "scans is '/data/.*below the root"),
        ({"scans": "{sequence}/{scan}{.npy"}, "scans is .*with fields such as"),
        ({"labels": "{sequence}/{scan!r}.label"}, "labels is .*with fields such as"),
        ({"label_dtype": "uint8", "ignored": [256]}, "the id 256 does not fit into label_dtype uint8"),
        ({"columns": ["x", "y", "intensity"]}, "name x, y and z once each"),
        ({"dtype": "float31"}, "dtype 'float31' is unknown"),
        ({"frame": "x,y"}, "frame is 'x,y'"),
        ({"name": 2024}, "name must be text"),
    ],
)
def test_an_inconsistent_label_map_is_rejected(tmp_path: Path, change: dict, words: str) -> None:
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(OWN | change))
    with pytest.raises(ParameterError, match=words):
        load_label_map(tmp_path / "own.yaml")


def test_brackets_in_paths_are_literal_links_are_followed_and_hidden_folders_skipped(tmp_path: Path) -> None:
    """Brackets are not patterns, a field may occur twice, links are followed, hidden folders are not."""
    own = {**OWN, "scans": "drives [1]/{sequence}/{scan}/{scan}.npy", "labels": "drives [1]/{sequence}/{scan}.label"}
    root, folder = tmp_path / "root", tmp_path / "elsewhere" / "a" / "7"
    for place in (folder, root / "drives [1]" / ".a" / "8"):
        place.mkdir(parents=True)
        np.save(place / f"{place.name}.npy", np.random.default_rng(0).normal(size=(9, 4)).clip(0, 1))
        np.full(9, 4, "<u4").tofile(place.parent / f"{place.name}.label")
    (root / "drives [1]" / "a").symlink_to(folder.parent)
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own | {"splits": {"val": "val.txt"}}))
    (root / "val.txt").write_bytes(b"\xef\xbb\xbf7 \xff\n8\n")
    dataset = MappedDataset(root, load_label_map(tmp_path / "own.yaml"), "val")
    assert dataset.names == ["a/7"] and set(dataset[0].label.tolist()) == {0}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("a,3,0,#000000\na,4,0,#000000\n", "the name a occurs twice"),
        ("a,3,0,#000000\nb,3,0,#000000\n", "the id 3 occurs twice"),
        ("a,3,0,#00\n", "is not a table"),
        ("a,x,0,#000000\n", "is not a table"),
        ('a,"3\n' + "x" * 200_000, "is not a table"),
    ],
    ids=["names", "ids", "colour", "id", "quotes"],
)
def test_a_table_of_classes_that_is_damaged_is_named(tmp_path: Path, rows: str, words: str) -> None:
    (tmp_path / "goose_label_mapping.csv").write_text(f"class_name,label_key,has_instance,hex\n{rows}")
    with pytest.raises(DataError, match=rf"goose_label_mapping\.csv.*{words}"):
        load_label_map("goose").space(tmp_path)


def test_unknown_maps_and_missing_data_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="did you mean 'semanticposs'"):
        load_label_map("semanticpos")
    with pytest.raises(ParameterError, match="not valid YAML"):
        (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00")
        load_label_map(tmp_path / "a.yaml")
    with pytest.raises(DataError, match="expected at sequences/"):
        check_mapped(tmp_path, load_label_map("semanticposs"))
    with pytest.raises(DataError, match=r"goose_label_mapping\.csv does not exist: it is part of GOOSE"):
        MappedDataset(tmp_path, load_label_map("goose"), "train")


def test_a_profile_trains_on_a_data_set_by_its_map(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.training.conftest import tiny_params
    from topokd.training import train_teacher

    params = tiny_params(folder)
    params = params.replace(
        data=params.data.replace(dataset=folder.name, root=str(folder)),
        train=params.train.replace(teacher_steps=2, checkpoint_every=1, validate_every=2),
    )
    with monkeypatch.context() as patch:  # the maps of the project, the outputs in the test's folder
        patch.setenv("TOPOKD_ROOT", str(tmp_path))
        (tmp_path / "conf").symlink_to(PROJECT / "conf")
        record = train_teacher(params, 0)
    label_map = load_label_map(folder.name)
    names = list(label_map.space(folder).class_names)
    assert record["evaluation"]["class_names"] == names and record["evaluation"]["scans"] == 1
    assert record["dataset"] == folder.name and dataset_title(params.data) == label_map.name
    weights = next((tmp_path / "workspace").rglob("checkpoints/teacher-seed0.safetensors"))
    classes = Labeller(weights).classes
    assert classes.ids == label_map.space(folder).raw_ids and classes.names == tuple(names)


@pytest.mark.parametrize("name", ["goose", "rellis3d", "semanticposs"])
def test_a_missing_folder_is_said_to_be_missing(tmp_path: Path, name: str) -> None:
    label_map = load_label_map(name)
    for use in (lambda root: check_mapped(root, label_map), lambda root: open_mapped(root, label_map, "val")):
        with pytest.raises(DataError, match=rf"gone does not exist; name the folder of {label_map.name}"):
            use(tmp_path / "gone")


def test_the_report_names_a_data_set_as_its_map_does(tmp_path: Path) -> None:
    assert dataset_title(P.Data(dataset="semanticposs")) == "SemanticPOSS"
    (tmp_path / "harbour.yaml").write_text(
        (PROJECT / "conf/labels/rellis3d.yaml").read_text().replace("RELLIS-3D", "Port")
    )
    assert dataset_title(P.Data(dataset=str(tmp_path / "harbour.yaml"))) == "Port"
    assert dataset_title(P.Data(dataset=str(tmp_path / "moved-away.yaml"))) == "moved-away"


def test_a_profile_cannot_give_a_label_map_options_that_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"data\.sweeps is 3, but the reader of rellis3d"):
        check_data(P.Data(dataset="rellis3d", sweeps=3))
    with pytest.raises(ParameterError, match=r"data\.dataset is 'rellis'; choose one of .*or name a label map"):
        check_data(P.Data(dataset="rellis"))
    with pytest.raises(ParameterError, match="No such file"):
        check_data(P.Data(dataset=str(tmp_path / "yard.yaml")))


def test_another_map_is_another_data_set_for_resumed_runs_and_for_the_pipeline(folder: Path) -> None:
    label_map = load_label_map(folder.name)
    before = MappedDataset(folder, label_map, "val")
    after = MappedDataset(folder, label_map.model_copy(update={"name": "other"}), "val")
    assert dataset_fingerprint(before) != dataset_fingerprint(after) and before.names == after.names
    of_map = fingerprint(folder, whole=True)
    next(folder.rglob("*.label")).write_bytes(b"")
    assert fingerprint(folder, whole=True) != of_map and of_map["files"] >= 6


@pytest.mark.parametrize(
    "change",
    [{"label_none": "0 1"}, {"label_none": ""}, {"label_none": "-1"}, {"label_ids": ""}, {"label_ids": "1,1"},
     {"label_colors": "1 2"}, {"label_dtype": "int7"}, {"label_none": "1"}, {"label_ids": "1,99999999"}],
)  # fmt: skip
def test_a_checkpoint_whose_ids_were_edited_is_rejected_and_named(tmp_path: Path, change: dict[str, str]) -> None:
    known = {"class_names": "a,b", "voxel_size": "0.5", "label_ids": "1,2", "label_none": "0"}
    known |= {"label_dtype": "uint8", "label_colors": "0 0 0,9 9 9"}
    save_checkpoint(tmp_path / "m.safetensors", build_model("ptv3-tiny", num_classes=2), known | change)
    with pytest.raises(CheckpointError, match=r"m\.safetensors: its metadata label_"):
        Labeller(tmp_path / "m.safetensors")


def test_a_checkpoint_remembers_the_ids_of_its_label_map(tmp_path: Path) -> None:
    """SemanticSTF has SemanticKITTI's class names but other ids: predict writes those of the training."""
    label_map = load_label_map("semanticstf")
    space = label_map.space(tmp_path)
    written = WrittenLabels.of(label_map, space)
    model = build_model("ptv3-tiny", num_classes=19)
    names = {"class_names": ",".join(space.class_names), "voxel_size": "0.5"}
    for name, strings in {"bare": names, "own": names | written.metadata()}.items():
        save_checkpoint(tmp_path / f"{name}.safetensors", model, strings)
    assert Labeller(tmp_path / "bare.safetensors").classes.ids[0] == 10  # SemanticKITTI's car
    classes = Labeller(tmp_path / "own.safetensors").classes
    assert classes.ids == tuple(range(1, 20)) and classes.no_class == 0 and classes.palette == list(space.palette)
    save_checkpoint(tmp_path / "twice.safetensors", model, names | written.metadata() | {"label_ids": "1,1"})
    for change in ({"label_ids": "1,x"}, {"label_none": "3"}, {"label_none": ""}, {"label_dtype": "float32"},
                   {"label_ids": ",".join(map(str, range(250, 269))), "label_dtype": "uint8"},
                   {"label_colors": "1 2 3"}, {"label_ids": "-1"}, {"label_ids": "9" * 400}):  # fmt: skip
        save_checkpoint(tmp_path / "bad.safetensors", model, names | written.metadata() | change)
        with pytest.raises(CheckpointError, match="use the (one|file) that training wrote"):
            Labeller(tmp_path / "bad.safetensors")

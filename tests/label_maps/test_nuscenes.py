"""A user's own classes in nuScenes' layout, and label maps for trained networks (``predict`` and ``evaluate``)."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from topokd import params as P
from topokd.cli import app
from topokd.data.cache import ScanCache
from topokd.datasets.nuscenes.classes import CATEGORIES
from topokd.errors import DataError, ParameterError
from topokd.label_maps import check_mapped, load_label_map, open_mapped
from topokd.models import build_model, save_checkpoint
from topokd.synthetic import write_nuscenes

VERSION = "v1.0-harbour"
OWN = {
    "name": "Harbour",
    "layout": "nuscenes",
    "version": VERSION,
    "splits": {"train": ["pier-1"], "val": ["pier-2"]},
    "ignored_names": ["fog"],
    "classes": [
        {"name": "quay", "categories": ["flat.driveable_surface", "flat.sidewalk"], "color": [90, 90, 90]},
        {"name": "crane", "categories": ["static.crane"], "color": [226, 60, 50]},
    ],
}


@pytest.fixture(scope="module")
def harbour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes of one keyframe under names of their own, with a table of four categories in a new order."""
    root = tmp_path_factory.mktemp("harbour")
    small = P.Synthetic(
        azimuths=90, train_sequences=(0,), val_sequences=(8,), scans_per_sequence=1, val_scans_per_sequence=1
    )
    write_nuscenes(root, small)
    tables = (root / "v1.0-trainval").rename(root / VERSION)
    (root / "lidarseg" / "v1.0-trainval").rename(root / "lidarseg" / VERSION)
    scenes = json.loads((tables / "scene.json").read_text())
    for number, scene in enumerate(scenes, 1):
        scene["name"] = f"pier-{number}"
    (tables / "scene.json").write_text(json.dumps(scenes))
    names = ["flat.driveable_surface", "flat.sidewalk", "static.crane", "fog"]
    (tables / "category.json").write_text(
        json.dumps([{"token": name, "name": name, "index": 40 + k} for k, name in enumerate(names)])
    )
    index = {name: k for k, (name, _) in enumerate(CATEGORIES)}
    new = np.full(32, 43, np.uint8)
    new[index["flat.driveable_surface"]], new[index["flat.sidewalk"]] = 40, 41
    new[index["static.manmade"]] = 42
    records = json.loads((tables / "lidarseg.json").read_text())
    for record in records:
        record["filename"] = record["filename"].replace("v1.0-trainval", VERSION)
        file = root / record["filename"]
        new[np.fromfile(file, np.uint8)].tofile(file)
    (tables / "lidarseg.json").write_text(json.dumps(records))
    (tables / "panoptic.json").unlink(missing_ok=True)
    (root / "harbour.yaml").write_text(yaml.safe_dump(OWN))
    return root


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("network") / "harbour.safetensors"
    save_checkpoint(path, build_model("ptv3-tiny", num_classes=2), {"class_names": "quay,crane", "voxel_size": "0.5"})
    return path


def test_own_categories_of_nuscenes_tables_become_classes(harbour: Path) -> None:
    label_map = load_label_map(harbour / "harbour.yaml")
    train, val = (open_mapped(harbour, label_map, split) for split in ("train", "val"))
    assert train.class_names == ("quay", "crane") and (train.sequences, val.sequences) == (["pier-1"], ["pier-2"])
    raw = np.fromfile(train.files(train.names[0])[1], np.uint8)
    label = train[0].label
    np.testing.assert_array_equal(label, np.array([0, 0, 1, -1])[raw.astype(int) - 40])
    assert set(label.tolist()) == {-1, 0, 1} and train[0].intensity.max() <= 1
    report = check_mapped(harbour, label_map)
    assert [(split.name, split.scans) for split in report.splits] == [("train", 1), ("val", 1)] and not report.problems


def test_other_categories_do_not_give_cached_labels(harbour: Path, tmp_path: Path) -> None:
    store, label_map = ScanCache(tmp_path / "cache"), load_label_map(harbour / "harbour.yaml")
    before = open_mapped(harbour, label_map, "val").stored_in(store)[0]
    swapped = label_map.model_copy(update={"classes": label_map.classes[::-1]})
    after = open_mapped(harbour, swapped, "val").stored_in(store)[0]
    np.testing.assert_array_equal(after.label, np.where(before.label < 0, -1, 1 - before.label))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"classes": []}, "classes is empty"),
        ({"scans": "{scan}.bin"}, "remove scans"),
        ({"scale": 0.001}, "remove scale"),
        ({"splits": {"train": "train.txt"}}, "split train must be a list of scenes"),
        ({"classes": [{"name": "quay", "color": [1, 1, 1]}]}, "quay needs either categories"),
        ({"ignored_names": ["static.crane"]}, "the category static.crane occurs twice"),
        ({"version": "../v1"}, "version"),
    ],
)
def test_an_inconsistent_map_of_this_layout_is_rejected(tmp_path: Path, change: dict, words: str) -> None:
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(OWN | change))
    with pytest.raises(ParameterError, match=re.escape(words)):
        load_label_map(tmp_path / "own.yaml")


def test_categories_are_needed_in_the_table_and_ids_in_the_map(harbour: Path) -> None:
    label_map = load_label_map(harbour / "harbour.yaml")
    with pytest.raises(DataError, match=r"no category 'static\.cranes'; did you mean 'static\.crane'"):
        entry = label_map.classes[1].model_copy(update={"categories": ("static.cranes",)})
        open_mapped(harbour, label_map.model_copy(update={"classes": (label_map.classes[0], entry)}), "val")
    with pytest.raises(DataError, match=r"class id 43 .* not in the list of Harbour"):
        open_mapped(harbour, label_map.model_copy(update={"ignored_names": ()}), "val")[0]
    with pytest.raises(DataError, match="has no split 'test'; it has train, val"):
        open_mapped(harbour, label_map, "test")


def test_evaluate_scores_a_data_set_by_its_map(harbour: Path, network: Path, tmp_path: Path) -> None:
    arguments = ["evaluate", str(network), str(harbour), "--labels", str(harbour / "harbour.yaml")]
    done = CliRunner().invoke(app, [*arguments, "-o", str(tmp_path / "scores.json")], catch_exceptions=False)
    assert done.exit_code == 0 and "Harbour val: 1 scan of 1 sequence; 1 view per scan" in done.output
    percent = json.loads((tmp_path / "scores.json").read_text())["percent"]
    assert list(percent) == ["mIoU", "quay", "crane"] and percent["mIoU"] == pytest.approx(
        (percent["quay"] + percent["crane"]) / 2
    )
    for wrong, words in (
        (["evaluate", str(network), str(harbour)], "name a benchmark"),
        (["evaluate", "nuscenes", *arguments[1:]], "name a benchmark"),
        ([*arguments, "--version", "v1.0-mini"], "remove --version"),
    ):
        result = CliRunner().invoke(app, wrong)
        assert result.exit_code == 1 and words in str(result.exception)


def test_predict_writes_the_ids_and_colours_of_the_map(harbour: Path, network: Path, tmp_path: Path) -> None:
    folder = harbour / "samples" / "LIDAR_TOP"
    scan = next(folder.glob("*.bin"))
    command = ["predict", str(network), str(folder), "-o", str(tmp_path / "out"), "--views", "0"]
    done = CliRunner().invoke(app, [*command, "--labels", str(harbour / "harbour.yaml")])
    assert done.exit_code == 0, done.output
    written = np.fromfile(tmp_path / "out" / scan.name.replace(".pcd.bin", ".label"), np.uint8)
    assert len(written) == scan.stat().st_size // 20 and set(written.tolist()) <= {40, 42}
    legend = json.loads((tmp_path / "out/classes.json").read_text())
    assert legend[1] == {"class": 1, "id": 42, "name": "crane", "rgb": [226, 60, 50]}


def test_predict_reads_scans_with_the_options_of_the_map_unless_overridden(network: Path, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).uniform(-9000, 9000, (60, 5)).astype("<f4")  # millimetres
    rows[:, 4] = np.linspace(0, 40, 60)
    rows.tofile(tmp_path / "scan.bin")
    own = {
        **{"name": "Yard", "scans": "{scan}.bin", "labels": "{scan}.label", "splits": {"val": "val.txt"}},
        **{"columns": ["x", "y", "z", "_", "intensity"], "scale": 0.001, "intensity_scale": 40},
        **{"ignored": [7], "label_dtype": "uint16"},
        "classes": [
            {"name": "crane", "ids": [500], "color": [1, 2, 3]},
            {"name": "tree", "ids": [8], "color": [5, 5, 5]},
            {"name": "quay", "ids": [300, 2], "color": [3, 2, 1]},
        ],
    }
    (tmp_path / "yard.yaml").write_text(yaml.safe_dump(own))
    command = [
        "predict",
        str(network),
        str(tmp_path / "scan.bin"),
        "--views",
        "0",
        "--labels",
        str(tmp_path / "yard.yaml"),
    ]
    done = CliRunner().invoke(app, [*command, "-o", str(tmp_path / "a.label")])
    assert done.exit_code == 0, done.output
    assert set(np.fromfile(tmp_path / "a.label", "<u2").tolist()) <= {500, 300}
    done = CliRunner().invoke(app, [*command, "-o", str(tmp_path / "b.label"), "--intensity-scale", "20"])
    assert done.exit_code == 1 and "above the scale 20" in str(done.exception)
    own["classes"] = own["classes"][1:]
    (tmp_path / "yard.yaml").write_text(yaml.safe_dump(own))
    done = CliRunner().invoke(app, [*command, "-o", str(tmp_path / "c.label")])
    assert done.exit_code == 1 and "no class 'crane', which the network predicts" in str(done.exception)

"""Labels of another number type, byte order or length are named: read as they are, most would be "no label"."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from topokd.data.label_files import check_label_count, ids_and_objects
from topokd.datasets import SemanticKITTI
from topokd.errors import DataError
from topokd.label_maps import check_mapped, load_label_map, open_mapped

IDS = np.array([10, 40, 48, 252, 259, 0] * 50)  # raw ids of SemanticKITTI, also beyond one byte
MAP = """
name: Yard
scans: sequences/{sequence}/velodyne/{scan}.bin
labels: sequences/{sequence}/labels/{scan}.label
intensity_scale: 1
splits: {train: ["00"]}
classes:
- {name: car, ids: [10, 252, 259], color: [1, 2, 3]}
- {name: road, ids: [40, 48], color: [4, 5, 6]}
"""
WRONG = {
    "float32": (IDS.astype("<f4"), "holds float32 numbers: store labels as uint32"),
    "big-endian": (IDS.astype(">u4"), "is in big-endian byte order"),
    "high half": (IDS.astype("<u4") << 16, "has ids in its high 16 bits alone"),
    "int64": (IDS.astype("<i8"), "its labels seem to be int64: store them as uint32"),
    "uint8": (IDS.astype("u1"), "its labels seem to be uint8: store them as uint32"),
    "one less": (IDS[:-1].astype("<u4"), "it holds 299 labels: they do not belong together"),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "sequences" / "00"
    for name in ("velodyne", "labels"):
        (folder / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.uniform(-20, 20, (len(IDS), 3)), rng.random(len(IDS))])
    rows.astype("<f4").tofile(folder / "velodyne" / "000000.bin")
    (tmp_path / "map.yaml").write_text(MAP)
    return tmp_path


def semantickitti(root: Path) -> np.ndarray:
    return SemanticKITTI(root, (0,))[0].label


def label_map(root: Path) -> np.ndarray:
    return open_mapped(root, load_label_map(root / "map.yaml"), "train")[0].label


def write(root: Path, labels: np.ndarray) -> None:
    labels.tofile(root / "sequences" / "00" / "labels" / "000000.label")


@pytest.mark.parametrize("read", [semantickitti, label_map])
@pytest.mark.parametrize("kind", WRONG)
def test_labels_of_another_kind_are_named(root: Path, read: Callable[[Path], np.ndarray], kind: str) -> None:
    labels, message = WRONG[kind]
    write(root, labels)
    with pytest.raises(DataError, match=rf"000000\.label .*{message}"):
        read(root)


@pytest.mark.parametrize("read", [semantickitti, label_map])
def test_a_numpy_file_under_the_name_of_labels_is_named(root: Path, read: Callable[[Path], np.ndarray]) -> None:
    with (root / "sequences" / "00" / "labels" / "000000.label").open("wb") as stream:
        np.save(stream, IDS.astype("u4"))
    with pytest.raises(DataError, match="it is a NumPy file"):
        read(root)


def test_numbers_of_objects_are_no_other_number_type(root: Path) -> None:
    objects = np.arange(len(IDS)) * 200  # up to the highest of 16 bits, where float32 has its exponents
    write(root, (IDS | objects << 16).astype("<u4"))
    assert (label_map(root) >= 0).mean() > 0.8
    ids, numbers = ids_and_objects(IDS | objects << 16)
    assert ids.tolist() == IDS.tolist() and numbers.tolist() == objects.tolist()


def test_points_without_a_class_may_belong_to_objects(root: Path) -> None:
    """Half of them have no id, but not all: the file is what it should be."""
    raw = np.where(np.arange(len(IDS)) % 2, 7 << 16, IDS)
    write(root, raw.astype("<u4"))
    assert (label_map(root) >= 0).any()


def test_a_split_whose_points_all_lack_a_class_is_a_problem(root: Path) -> None:
    write(root, np.zeros(len(IDS), "<u4"))
    problems = check_mapped(root, load_label_map(root / "map.yaml")).splits[0].problems
    assert len(problems) == 1 and problems[0].startswith("no point of train has a class, 300 are without")


def test_an_empty_scan_has_no_labels(tmp_path: Path) -> None:
    (tmp_path / "0.label").write_bytes(b"")
    check_label_count(tmp_path / "0.label", 0, np.dtype("u4"), "copy both again")

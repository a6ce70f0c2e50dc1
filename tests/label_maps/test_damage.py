"""Data sets of label maps with parts that are missing or named otherwise: the check says what, and where."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from topokd.errors import DataError, ParameterError
from topokd.label_maps import check_mapped, load_label_map, open_mapped

SCANS = "yard/points/{sequence}/{scan}.bin"
MAP = f"""
name: Yard
scans: {SCANS}
labels: yard/labels/{{sequence}}/{{scan}}.label
columns: [x, y, z, intensity]
intensity_scale: 255
splits: {{train: train.txt, val: val.txt}}
classes:
- {{name: road, ids: [1], color: [128, 64, 128]}}
- {{name: car, ids: [5], color: [100, 150, 245]}}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("a/0", "a/1", "b/0"):
        scan, labels = tmp_path / f"yard/points/{name}.bin", tmp_path / f"yard/labels/{name}.label"
        for file in (scan, labels):
            file.parent.mkdir(parents=True, exist_ok=True)
        rows = np.column_stack([rng.uniform(-20, 20, (2000, 3)), rng.uniform(1, 254, 2000)])
        rows.astype("<f4").tofile(scan)
        rng.choice(np.array([1, 5], "<u4"), 2000).tofile(labels)
    (tmp_path / "map.yaml").write_text(MAP)
    (tmp_path / "train.txt").write_text("# list of scans\nyard/points/a/0.bin\nyard/points/a/1.bin\n")
    (tmp_path / "val.txt").write_text("yard/points/b/0.bin\n")
    return tmp_path


def checked(root: Path) -> tuple[list[str], list[str]]:
    """The problems and the notes of a check."""
    report = check_mapped(root, load_label_map(root / "map.yaml"))
    return report.problems, [note for split in report.splits for note in split.notes]


def test_a_whole_data_set_has_no_problems(root: Path) -> None:
    assert checked(root) == ([], [])


def test_a_list_that_was_written_on_windows_is_read(root: Path) -> None:
    (root / "train.txt").write_bytes(b"\xef\xbb\xbfyard\\points\\a\\0.bin\r\nyard\\points\\a\\1.bin\r\n")
    assert checked(root) == ([], [])


def test_scans_that_a_list_names_and_labels_without_a_scan_are_problems(root: Path) -> None:
    (root / "yard/points/a/1.bin").unlink()
    problems, _ = checked(root)
    assert len(problems) == 3  # the labels are in the folders of both splits
    assert problems[0].startswith("1 scans that train.txt names are not there, yard/points/a/1.bin first")
    assert "1 files of labels have no scan" in problems[1] and "labels/a/1.label" in problems[1]


def test_an_absent_split_is_noted_with_its_cause(root: Path) -> None:
    (root / "train.txt").write_text("")
    problems, notes = checked(root)
    assert not problems and "there is no split train" in notes[0] and "that train.txt names" in notes[0]
    (root / "train.txt").unlink()
    (root / "val.txt").unlink()
    with pytest.raises(DataError, match=r"no split of Yard; .*train.txt does not exist"):
        checked(root)


def test_scans_whose_names_are_in_another_case_are_named(root: Path) -> None:
    for file in root.rglob("0.bin"):
        file.rename(file.with_name("0.BIN"))
    (root / "yard/points/a/1.bin").unlink()
    with pytest.raises(DataError, match="yard/points/./0.BIN differs in capital and small letters"):
        checked(root)


def test_a_data_set_that_lies_one_folder_further_down_is_found(root: Path) -> None:
    below = root / "download"
    below.mkdir()
    (root / "yard").rename(below / "yard")
    with pytest.raises(DataError, match=f"did you mean {below}"):
        checked(root)


def test_splits_without_any_labels_are_noted(root: Path) -> None:
    for file in root.rglob("*.label"):
        file.unlink()
    problems, notes = checked(root)
    assert not problems and [note.split(":")[0] for note in notes] == ["no scan has labels"] * 2


def test_what_is_assumed_about_scans_is_noted_once(root: Path) -> None:
    for file in root.rglob("a/*.bin"):
        rows = np.fromfile(file, "<f4").reshape(-1, 4)
        rows[:, 3] /= 255
        rows[::4, :3] = 0
        rows.tofile(file)
    problems, notes = checked(root)
    assert not problems and len(notes) == 2
    assert all(note.startswith("2 scans, a/0 first: ") for note in notes)
    assert "fillers without a return" in notes[0] and "of a full scale of 255" in notes[1]


@pytest.mark.parametrize("line", ["./yard/points/a/0.bin", "yard/points/a/0.bin,", "yard/points/a/0.bin; 3"])
def test_a_list_may_have_dots_and_commas(root: Path, line: str) -> None:
    (root / "train.txt").write_text(f"{line}\n")
    problems, _ = checked(root)
    assert not [problem for problem in problems if "names are not there" in problem]


@pytest.mark.parametrize(
    ("line", "words"),
    [("/data/yard/points/a/0.bin", "it begins with '/data/yard/points/a/0.bin'"), ("", "it is empty")],
)
def test_a_list_that_names_other_paths_is_shown_beside_the_first_scan(root: Path, line: str, words: str) -> None:
    (root / "train.txt").write_text(f"{line}\n")
    with pytest.raises(DataError, match=f"that train.txt names: {words}, and the first scan here is 'yard/points/a/0"):
        open_mapped(root, load_label_map(root / "map.yaml"), "train")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("scans: yard", "scans: ../yard", "it must be a path below the root"),
        ("labels/{sequence}/{scan}.label", "points/{sequence}/{scan}.bin", "scans and labels are both"),
        ("name: road", "name: ' road'", "remove spaces at its ends"),
        ("name: road", 'name: "road\\e[31m"', "and control characters"),
    ],
)
def test_a_map_that_makes_no_sense_is_rejected(root: Path, old: str, new: str, words: str) -> None:
    (root / "map.yaml").write_text(MAP.replace(old, new))
    with pytest.raises(ParameterError, match=words):
        load_label_map(root / "map.yaml")


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_a_map_in_another_encoding_is_named(root: Path, encoding: str) -> None:
    (root / "map.yaml").write_bytes(MAP.replace("Yard", "Hof Süd").encode(encoding))
    with pytest.raises(ParameterError, match=r"map\.yaml is not valid YAML: byte \d+ is not UTF-8 .* save it as UTF-8"):
        load_label_map(root / "map.yaml")

"""The full scale of intensities of a data set whose label map does not give it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from topokd.adaptation import collect_scans
from topokd.errors import DataError
from topokd.label_maps import LabelMap, MappedDataset, check_mapped, load_label_map


def yard(root: Path, brightest: dict[str, int]) -> LabelMap:
    """Write scans with the given largest intensities, and the label map."""
    root.mkdir(exist_ok=True)
    text = {"name": "Yard", "scans": "{split}/{scan}.bin", "labels": "{split}/{scan}.label"}
    classes = [{"name": name, "ids": [k + 1], "color": [k, 0, 0]} for k, name in enumerate(("road", "car"))]
    (root / "yard.yaml").write_text(yaml.safe_dump({**text, "classes": classes}))
    rng = np.random.default_rng(0)
    for name, high in brightest.items():
        rows = np.column_stack([rng.uniform(-20, 20, (700, 3)), rng.integers(0, high + 1, 700)])
        rows[0, 3] = high
        for suffix, values in ((".bin", rows.astype("<f4")), (".label", np.ones(700, "<u4"))):
            (root / name).parent.mkdir(exist_ok=True)
            values.tofile(root / f"{name}{suffix}")
    return load_label_map(root / "yard.yaml")


def test_without_a_scale_in_the_map_all_scans_are_divided_by_the_same(tmp_path: Path) -> None:
    """It was guessed for each scan from its brightest point: a dark scan looked as bright as the others."""
    brightest = {"train/a": 200, "train/b": 900, "val/c": 250}
    label_map = yard(tmp_path, brightest)
    for split in ("train", "val"):
        dataset = MappedDataset(tmp_path, label_map, split)
        for name, scan in zip(dataset.names, dataset, strict=True):
            assert scan.intensity.max() * 1023 == pytest.approx(brightest[name], rel=1e-5)
    given = label_map.model_copy(update={"intensity_scale": 4095.0})
    assert MappedDataset(tmp_path, given, "val")[0].intensity.max() * 4095 == pytest.approx(250, rel=1e-5)


def test_a_scan_beyond_a_guessed_scale_is_read_and_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    label_map = yard(tmp_path, {f"train/{k:02d}": 200 for k in range(40)} | {"train/17": 3000, "train/33": 2000})
    dataset = MappedDataset(tmp_path, label_map, "train")
    assert dataset.intensity_scale == 255
    assert dataset[17].intensity.max() * 4095 == pytest.approx(3000, rel=1e-5)
    assert dataset[33].intensity.max() * 4095 == pytest.approx(2000, rel=1e-5)
    assert dataset[16].intensity.max() * 255 == pytest.approx(200, rel=1e-5)
    (said,) = [record.getMessage() for record in caplog.records]  # once for the data set
    assert (
        "17: other scans seem to have intensities of 0 to 255, but 9" in said
        and "Yard gives no intensity_scale" in said
    )
    given = label_map.model_copy(update={"intensity_scale": 255.0})
    with pytest.raises(DataError, match=r"17\.bin: intensity goes up to 3000, above the scale 255; give the sensor's"):
        MappedDataset(tmp_path, given, "train")[17]


def test_bright_points_beyond_a_guessed_scale_are_clipped(tmp_path: Path) -> None:
    label_map = yard(tmp_path, {f"train/{k:02d}": 200 for k in range(40)})
    rows = np.fromfile(tmp_path / "train/01.bin", "<f4").reshape(-1, 4)
    rows[::50, 3] = 700  # 14 of 700
    rows.tofile(tmp_path / "train/01.bin")
    values = MappedDataset(tmp_path, label_map, "train")[1].intensity
    assert (values[::50] == 1).all() and values[1:50].max() * 255 == pytest.approx(rows[1:50, 3].max(), rel=1e-5)


@pytest.mark.parametrize(("bright", "scale"), [(1, 255), (2, 4095)])
def test_one_damaged_scan_does_not_darken_the_others(tmp_path: Path, bright: int, scale: float) -> None:
    label_map = yard(tmp_path, {f"train/{k:02d}": 3000 if k < bright else 200 for k in range(12)})
    assert MappedDataset(tmp_path, label_map, "train").intensity_scale == scale


def test_a_check_says_which_scale_was_guessed(tmp_path: Path) -> None:
    (report,) = check_mapped(tmp_path, yard(tmp_path, {"train/a": 900})).splits
    assert "no intensity_scale: all intensities are divided by 1023, guessed from a sample" in report.notes[0]


def test_a_damaged_scan_does_not_hide_the_scale(tmp_path: Path) -> None:
    label_map = yard(tmp_path, {"train/a": 900, "train/b": 900})
    (tmp_path / "train/a.bin").write_bytes(b"")
    assert MappedDataset(tmp_path, label_map, "train", on_bad_scan="keep").intensity_scale == 1023


def test_unlabelled_scans_of_an_adaptation_have_the_scale_of_the_labelled_ones(tmp_path: Path) -> None:
    label_map = yard(tmp_path, {"train/a": 900, "train/b": 800, "val/c": 900})
    yard(tmp_path / "more", {"train/dark": 100})
    scans = collect_scans(tmp_path, label_map, [tmp_path / "more"])
    (dark,) = scans.unlabelled[0]
    assert dark.intensity.max() * 1023 == pytest.approx(100, rel=1e-5)


def test_a_check_counts_the_scans_with_other_intensities(tmp_path: Path) -> None:
    label_map = yard(tmp_path, {f"train/{k:02d}": 200 for k in range(40)} | {"train/17": 3000, "train/33": 2000})
    (report,) = check_mapped(tmp_path, label_map).splits
    assert not report.problems and report.notes[1].startswith(
        "2 scans have intensities unlike those of the others, train/17 "
    )


def test_a_rare_kind_of_scans_is_in_the_sample(tmp_path: Path) -> None:
    """Sixteen were looked at, every fourth one here, which missed a quarter of the scans."""
    brightest = {f"train/{k:03d}": 3000 if k % 4 == 3 else 200 for k in range(61)}
    assert MappedDataset(tmp_path, yard(tmp_path, brightest), "train").intensity_scale == 4095


@pytest.mark.parametrize("split", ["train", "val"])
def test_training_scans_without_labels_are_noted_and_others_are_problems(tmp_path: Path, split: str) -> None:
    label_map = yard(tmp_path, {f"{split}/a": 200, f"{split}/b": 200, f"{split}/c": 200})
    (tmp_path / split / "b.label").unlink()
    (report,) = check_mapped(tmp_path, label_map).splits
    noted = [note for note in report.notes if "have no labels" in note]
    if split == "train":
        assert (
            report.scans == 3
            and not report.problems
            and noted[0].startswith("1 of 3 scans have no labels, train/b first")
        )
    else:
        assert report.scans == 2 and not noted and "b.label does not exist" in report.problems[0]

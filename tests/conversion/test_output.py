"""A folder of converted scans: interrupted, overwritten, and continued by another call."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from topokd.conversion.output import SPLITS, Conversion
from topokd.errors import DataError
from topokd.io import read_json

OLD, NEW = {"distance": 0.3}, {"distance": 0.1}


def convert(folder: Path, recipe: dict, scans: int, label: int, overwrite: bool = False, finish: bool = True) -> int:
    """Write the first ``scans`` scans, as far as they are not there; returns the number that was written."""
    conversion, written = Conversion(folder, recipe, overwrite), 0
    for frame in range(scans):
        if not conversion.has(0, frame):
            conversion.write(0, frame, np.full((2, 3), float(label)), np.zeros(2), np.full(2, label))
            written += 1
    if finish:
        conversion.finish({"train": [(0, frame) for frame in range(scans)]}, {})
    return written


def labels(folder: Path) -> list[int]:
    return [int(np.fromfile(file, "<u4")[0]) for file in sorted((folder / "sequences/00/labels").iterdir())]


def test_an_overwriting_that_was_interrupted_goes_on_with_no_scan_of_the_earlier_one(tmp_path: Path) -> None:
    for again in (False, True):
        folder = tmp_path / str(again)
        assert convert(folder, OLD, 4, 1) == 4
        assert convert(folder, NEW, 2, 2, overwrite=True, finish=False) == 2
        assert labels(folder) == [2, 2] and not any((folder / f"{split}.txt").exists() for split in SPLITS)
        assert convert(folder, NEW, 4, 2, overwrite=again) == 2 and labels(folder) == [2, 2, 2, 2]
        assert read_json(folder / "conversion.json")["complete"]
        assert convert(folder, NEW, 4, 3) == 0 and convert(folder, NEW, 4, 3, overwrite=True) == 4


def test_a_conversion_that_was_killed_while_it_deleted_the_earlier_one_is_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert(tmp_path, OLD, 4, 1)
    with monkeypatch.context() as patch:
        patch.setattr("topokd.conversion.output.shutil.rmtree", lambda folder: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            Conversion(tmp_path, NEW, overwrite=True)
    assert not read_json(tmp_path / "conversion.json")["complete"]
    with pytest.raises(DataError, match="pass --overwrite"):
        Conversion(tmp_path, NEW)
    assert convert(tmp_path, NEW, 4, 2, overwrite=True) == 4

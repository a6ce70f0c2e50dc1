"""The folder that a conversion writes: scans and labels in SemanticKITTI's layout, lists of splits, a record."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Integer
from numpy import ndarray

from topokd.errors import DataError
from topokd.io import read_json, write_bytes, write_json, write_text

RECORD = "conversion.json"
SPLITS = ("train", "val")


class Conversion:
    """A folder of converted scans; an interrupted conversion continues where it stopped.

    Args:
        folder: a new or empty folder, or one with a conversion of the same ``recipe``.
        recipe: JSON-serialisable description of the source and the options.
        overwrite: whether to start again where there is a whole conversion, or one of another recipe. It is
            deleted first, so that an interrupted call leaves no scan of it for the next one to continue with.

    Raises:
        DataError: the folder holds other files, or another conversion.
    """

    def __init__(self, folder: Path, recipe: Mapping[str, Any], overwrite: bool = False) -> None:
        self.folder = folder
        self._recipe = dict(recipe)
        record = folder / RECORD
        if record.is_file():
            found = read_json(record)
            earlier = found if isinstance(found, dict) else {}
            other = earlier.get("recipe") != self._recipe
            if other and not overwrite:
                raise DataError(
                    f"{folder} holds a conversion of another source or with other options ({record}): choose another "
                    "folder, or pass --overwrite"
                )
            if other or (overwrite and earlier.get("complete")):
                write_json(record, {**earlier, "complete": False})
                self._clear()
        elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise DataError(f"{folder} is not an empty folder, nor one that a conversion wrote: choose another one")
        write_json(record, {"recipe": self._recipe, "complete": False})

    def _clear(self) -> None:
        """Delete the scans and the lists of an earlier conversion."""
        for name in SPLITS:
            (self.folder / f"{name}.txt").unlink(missing_ok=True)
        if (sequences := self.folder / "sequences").exists():
            shutil.rmtree(sequences)

    def points(self, sequence: int, frame: int) -> Path:
        """Path of the points of a scan, by numbers of sequence and frame."""
        return self.folder / "sequences" / f"{sequence:02d}" / "velodyne" / f"{frame:06d}.bin"

    def has(self, sequence: int, frame: int) -> bool:
        """Whether an earlier call wrote this scan."""
        return self.points(sequence, frame).is_file()

    def write(
        self,
        sequence: int,
        frame: int,
        xyz: Float[ndarray, "n 3"],
        intensity: Float[ndarray, " n"],
        ids: Integer[ndarray, " n"],
        instances: Integer[ndarray, " n"] | None = None,
    ) -> None:
        """Write one scan, the labels first, so that every scan in the folder has its labels.

        Args:
            sequence, frame: its numbers.
            xyz: (n, 3) metres around the sensor.
            intensity: (n,) 0..1.
            ids: (n,) class ids, 0..65535.
            instances: (n,) numbers of objects, 0..65535; None: 0.
        """
        path = self.points(sequence, frame)
        words = ids.astype(np.int64)
        if instances is not None:
            words = words | instances.astype(np.int64) << 16
        write_bytes(path.parents[1] / "labels" / f"{frame:06d}.label", words.astype("<u4").tobytes())
        write_bytes(path, np.column_stack((xyz, intensity)).astype("<f4").tobytes())

    def finish(self, splits: Mapping[str, Iterable[tuple[int, int]]], counts: Mapping[str, Any]) -> None:
        """Write the lists of splits and the record.

        Args:
            splits: the scans of each split, as (sequence, frame).
            counts: numbers to add to the record.
        """
        for name, scans in splits.items():
            lines = (self.points(*scan).relative_to(self.folder).as_posix() for scan in sorted(scans))
            write_text(self.folder / f"{name}.txt", "".join(f"{line}\n" for line in lines))
        write_json(self.folder / RECORD, {"recipe": self._recipe, "complete": True, **counts})

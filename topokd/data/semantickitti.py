"""The SemanticKITTI data set."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from topokd.data.layout import CLASS_NAMES, PALETTE, check_labels, points_in, read_scan
from topokd.data.scan import Scan
from topokd.errors import DataError

log = logging.getLogger(__name__)

SPLITS: dict[str, tuple[int, ...]] = {
    "train": (0, 1, 2, 3, 4, 5, 6, 7, 9, 10),
    "val": (8,),
    "test": tuple(range(11, 22)),
}
"""Official sequences of each split."""


class SemanticKITTI:
    """The scans of a split, read when asked for and kept in memory while there is room.

    ``root`` is the folder that holds ``sequences/``. ``split`` is "train", "val", "test" (no labels) or a tuple of
    sequence numbers. A named split uses those of its sequences that are there and logs the missing ones; with none of
    them, or one missing from a tuple, it raises :class:`~topokd.errors.DataError`. Sizes of all files are checked at
    once. ``on_bad_scan="skip"`` reads every scan once at the start, leaves the bad ones out, logs them, and lists them
    in ``skipped`` as (name, reason); "raise" stops at the first, when it is read.

    >>> import tempfile
    >>> import numpy as np
    >>> from topokd.data import write_scan
    >>> root = tempfile.mkdtemp()
    >>> write_scan(root, 8, 0, Scan(np.ones((5, 3)), np.zeros(5), np.full(5, 8)))
    >>> dataset = SemanticKITTI(root, "val")
    >>> len(dataset), dataset[0].name, dataset.class_names[dataset[0].label[0]]
    (1, '08/000000', 'road')
    """

    class_names = CLASS_NAMES
    num_classes = len(CLASS_NAMES)
    palette = PALETTE

    def __init__(
        self,
        root: str | Path,
        split: str | Sequence[int] = "train",
        on_bad_scan: Literal["raise", "skip"] = "raise",
        cache: int = 128,
    ) -> None:
        self.root, self.split = Path(root), split
        self.labelled = split != "test"
        self.sequences = _sequences(self.root, split)
        self.names: list[str] = []
        self.skipped: list[tuple[str, str]] = []
        self._cache: OrderedDict[int, Scan] = OrderedDict()
        self._cache_size = cache
        for name in _scan_names(self.root, self.sequences):
            points, labels = self.files(name)
            try:
                if on_bad_scan == "skip":
                    read_scan(points, labels, name)
                else:
                    count = points_in(points)
                    if labels is not None:
                        check_labels(labels, count)
            except DataError as error:
                if on_bad_scan != "skip":
                    raise
                log.warning("skipped scan %s: %s", name, error)
                self.skipped.append((name, str(error)))
            else:
                self.names.append(name)
        if not self.names:
            raise DataError(
                f"{self.root}: sequences {_written(self.sequences)} hold no usable scan"
                + (f" ({len(self.skipped)} skipped, the first: {self.skipped[0][1]})" if self.skipped else "")
            )

    def files(self, name: str) -> tuple[Path, Path | None]:
        """Paths of a scan's points and labels (None in the test split)."""
        sequence, frame = name.split("/")
        folder = self.root / "sequences" / sequence
        return folder / "velodyne" / f"{frame}.bin", folder / "labels" / f"{frame}.label" if self.labelled else None

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Scan:
        index = range(len(self))[index]
        if index in self._cache:
            self._cache.move_to_end(index)
            return self._cache[index]
        name = self.names[index]
        scan = self._cache[index] = read_scan(*self.files(name), name)
        while len(self._cache) > self._cache_size:
            self._cache.popitem(last=False)
        return scan

    def __iter__(self) -> Iterator[Scan]:
        return (self[index] for index in range(len(self)))


def _sequences(root: Path, split: str | Sequence[int]) -> tuple[int, ...]:
    """Numbers of the sequences to read, after a look at what is there."""
    folder = root / "sequences"
    if not folder.is_dir():
        near = (
            "its parent has one: did you mean that?"
            if root.name == "sequences"
            else "data.root must be the folder above"
        )
        raise DataError(f"{folder} does not exist, so {root} is not in SemanticKITTI's layout; {near}")
    present = {int(path.name) for path in folder.iterdir() if path.name.isdigit() and (path / "velodyne").is_dir()}
    if isinstance(split, str) and split not in SPLITS:
        raise DataError(f"unknown split {split!r}: choose train, val or test, or a tuple of sequence numbers")
    wanted = SPLITS[split] if isinstance(split, str) else tuple(split)
    missing = tuple(number for number in wanted if number not in present)
    found = tuple(number for number in wanted if number in present)
    if not found or (missing and not isinstance(split, str)):
        raise DataError(
            f"{folder}: looked for sequence{'s' if len(missing) > 1 else ''} {_written(missing)} of split "
            f"{split!r} with velodyne/*.bin in them; there are {_written(sorted(present)) or 'none'}"
        )
    if missing:
        log.warning("%s: split %s lacks sequences %s; using %s", root, split, _written(missing), _written(found))
    return found


def _written(sequences: Sequence[int]) -> str:
    return ", ".join(f"{number:02d}" for number in sequences)


def _scan_names(root: Path, sequences: Sequence[int]) -> list[str]:
    """ "SS/NNNNNN" of all scans in order. Files beginning with a dot are half-written ones and no scans."""
    names = []
    for number in sequences:
        files = sorted((root / "sequences" / f"{number:02d}" / "velodyne").glob("*.bin"))
        names += [f"{number:02d}/{file.stem}" for file in files if not file.name.startswith(".")]
    return names

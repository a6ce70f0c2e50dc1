"""One set of checks that every reader must pass; see test_readers.py."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from topokd.data import IGNORE, Scan, ScanCache, prefetch, voxelize
from topokd.data.dataset import ScanDataset
from topokd.errors import DataError


class ReaderTester:
    """Checks of one reader.

    Args:
        open: ``open(split, **options)`` reads a split of a folder that holds at least two sequences in "train".
        num_classes: number of classes that the reader must have.
    """

    def __init__(self, open: Callable[..., ScanDataset], num_classes: int) -> None:
        self.open, self.num_classes = open, num_classes

    def check_scans(self) -> None:
        """Length, names, and the dtype, shape and range of every scan."""
        dataset = self.open("train")
        scans = list(dataset)
        assert len(scans) == len(dataset) == len(dataset.names) >= 2
        assert [scan.name for scan in scans] == dataset.names and len(set(dataset.names)) == len(dataset)
        assert {name.split("/")[0] for name in dataset.names} == set(dataset.sequences)
        assert dataset.num_classes == self.num_classes == len(dataset.class_names) == len(dataset.palette)
        for scan in scans:
            n = len(scan)
            assert scan.label is not None and scan.xyz.shape == (n, 3) and scan.label.shape == (n,)
            assert (scan.xyz.dtype, scan.intensity.dtype, scan.label.dtype) == (np.float32, np.float32, np.int64)
            assert scan.intensity.min() >= 0 and scan.intensity.max() <= 1
            assert scan.label.min() >= IGNORE and scan.label.max() < self.num_classes
        assert any((scan.label != IGNORE).any() for scan in scans if scan.label is not None)

    def check_unknown_split(self) -> None:
        """The message names the split that does not exist and those that do."""
        with pytest.raises(DataError, match=r"'holdout'.*train"):
            self.open("holdout")

    def check_memory_cache(self) -> None:
        """A scan is not read again while it is in the memory cache."""
        dataset = self.open("train", cache=1)
        first = dataset[0]
        assert dataset[0] is first
        _ = dataset[1]
        assert dataset[0] is not first

    def check_disk_cache(self, folder: Path) -> None:
        """Scans and voxels through a cache on disk are those without one, on the first and on the second reading."""
        plain = self.open("val")
        for _ in range(2):
            stored = self.open("val").stored_in(ScanCache(folder))
            for index, scan in enumerate(plain):
                assert_equal(stored[index], scan)
                np.testing.assert_array_equal(stored.voxels(index, 0.5).feat, voxelize(scan, 0.5).feat)

    def check_worker_processes(self) -> None:
        """A dataset can be pickled, and another process reads the same scans."""
        dataset = self.open("train")
        expected = list(dataset)
        for scan, other in zip(expected, pickle.loads(pickle.dumps(dataset)), strict=True):
            assert_equal(scan, other)
        for scan, other in zip(expected, prefetch(dataset.__getitem__, range(len(dataset)), 1), strict=True):
            assert_equal(scan, other)

    def check_bad_file(self, damage: Callable[[Path], None], index: int) -> None:
        """A file that is missing or damaged is named, and ``on_bad_scan`` decides what happens to its scans.

        Args:
            damage: spoils a file.
            index: which of a scan's files: 0 its points, -1 the last one (labels, calibration).
        """
        whole = self.open("train")
        file = whole.files(whole.names[0])[index]
        assert file is not None
        affected = {name for name in whole.names if whole.files(name)[index] == file}
        damage(file)
        with pytest.raises(DataError, match=file.name.replace("+", r"\+")):
            list(self.open("train"))
        skipping = self.open("train", on_bad_scan="skip")
        assert {name for name, _ in skipping.skipped} == affected
        assert all(str(file) in reason for _, reason in skipping.skipped)
        assert skipping.names == [name for name in whole.names if name not in affected] and list(skipping)
        keeping = self.open("train", on_bad_scan="keep")
        assert keeping.names == whole.names
        with pytest.raises(DataError):
            keeping[0]


def damages() -> Iterator[Callable[[Path], None]]:
    """Kinds of damage to a file."""

    def missing(file: Path) -> None:
        file.unlink()

    def truncated(file: Path) -> None:
        file.write_bytes(file.read_bytes()[:-7])

    def empty(file: Path) -> None:
        file.write_bytes(b"")

    yield from (missing, truncated, empty)


def assert_equal(one: Scan, other: Scan) -> None:
    """The same bits in every field."""
    assert one.name == other.name
    for field in ("xyz", "intensity", "label", "instance"):
        np.testing.assert_array_equal(getattr(one, field), getattr(other, field))

"""The fingerprint of a data set changes with its scans only."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from topokd.datasets.fingerprint import SAMPLE, fingerprint
from topokd.errors import DataError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "sequences/00/velodyne"
    folder.mkdir(parents=True)
    (folder / "000000.bin").write_bytes(bytes(3 * SAMPLE))
    (folder / "000001.bin").write_bytes(b"short")
    return tmp_path


def test_equal_files_have_equal_fingerprints_whatever_their_times(root: Path):
    before = fingerprint(root)
    os.utime(root / "sequences/00/velodyne/000000.bin", (0, 0))
    assert fingerprint(root) == before
    assert before["files"] == 2 and before["bytes"] == 3 * SAMPLE + 5


@pytest.mark.parametrize("change", ["start", "end", "length", "name", "more"])
def test_another_scan_has_another_fingerprint(root: Path, change: str):
    before, folder = fingerprint(root), root / "sequences/00/velodyne"
    scan = folder / "000000.bin"
    content = bytearray(scan.read_bytes())
    if change == "start":
        content[0] = 1
    elif change == "end":
        content[-1] = 1
    elif change == "length":
        content += b"x"
    scan.write_bytes(content)
    if change == "name":
        scan.rename(folder / "000002.bin")
    elif change == "more":
        (folder / "000003.bin").write_bytes(b"")
    assert fingerprint(root)["sha256"] != before["sha256"]


@pytest.mark.parametrize("whole", [False, True])
def test_a_fingerprint_covers_scans_behind_links(root: Path, tmp_path_factory: pytest.TempPathFactory, whole: bool):
    """Data sets are often put together by links: a changed scan behind one must not go unnoticed."""
    before = fingerprint(root, whole=whole)
    moved = tmp_path_factory.mktemp("disk") / "00"
    (root / "sequences/00").rename(moved)
    (root / "sequences/00").symlink_to(moved)
    (moved / "back").symlink_to(root)
    assert fingerprint(root, whole=whole) == before
    (moved / "velodyne/000001.bin").write_bytes(b"other")
    assert fingerprint(root, whole=whole) != before


def test_a_wrong_root_is_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"does not contain a known data set; .*sequences \(SemanticKITTI\)"):
        fingerprint(tmp_path)


@pytest.mark.parametrize("whole", [False, True])
def test_a_root_that_is_not_a_folder_is_named(tmp_path: Path, whole: bool):
    with pytest.raises(DataError, match=r"nowhere does not exist; name the folder"):
        fingerprint(tmp_path / "nowhere", whole=whole)
    (tmp_path / "sequences.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"sequences\.zip is a file; name the folder"):
        fingerprint(tmp_path / "sequences.zip", whole=whole)

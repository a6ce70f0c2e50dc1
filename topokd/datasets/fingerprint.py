"""Fingerprint of a data set on disk, so that the pipeline notices other scans behind the same parameter."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from topokd.datasets import BENCHMARKS
from topokd.datasets.check import known_folders, require_root
from topokd.errors import DataError

SAMPLE = 4096  # bytes read at either end of a file: 19,000 scans in seconds, and no two scans share them


def fingerprint(root: Path, *, whole: bool = False) -> dict[str, Any]:
    """Number of files, bytes, and a digest over names, sizes and both ends of all files of the data set.

    Args:
        root: the folder that holds the folders of a benchmark (``Benchmark.folders``); other folders are ignored.
        whole: every file below ``root`` counts, for a data set that a label map describes.

    Raises:
        DataError: ``root`` has none of them, or is not a folder.
    """
    require_root(root, "name the folder of the data set" if whole else known_folders())
    names = [folder for benchmark in BENCHMARKS.values() for folder in benchmark.folders]
    folders = [root] if whole else [root / name for name in names if (root / name).is_dir()]
    if not folders:
        raise DataError(f"data.root: {root} does not contain a known data set; {known_folders()}")
    # With a single folder, names are relative to it, so that fingerprints of SemanticKITTI stay stable.
    base = folders[0] if len(folders) == 1 else root
    digest, count, size = hashlib.sha256(), 0, 0
    for path in sorted(path for folder in folders for path in _files(folder)):
        length = path.stat().st_size
        with path.open("rb") as stream:
            ends = stream.read(SAMPLE)
            if length > 2 * SAMPLE:
                stream.seek(-SAMPLE, 2)
                ends += stream.read(SAMPLE)
        digest.update(f"{path.relative_to(base).as_posix()}:{length}:".encode() + ends)
        count, size = count + 1, size + length
    return {"files": count, "bytes": size, "sha256": digest.hexdigest()}


def _files(folder: Path, seen: set[Path] | None = None) -> Iterator[Path]:
    """Every file below a folder, also where links lead; a folder that is reached twice, through a link, counts once."""
    seen = set(folder.resolve().parents) if seen is None else seen
    if folder.resolve() in seen:
        return
    seen.add(folder.resolve())
    for path in sorted(folder.iterdir(), key=lambda path: (path.is_symlink(), path.name)):
        if path.is_dir():
            yield from _files(path, seen)
        elif path.is_file():
            yield path

"""Fingerprint of a real data set, so that the pipeline notices other scans behind the same parameter."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from topokd.errors import DataError

SAMPLE = 4096  # bytes read at either end of a file: 19,000 scans in seconds, and no two scans share them

FOLDERS = (
    "sequences",
    *("v1.0-trainval", "v1.0-mini", "v1.0-test", "samples/LIDAR_TOP", "lidarseg", "panoptic"),
    *("training", "validation", "testing"),
)


def fingerprint(root: Path) -> dict[str, Any]:
    """Number of files, bytes and a digest over names, sizes and both ends of all files of the data set.

    Those are ``sequences/`` of SemanticKITTI; the tables, ``samples/LIDAR_TOP``, ``lidarseg`` and ``panoptic`` of
    nuScenes; the splits of Waymo.

    Raises:
        DataError: ``root`` has none of them.
    """
    folders = [root / name for name in FOLDERS if (root / name).is_dir()]
    if not folders:
        raise DataError(
            f"data.root: {root} has no folder `sequences/` (SemanticKITTI), `v1.0-trainval/` (nuScenes) or `training/` "
            "(Waymo v2); point data.root at the folder that holds it"
        )
    # of one folder the names are those below it, as ever, so that fingerprints of SemanticKITTI stay what they were
    folder = folders[0] if len(folders) == 1 else root
    digest, count, size = hashlib.sha256(), 0, 0
    for path in sorted(p for each in folders for p in each.rglob("*") if p.is_file()):
        length = path.stat().st_size
        with path.open("rb") as stream:
            ends = stream.read(SAMPLE)
            if length > 2 * SAMPLE:
                stream.seek(-SAMPLE, 2)
                ends += stream.read(SAMPLE)
        digest.update(f"{path.relative_to(folder).as_posix()}:{length}:".encode() + ends)
        count, size = count + 1, size + length
    return {"files": count, "bytes": size, "sha256": digest.hexdigest()}

"""Scans of the synthetic world on disk, and the dataset that reads them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

from topokd import params
from topokd.datasets.semantickitti.files import write_scan, write_sequence_files
from topokd.datasets.semantickitti.reader import SemanticKITTI
from topokd.errors import DataError
from topokd.io import read_json, write_json
from topokd.progress import Progress
from topokd.synthetic.scanner import scan_sequence_frame, sequence_poses

WORLD_VERSION = 4
"""Raise it whenever the same parameters would give other scans: folders on disk are then made anew."""


def generate(root: str | Path, synthetic: params.Synthetic, jobs: int = 1) -> None:
    """Make every scan of the synthetic world under ``root``, in SemanticKITTI's layout, with ``jobs`` processes.

    Scans that are already there are left as they are, so that an interrupted call can be repeated; with other
    parameters than last time (``manifest.json`` holds them) the old scans are removed first. The files depend on the
    parameters alone. Raises :class:`~topokd.errors.DataError` rather than touch scans that it did not make.

    >>> import tempfile
    >>> root = tempfile.mkdtemp()
    >>> generate(root, params.Synthetic(azimuths=64, train_sequences=(0,), val_sequences=(), scans_per_sequence=1))
    >>> sorted(path.name for path in Path(root, "sequences", "00").iterdir())
    ['calib.txt', 'labels', 'poses.txt', 'times.txt', 'velodyne']
    """
    root = Path(root)
    frames = _frames(synthetic)
    manifest = {"version": WORLD_VERSION, "key": _key(synthetic), "parameters": params.to_dict(synthetic)}
    _prepare(root, manifest)
    work = [(s, f) for s, count in frames.items() for f in range(count) if not _is_there(root, s, f)]
    tasks = [(root, synthetic, s, f, frames[s]) for s, f in work]
    if jobs <= 1 or len(tasks) <= 1:
        for task in Progress(tasks, "synthetic scans"):
            _make(task)
        return
    # Scans of a sequence share their street, so a process gets several in a row.
    chunk = min(8, -(-len(tasks) // jobs))
    # spawn: a fork would copy the caller's threads (torch, BLAS) in an undefined state
    with ProcessPoolExecutor(min(jobs, len(tasks)), mp_context=get_context("spawn")) as pool:
        for _ in Progress(pool.map(_make, tasks, chunksize=chunk), "synthetic scans", total=len(tasks)):
            pass


class SyntheticLidar(SemanticKITTI):
    """The synthetic world's "train" or "val" scans, made on disk first where they are missing.

    ``root`` is a folder of its own; ``split`` may also be a tuple of the world's sequence numbers.

    >>> import tempfile
    >>> small = params.Synthetic(azimuths=64, train_sequences=(0,), val_sequences=(), scans_per_sequence=1)
    >>> dataset = SyntheticLidar(tempfile.mkdtemp(), "train", small)
    >>> scan = dataset[0]
    >>> len(dataset), dataset.num_classes, 1000 < len(scan) < 64 * 64
    (1, 19, True)
    """

    def __init__(
        self,
        root: str | Path,
        split: str | Sequence[int] = "train",
        synthetic: params.Synthetic | None = None,
        on_bad_scan: Literal["raise", "skip"] = "raise",
        cache: int = 128,
        sweeps: int = 1,
    ) -> None:
        synthetic = synthetic or params.Synthetic()
        splits = {"train": synthetic.train_sequences, "val": synthetic.val_sequences}
        if isinstance(split, str) and split not in splits:
            raise DataError(
                f"the synthetic world has no split {split!r}: choose train, val, or a tuple of its sequences"
            )
        if not is_complete(root, synthetic):
            generate(root, synthetic, jobs=os.cpu_count() or 1)
        super().__init__(root, splits[split] if isinstance(split, str) else split, on_bad_scan, cache, sweeps)
        self.split = split


def is_complete(root: str | Path, synthetic: params.Synthetic) -> bool:
    """Whether ``root`` holds every scan of these parameters."""
    root = Path(root)
    if not (root / "manifest.json").is_file() or read_json(root / "manifest.json").get("key") != _key(synthetic):
        return False
    return all(_is_there(root, s, f) for s, count in _frames(synthetic).items() for f in range(count))


def _frames(synthetic: params.Synthetic) -> dict[int, int]:
    """Number of scans per sequence."""
    frames = dict.fromkeys(synthetic.train_sequences, synthetic.scans_per_sequence)
    if set(frames) & set(synthetic.val_sequences):
        raise DataError("data.synthetic: a sequence is in both train_sequences and val_sequences; keep them apart")
    return frames | dict.fromkeys(synthetic.val_sequences, synthetic.val_scans_per_sequence)


def _key(synthetic: params.Synthetic) -> str:
    described = json.dumps([WORLD_VERSION, params.to_dict(synthetic)], sort_keys=True)
    return hashlib.sha256(described.encode()).hexdigest()


def _paths(root: Path, sequence: int, frame: int) -> tuple[Path, Path]:
    folder = root / "sequences" / f"{sequence:02d}"
    return folder / "velodyne" / f"{frame:06d}.bin", folder / "labels" / f"{frame:06d}.label"


def _is_there(root: Path, sequence: int, frame: int) -> bool:
    points, labels = _paths(root, sequence, frame)
    if frame == 0 and not points.parent.with_name("times.txt").is_file():  # the last of the sequence's own files
        return False
    return points.is_file() and labels.is_file() and points.stat().st_size == 4 * labels.stat().st_size > 0


def _prepare(root: Path, manifest: dict) -> None:
    """Leave in ``root`` only scans of these parameters, and its manifest."""
    file = root / "manifest.json"
    if not file.is_file():
        if (root / "sequences").exists():
            raise DataError(
                f"{root} holds sequences/ that topokd did not make (no manifest.json): choose another data.root"
            )
    elif read_json(file).get("key") != manifest["key"]:
        # The old manifest stays until its scans are gone: a kill in between leaves a folder that is known to be ours.
        for path in _made(root):
            path.unlink()
    for path in root.glob("sequences/*/*/.*"):  # half-written files of a killed run
        path.unlink(missing_ok=True)
    write_json(file, manifest)


def _made(root: Path) -> list[Path]:
    patterns = ("velodyne/*.bin", "labels/*.label", "poses.txt", "calib.txt", "times.txt")
    return [path for pattern in patterns for path in root.glob(f"sequences/*/{pattern}")]


def _make(task: tuple[Path, params.Synthetic, int, int, int]) -> None:
    root, synthetic, sequence, frame, frames = task
    if frame == 0:
        poses, times = sequence_poses(synthetic, sequence, frames)
        write_sequence_files(root, sequence, poses, times)
    scan, raw = scan_sequence_frame(synthetic, sequence, frame, frames)
    write_scan(root, sequence, frame, scan, raw)

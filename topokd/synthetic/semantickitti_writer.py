"""The synthetic world in the layout of SemanticKITTI."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from topokd import params
from topokd.datasets.semantickitti.files import write_scan, write_sequence_files
from topokd.synthetic.folder import Work, sequences, write_folder
from topokd.synthetic.scanner import scan_sequence_frame, sequence_poses

WRITER_VERSION = 4
"""Increment it whenever the same parameters give different files."""
OWNED = ("sequences",)


class FrameTask(NamedTuple):
    """One scan to write; ``frames``: number of scans in its sequence."""

    root: Path
    synthetic: params.Synthetic
    sequence: int
    frame: int
    frames: int


def write_semantickitti(root: str | Path, synthetic: params.Synthetic, jobs: int = 1) -> None:
    """Write every scan of the synthetic world under ``root``, in the layout of SemanticKITTI.

    Existing scans are kept, so an interrupted call can be repeated. The files depend only on the parameters.

    Args:
        root: the folder that gets ``sequences/`` and ``manifest.json``.
        synthetic: the parameters of the world.
        jobs: number of processes.

    Raises:
        DataError: ``root`` holds ``sequences/`` that topokd did not write.

    Examples:
        >>> import tempfile
        >>> root = tempfile.mkdtemp()
        >>> small = params.Synthetic(azimuths=64, train_sequences=(0,), val_sequences=(), scans_per_sequence=1)
        >>> write_semantickitti(root, small)
        >>> sorted(path.name for path in Path(root, "sequences", "00").iterdir())
        ['calib.txt', 'labels', 'poses.txt', 'times.txt', 'velodyne']
    """
    tasks = [
        FrameTask(Path(root), synthetic, sequence, frame, frames)
        for numbers in sequences(synthetic).values()
        for sequence, frames in numbers
        for frame in range(frames)
    ]
    # Scans of a sequence share a street, so a process gets several of them.
    work = Work(write_frame, tasks, is_written, chunk=8)
    write_folder(root, "semantickitti", WRITER_VERSION, synthetic, OWNED, work, jobs)


def write_frame(task: FrameTask) -> None:
    """Write one scan; with the first scan of a sequence, also the files of the sequence."""
    root, synthetic, sequence, frame, frames = task
    if frame == 0:
        poses, times = sequence_poses(synthetic, sequence, frames)
        write_sequence_files(root, sequence, poses, times)
    scan, raw = scan_sequence_frame(synthetic, sequence, frame, frames)
    write_scan(root, sequence, frame, scan, raw)


def is_written(task: FrameTask) -> bool:
    """Whether the files of a scan exist and have matching lengths."""
    folder = task.root / "sequences" / f"{task.sequence:02d}"
    points, labels = folder / "velodyne" / f"{task.frame:06d}.bin", folder / "labels" / f"{task.frame:06d}.label"
    if task.frame == 0 and not (folder / "times.txt").is_file():  # the last file of the sequence
        return False
    return points.is_file() and labels.is_file() and points.stat().st_size == 4 * labels.stat().st_size > 0

"""Teachers of an experiment: weights that profiles lend to one another, and outputs that the rows of a seed share."""

from __future__ import annotations

import shutil
from pathlib import Path

from topokd.io import atomic_path, sha256
from topokd.training import Run


def lend(source: Path, target: Path) -> None:
    """Copy a checkpoint to where another profile looks for it, unless it is there.

    A reader of ``target`` sees the old file or the whole new one, so workers need no lock.

    Examples:
        >>> import tempfile
        >>> source, target = (Path(tempfile.mkdtemp()) / "teacher-seed0.safetensors" for _ in range(2))
        >>> source.write_bytes(b"weights")
        7
        >>> lend(source, target)
        >>> target.read_bytes()
        b'weights'
    """
    if source != target and not (target.is_file() and sha256(target) == sha256(source)):
        with atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)


def clear_outputs(run: Run) -> None:
    """Delete the teacher's outputs that are stored for the seed of a student, by one or several ranks.

    Args:
        run: any student's of the seed (see `topokd.training.stored.shared_teacher_outputs`).
    """
    for folder in run.kept.glob(f"seed{run.seed}[-.]*"):
        shutil.rmtree(folder, ignore_errors=True)
